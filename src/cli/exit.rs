//! How a command ends: exit codes, and failures told to people or, with `--json`, to programs.

use serde_json::{Value, json};

use super::fields;

/// The exit codes that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exit {
    Done,
    /// The thing asked about failed or is not so.
    NotSo,
    /// Usage or configuration error: what the user gave is wrong.
    Usage,
    /// The daemon cannot be reached.
    Unreachable,
    /// Permission.
    Refused,
    /// Timed out waiting.
    TimedOut,
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotSo => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            // As timeout(1) has it.
            Self::TimedOut => 124,
        }
    }

    /// What a refusal of the API means for the caller.
    pub const fn of_status(status: u16) -> Self {
        match status {
            // The request itself was bad: sending it again is no use.
            400 | 406 | 411 | 413..=415 | 422 => Self::Usage,
            401 | 403 => Self::Refused,
            _ => Self::NotSo,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::NotSo => "Failed or not so",
            Self::Usage => "Usage or configuration error",
            Self::Unreachable => "The daemon cannot be reached",
            Self::Refused => "Refused",
            Self::TimedOut => "Timed out",
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// Found by the client.
    Said(Exit, String),
    /// The API's problem document.
    Problem {
        status: u16,
        problem: Value,
        /// Seconds, from Retry-After.
        retry_after: Option<u64>,
    },
    /// Nobody reads standard output any more, which is no failure (`attendant jobs | head`).
    BrokenPipe,
}

impl Failure {
    pub fn not_so(words: impl Into<String>) -> Self {
        Self::Said(Exit::NotSo, words.into())
    }

    pub fn usage(words: impl Into<String>) -> Self {
        Self::Said(Exit::Usage, words.into())
    }

    pub fn timed_out(words: impl Into<String>) -> Self {
        Self::Said(Exit::TimedOut, words.into())
    }

    pub const fn exit(&self) -> Exit {
        match self {
            Self::Said(exit, _) => *exit,
            Self::Problem { status, .. } => Exit::of_status(*status),
            Self::BrokenPipe => Exit::Done,
        }
    }

    /// For people.
    pub fn words(&self) -> String {
        match self {
            Self::Said(_, words) => words.clone(),
            Self::Problem { status, problem, .. } => told(*status, problem),
            Self::BrokenPipe => String::new(),
        }
    }

    /// A problem document (RFC 9457): the API's own, unchanged, or one made here.
    pub fn json(&self) -> Value {
        match self {
            Self::Problem { problem, .. } => problem.clone(),
            other => json!({
                "type": "about:blank", "title": other.exit().title(), "detail": other.words(),
            }),
        }
    }
}

/// A problem document as text: one line, or a line for each bad field under one that says so.
pub(super) fn told(status: u16, problem: &Value) -> String {
    let errors = fields::list(problem, "errors");
    let detail = fields::text(problem, "detail");
    // A detail that only strings the fields together is not said twice.
    let repeats = errors.iter().all(|error| detail.contains(&fields::text(error, "message")));
    let words = match errors {
        [] => detail,
        [_] if repeats => return detail,
        _ if repeats => fields::text(problem, "title"),
        _ => detail,
    };
    let words = [words, fields::text(problem, "title"), format!("the daemon answered {status}")];
    let mut lines: Vec<String> =
        words.into_iter().find(|words| !words.is_empty()).into_iter().collect();
    lines.extend(errors.iter().map(|error| {
        let (field, message) = (fields::text(error, "field"), fields::text(error, "message"));
        let field = if field.is_empty() { "request".to_owned() } else { field };
        format!("  {field}: {message}")
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        let all = [
            (Exit::Done, 0),
            (Exit::NotSo, 1),
            (Exit::Usage, 2),
            (Exit::Unreachable, 3),
            (Exit::Refused, 4),
            (Exit::TimedOut, 124),
        ];
        for (exit, code) in all {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }

    #[test]
    fn every_status_of_the_api_has_its_exit_code() {
        let table = [
            (400, Exit::Usage),
            (401, Exit::Refused),
            (403, Exit::Refused),
            (404, Exit::NotSo),
            (409, Exit::NotSo),
            (410, Exit::NotSo),
            (413, Exit::Usage),
            (422, Exit::Usage),
            (429, Exit::NotSo),
            (500, Exit::NotSo),
            (503, Exit::NotSo),
            (507, Exit::NotSo),
        ];
        for (status, exit) in table {
            assert_eq!(Exit::of_status(status), exit, "{status}");
        }
    }

    #[test]
    fn a_problem_names_each_bad_field() {
        let problem = json!({"title": "Invalid", "detail": "2 fields are wrong", "errors": [
            {"field": "args.id", "message": "is missing"}, {"field": "", "message": "too large"},
        ]});
        let expected = "2 fields are wrong\n  args.id: is missing\n  request: too large";
        assert_eq!(told(422, &problem), expected);
        let repeated = json!({"title": "Invalid", "detail": "a: is b; c: is d", "errors": [
            {"field": "a", "message": "is b"}, {"field": "c", "message": "is d"},
        ]});
        assert_eq!(told(422, &repeated), "Invalid\n  a: is b\n  c: is d");
        let one = json!({"title": "Invalid", "detail": "key: is required", "errors": [
            {"field": "key", "message": "is required"},
        ]});
        assert_eq!(told(422, &one), "key: is required");
        assert_eq!(told(502, &Value::Null), "the daemon answered 502");
    }
}
