//! One log line before it is written: its fields, and the sentence that they make.

use std::fmt::{self, Write as _};

use tracing::{
    Event, Level,
    field::{Field, Visit},
};

use super::events::{Name, Priority};

/// A line: an event of ours, or what a library says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub name: Option<Name>,
    pub priority: Priority,
    pub target: &'static str,
    /// What is not in a field; of an event: its detail.
    pub message: String,
    pub fields: Vec<(&'static str, String)>,
}

impl Record {
    #[must_use]
    pub fn of(event: &Event<'_>) -> Self {
        let mut seen = Seen::default();
        event.record(&mut seen);
        let Seen { message, fields, name } = seen;
        let meta = event.metadata();
        let code = fields.iter().find(|(field, _)| *field == "error_code");
        let code = code.map(|(_, code)| code.as_str());
        let priority = match (*meta.level(), name) {
            (Level::DEBUG | Level::TRACE, _) => Priority::Debug,
            (_, Some(name)) => name.priority(code),
            (Level::ERROR, None) => Priority::Err,
            (Level::WARN, None) => Priority::Warning,
            (_, None) => Priority::Info,
        };
        Self { name, priority, target: meta.target(), message, fields }
    }

    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, value)| value.as_str())
    }

    /// The line in words: whom it is about, what happened, why, what it means, what comes next.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Some(name) = self.name else { return self.plain() };
        let mut line = self.subject().map_or_else(String::new, |who| format!("{who}: "));
        line.push_str(name.about().says);
        if let Some(status) = self.get("status") {
            let _ = write!(line, " {status}");
        }
        if let Some(code) = self.get("error_code") {
            let _ = write!(line, " ({code})");
        }
        if self.message != name.text() && !self.message.is_empty() {
            let _ = write!(line, ": {}", self.message);
        }
        if let Some(at) = self.get("next_run_at") {
            let _ = write!(line, "; next {}", to_the_second(at));
        }
        if let Some(actor) = self.get("actor").filter(|actor| *actor != "attendant") {
            let _ = write!(line, "; by {actor}");
        }
        line
    }

    /// A job by kind and id, a credential or an account by its name.
    fn subject(&self) -> Option<String> {
        let account = self.get("account");
        if let Some(id) = self.get("job_id") {
            let kind = self.get("kind").unwrap_or("job");
            let elsewhere = account.filter(|account| kind.split('.').next() != Some(*account));
            let of = elsewhere.map_or_else(String::new, |account| format!(" of {account}"));
            return Some(format!("{kind} {id}{of}"));
        }
        match (account, self.get("credential"), self.get("kind")) {
            (Some(account), Some(credential), _) => Some(format!("{account}/{credential}")),
            (Some(account), None, Some(kind)) => Some(format!("{account}, {kind}")),
            (account, ..) => account.map(str::to_owned),
        }
    }

    fn plain(&self) -> String {
        let mut line = self.message.clone();
        for (field, value) in &self.fields {
            let _ = write!(line, " {field}={value}");
        }
        line
    }
}

/// A time as people read it.
#[must_use]
pub fn to_the_second(at: &str) -> String {
    at.split_once('.').map_or_else(|| at.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}

#[derive(Default)]
struct Seen {
    name: Option<Name>,
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Seen {
    fn set(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            "event" if self.name.is_none() => match Name::of(&value) {
                Some(name) => self.name = Some(name),
                None => self.fields.push(("event", value)),
            },
            name => self.fields.push((name, value)),
        }
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: Name, message: &str, fields: &[(&'static str, &str)]) -> Record {
        let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let (priority, message) = (Priority::Info, message.to_owned());
        Record { name: Some(name), priority, target: "attendant", message, fields }
    }

    #[test]
    fn sentences_say_who_what_why_and_when() {
        let table = [
            (
                record(
                    Name::JobDead,
                    "look at it",
                    &[
                        ("job_id", "0199"),
                        ("kind", "certn.report"),
                        ("account", "certn"),
                        ("error_code", "http_404"),
                    ],
                ),
                "certn.report 0199: dead (http_404): look at it",
            ),
            (
                record(
                    Name::JobStatusChanged,
                    "job.status_changed",
                    &[
                        ("job_id", "0199"),
                        ("kind", "certn.applicant"),
                        ("account", "certn2"),
                        ("status", "ANALYZING"),
                    ],
                ),
                "certn.applicant 0199 of certn2: status is now ANALYZING",
            ),
            (
                record(
                    Name::CredentialObtained,
                    "credential.obtained",
                    &[
                        ("account", "gate"),
                        ("credential", "token"),
                        ("next_run_at", "2026-01-02T03:04:05.678Z"),
                    ],
                ),
                "gate/token: obtained; next 2026-01-02T03:04:05Z",
            ),
            (
                record(Name::QueuePaused, "", &[("account", "gate"), ("actor", "uid 0 (root)")]),
                "gate: paused; by uid 0 (root)",
            ),
            (record(Name::StoreTrouble, "no room", &[]), "trouble: no room"),
        ];
        for (record, expected) in table {
            assert_eq!(record.sentence(), expected);
        }
    }
}
