//! Reading the API's JSON leniently: the daemon may be older or newer than this client, so a field
//! that is not there is empty and never an error.

use serde_json::Value;

use crate::types::Timestamp;

/// What a dotted path names, such as `last_error.code`; `None` for null too.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, name| value.get(name)).filter(|found| !found.is_null())
}

/// A scalar as text without control characters: providers' words go to a terminal.
pub(super) fn text(value: &Value, path: &str) -> String {
    match at(value, path) {
        Some(Value::String(text)) => clean(text),
        Some(other) => clean(&other.to_string()),
        None => String::new(),
    }
}

/// [`text`] with a dash where there is none, for the cell of a table.
pub(super) fn cell(value: &Value, path: &str) -> String {
    let text = text(value, path);
    if text.is_empty() { "-".to_owned() } else { text }
}

pub(super) fn time(value: &Value, path: &str) -> Option<Timestamp> {
    at(value, path)?.as_str()?.parse().ok()
}

pub(super) fn number(value: &Value, path: &str) -> u64 {
    at(value, path).and_then(Value::as_u64).unwrap_or(0)
}

pub(super) fn flag(value: &Value, path: &str) -> bool {
    at(value, path).and_then(Value::as_bool).unwrap_or(false)
}

/// The items of an array; none where there is no array.
pub(super) fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `code: message` of an error or hold, whichever parts there are.
pub(super) fn reason(value: &Value, code: &str, words: &str) -> String {
    let parts = [text(value, code), text(value, words)];
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|one| !one.is_empty()).collect();
    parts.join(": ")
}

/// [`reason`] without a code that the words have already: `paused by root`, not `paused: paused by
/// root`.
pub(super) fn said_once(code: &str, words: &str) -> String {
    let has = |word: &str| word.trim_matches(|one: char| !one.is_alphanumeric()) == code;
    match (code.is_empty(), words.is_empty()) {
        (_, true) => code.to_owned(),
        (true, _) => words.to_owned(),
        _ if words.split_whitespace().any(has) => words.to_owned(),
        _ => format!("{code}: {words}"),
    }
}

/// One line of printable text: an escape sequence in a provider's message must not reach a
/// terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|one| match one {
            '\n' | '\r' | '\t' => ' ',
            one if one.is_control() => '\u{fffd}',
            one => one,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_there_is_empty() {
        let job = json!({"kind": "certn.users", "last_error": null, "attempt": 2});
        assert_eq!(text(&job, "kind"), "certn.users");
        assert_eq!(text(&job, "attempt"), "2");
        assert_eq!(cell(&job, "last_error.code"), "-");
        assert_eq!(number(&job, "errors"), 0);
        assert!(list(&job, "attempts").is_empty());
        assert_eq!(time(&job, "run_at"), None);
    }

    #[test]
    fn a_code_is_not_said_twice() {
        let table = [
            ("paused", "paused by root", "paused by root"),
            ("budget", "the budget of certn is spent", "the budget of certn is spent"),
            ("gate", "gate: shut", "gate: shut"),
            ("gate", "the provider fails", "gate: the provider fails"),
            ("gate", "gateway down", "gate: gateway down"),
            ("gate", "", "gate"),
            ("", "503", "503"),
        ];
        for (code, words, said) in table {
            assert_eq!(said_once(code, words), said);
        }
    }

    #[test]
    fn terminals_see_no_control_characters() {
        assert_eq!(clean("a\nb\x1b[31mc\u{9b}2J"), "a b\u{fffd}[31mc\u{fffd}2J");
    }
}
