//! An answer as its definition sees it: predicates, status, and what may be told of it.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, header};
use secrecy::SecretString;
use serde_json::Value;

use super::{
    redact::{Cut, Needles},
    sender::Ask,
};
use crate::{
    definition::{EvalError, Expr, Vars},
    outbound::Answer,
    policy::{
        classify,
        retry_after::{RetryAfter, http_date},
    },
    types::Timestamp,
};

/// How much of a provider's words is kept with an error.
const WORDS: usize = 600;
/// How much of a body is looked at for words, in bytes.
const READ_FOR_WORDS: usize = 64 << 10;

/// A complete answer with what the definition makes of it.
pub struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The body as JSON, where it is.
    pub response: Option<Value>,
    /// With `http`, `body` and `response`.
    pub vars: Vars,
    /// What the definition's `status` took; the inner `None`: null.
    pub seen: Option<Result<Option<String>, EvalError>>,
    pub sent_at: Timestamp,
}

/// Without what was answered: there may be secrets in each part of it.
impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Answered");
        shown.field("status", &self.status).field("bytes", &self.body.len());
        shown.field("sent_at", &self.sent_at).finish_non_exhaustive()
    }
}

impl Answered {
    /// Without secrets in the status, which is recorded and told.
    pub(super) fn without(mut self, secrets: impl FnOnce() -> Vec<SecretString>) -> Self {
        if let Some(Ok(Some(status))) = &mut self.seen {
            *status = Needles::of(&secrets()).hide(status.as_bytes(), Cut::None);
        }
        self
    }

    /// The body as a result: JSON, or text, or null where there is none.
    #[must_use]
    pub fn to_result(&self) -> Value {
        match &self.response {
            Some(value) => value.clone(),
            None if self.body.is_empty() => Value::Null,
            None => Value::String(String::from_utf8_lossy(&self.body).into_owned()),
        }
    }
}

/// What the definition makes of an answer to a request sent at `sent_at`.
pub(super) fn judge(
    ask: Ask<'_>,
    answer: Answer,
    vars: &Vars,
    (sent_at, now): (Timestamp, Timestamp),
) -> (classify::Answer, Answered) {
    let body = if ask.raw && answer.status.is_success() { &[][..] } else { &answer.body };
    let response: Option<Value> = serde_json::from_slice(body).ok();
    let text = String::from_utf8_lossy(body);
    let status = answer.status.as_u16();
    let vars = vars.clone().answer(status, &answer.headers, &text, response.as_ref());
    let seen = ask.status.map(|expr| expr.eval(&vars).map(|value| status_text(&value)));
    let vars = match &seen {
        Some(Ok(status)) => vars.status(status.as_deref()),
        _ => vars.status(None),
    };
    let says_json = header_text(&answer.headers, &header::CONTENT_TYPE)
        .is_some_and(|kind| kind.contains("json"));
    let mut unparsable = says_json && response.is_none() && !body.is_empty();
    let mut holds = |expr: Option<&Expr>| {
        expr.map(|expr| {
            expr.test(&vars).unwrap_or_else(|_| {
                // It names what the answer does not have: only a 2xx is expected to.
                unparsable |= answer.status.is_success();
                false
            })
        })
    };
    let success = holds(ask.success);
    let facts = classify::Answer {
        status,
        retry_after: retry_after(ask, &answer, &vars, now),
        success,
        retry_when: holds(ask.retry_when).unwrap_or(false),
        refused: holds(ask.refused_when).unwrap_or(false),
        maybe_refused: holds(ask.maybe_refused_when).unwrap_or(false),
        unparsable,
    };
    let answered = Answered {
        status,
        headers: answer.headers,
        body: answer.body,
        response,
        vars,
        seen,
        sent_at,
    };
    (facts, answered)
}

fn retry_after(ask: Ask<'_>, answer: &Answer, vars: &Vars, now: Timestamp) -> Option<RetryAfter> {
    let date = header_text(&answer.headers, &header::DATE);
    if let Some(text) = header_text(&answer.headers, &header::RETRY_AFTER) {
        return RetryAfter::parse(text, now, date);
    }
    match ask.retry_after?.eval(vars).ok()? {
        Value::Number(seconds) => RetryAfter::from_secs(seconds.as_f64()?),
        Value::String(text) => RetryAfter::parse(&text, now, date),
        _ => None,
    }
}

/// What time it is by whoever answered.
pub(super) fn date(answer: &Answer, now: Timestamp) -> Option<Timestamp> {
    http_date(header_text(&answer.headers, &header::DATE)?, now)
}

fn header_text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A status as it is recorded: texts as they are, numbers and booleans as they are written, null
/// as unknown.
fn status_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The provider's words, short, and without any secret that it may have echoed. Of an answer that
/// brings a credential nothing is kept but its status: the value may be in it.
pub(super) fn words_of(
    outcome: &Result<Answered, String>,
    ask: &Ask<'_>,
    secrets: &[SecretString],
) -> String {
    let answered = match outcome {
        Err(words) => return words.clone(),
        Ok(answered) => answered,
    };
    let brings_secret = ask.secret_answer;
    if answered.body.is_empty() || (brings_secret && (200..300).contains(&answered.status)) {
        return format!("HTTP {}", answered.status);
    }
    let body = &answered.body[..answered.body.len().min(READ_FOR_WORDS)];
    let cut = if body.len() < answered.body.len() { Cut::End } else { Cut::None };
    let words = Needles::of(secrets).hide(body, cut);
    let short: String = words.trim().chars().take(WORDS).collect();
    format!("HTTP {}: {short}", answered.status)
}

/// Every text and number within a value, in the form in which it would be echoed.
pub(super) fn texts_of(value: &Value, texts: &mut Vec<SecretString>) {
    match value {
        Value::String(text) => texts.push(text.as_str().into()),
        Value::Number(number) => texts.push(number.to_string().into()),
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, texts)),
        Value::Object(map) => map.values().for_each(|item| texts_of(item, texts)),
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_shown_without_what_it_says() {
        let body = r#"{"token":"s3cret"}"#;
        let response: Value = serde_json::from_str(body).unwrap();
        let answered = Answered {
            status: 200,
            headers: [(header::SET_COOKIE, "s3cret".parse().unwrap())].into_iter().collect(),
            body: body.into(),
            vars: Vars::new().answer(200, &HeaderMap::new(), body, Some(&response)),
            response: Some(response),
            seen: Some(Ok(Some("s3cret".to_owned()))),
            sent_at: Timestamp(0),
        };
        let shown = format!("{answered:?} {answered:#?}");
        assert!(shown.contains("200") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn secrets_are_found_however_deep_and_however_they_are_written() {
        let mut texts = vec![];
        let given =
            json!({"login": {"pass": "p\"ss wörd", "pins": [123_456, true, null]}, "n": "ab"});
        texts_of(&given, &mut texts);
        assert_eq!(texts.len(), 3);
        let told = r#"bad p"ss wörd, {"pass":"p\"ss wörd","pin":123456}, p%22ss%20w%C3%B6rd p%22ss+w%C3%B6rd abc"#;
        let expected = r#"bad ***, {"pass":"***","pin":***}, *** *** abc"#;
        assert_eq!(Needles::of(&texts).hide(told.as_bytes(), Cut::None), expected);
    }
}
