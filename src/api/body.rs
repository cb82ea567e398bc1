//! Request bodies: read within limits of size and time, and parsed with every mistake named.

use std::time::Duration;

use axum::{body::BodyDataStream, extract::Request};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};

use super::problem::{Kind, Problem};
use crate::{definition::FieldProblem, engine::enqueue::JobRequest};

/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// The largest body of a batch.
pub const MAX_BATCH: usize = 32 << 20;
/// The largest arguments of a job.
pub const MAX_ARGS: usize = 512 << 10;
/// A body that takes longer to arrive is given up.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What is read of a body that is too large, so that its sender comes to read the answer.
const MAX_IGNORED: usize = 64 << 20;
const IGNORED_TIMEOUT: Duration = Duration::from_secs(5);

/// The whole body, at most `limit` bytes.
pub async fn read(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let length = announced(request.headers());
    let mut frames = request.into_body().into_data_stream();
    let outcome = if length.is_some_and(|length| length > limit) {
        Err(too_large(limit))
    } else {
        let whole = collect(&mut frames, limit);
        tokio::time::timeout(TIMEOUT, whole).await.unwrap_or_else(|_| Err(slow()))
    };
    if outcome.as_ref().is_err_and(|problem| problem.kind() == Kind::TooLarge) {
        let _ = tokio::time::timeout(IGNORED_TIMEOUT, ignore(&mut frames)).await;
    }
    outcome
}

async fn collect(frames: &mut BodyDataStream, limit: usize) -> Result<Bytes, Problem> {
    let broken = |error| Problem::new(Kind::Malformed, format!("the body broke off: {error}"));
    // Most bodies come in one piece, which is then not copied.
    let Some(first) = frames.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(broken)?;
    if first.len() > limit {
        return Err(too_large(limit));
    }
    let Some(second) = frames.next().await else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(frame) = next {
        let frame = frame.map_err(broken)?;
        if whole.len() + frame.len() > limit {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&frame);
        next = frames.next().await;
    }
    Ok(whole.freeze())
}

async fn ignore(frames: &mut BodyDataStream) {
    let mut seen = 0;
    while let Some(Ok(frame)) = frames.next().await {
        seen += frame.len();
        if seen > MAX_IGNORED {
            return;
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("the body is larger than {} KiB", limit >> 10))
}

fn slow() -> Problem {
    let words = format!("the body did not arrive within {} s", TIMEOUT.as_secs());
    Problem::new(Kind::Slow, words)
}

/// Parses a small body; an empty one counts as `{}`.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Problem::field("", error.to_string()),
        _ => not_json(&error),
    })
}

/// Parses the request for a job.
pub fn job_request(body: &[u8]) -> Result<JobRequest, Problem> {
    if body.len() > MAX_BODY {
        return Err(too_large(MAX_BODY));
    }
    let request: JobRequest =
        serde_json::from_slice(body).map_err(|error| mistakes(body, &error))?;
    // Whoever sends so little in all cannot have sent too many arguments.
    if body.len() > MAX_ARGS && super::json::bytes(&request.args).len() > MAX_ARGS {
        let words = format!("args are larger than {} KiB", MAX_ARGS >> 10);
        return Err(Problem::new(Kind::TooLarge, words));
    }
    Ok(request)
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::new(Kind::Malformed, format!("the body is not JSON: {error}"))
}

/// What a field may be, and its name for people.
type Field = (&'static str, fn(&Value) -> bool, &'static str);

const FIELDS: [Field; 10] = [
    ("kind", Value::is_string, "a string"),
    ("account", text_or_null, "a string"),
    ("args", |_| true, "an object"),
    ("key", text_or_null, "a string"),
    ("unkeyed", Value::is_boolean, "true or false"),
    ("run_at", text_or_null, "a time, such as \"2026-12-31T23:59:59Z\""),
    ("priority", whole_or_null, "a whole number"),
    ("max_errors", whole_or_null, "a whole number"),
    ("deadline", text_or_null, "a time, such as \"2026-12-31T23:59:59Z\", or a duration"),
    ("tags", texts, "an array of strings"),
];

fn text_or_null(value: &Value) -> bool {
    value.is_null() || value.is_string()
}

fn whole_or_null(value: &Value) -> bool {
    value.is_null() || value.is_i64()
}

fn texts(value: &Value) -> bool {
    value.as_array().is_some_and(|all| all.iter().all(Value::is_string))
}

/// A body that is no [`JobRequest`]: looked at field by field, as serde tells only the first
/// mistake and not where.
fn mistakes(body: &[u8], error: &serde_json::Error) -> Problem {
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => return not_json(&error),
    };
    let Some(given) = value.as_object() else {
        return Problem::field("", "the body must be an object, such as {\"kind\": \"…\"}");
    };
    let mut found = vec![];
    let mut problem = |field: &str, message: String| {
        found.push(FieldProblem { field: field.to_owned(), message });
    };
    if !given.contains_key("kind") {
        problem("kind", "is missing: see `attendant kinds`".to_owned());
    }
    for (name, value) in given {
        match FIELDS.iter().find(|(field, ..)| field == name) {
            None => problem(name, format!("is not a field of a job; use {}", known_fields())),
            Some((_, fits, wanted)) if !fits(value) => problem(name, format!("must be {wanted}")),
            Some(_) => {}
        }
    }
    if found.is_empty() { Problem::field("", error.to_string()) } else { Problem::invalid(found) }
}

fn known_fields() -> String {
    FIELDS.map(|(name, ..)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;

    use super::*;

    fn refused(body: &str) -> Value {
        serde_json::from_slice(&job_request(body.as_bytes()).unwrap_err().to_json()).unwrap()
    }

    #[test]
    fn broken_json_is_told_with_its_place() {
        let problem = refused("{\"kind\": \"certn.users\",\n oops}");
        assert_eq!(problem["status"], 400);
        assert_eq!(
            problem["detail"],
            "the body is not JSON: key must be a string at line 2 column 2"
        );
        assert_eq!(refused("")["status"], 400);
        assert_eq!(refused(&"[".repeat(100_000))["status"], 400);
    }

    #[test]
    fn each_bad_field_is_named() {
        let problem = refused(r#"{"priority": "high", "colour": 1, "tags": [1], "key": null}"#);
        let fields: Vec<&str> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["field"].as_str().unwrap())
            .collect();
        assert_eq!(fields, ["kind", "colour", "priority", "tags"]);
        assert_eq!(problem["errors"][2]["message"], "must be a whole number");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["[]", "1", "\"certn.users\"", "null"] {
            assert_eq!(refused(body)["status"], 422, "{body}");
        }
        assert_eq!(refused(r#"{"kind": "a", "kind": "b"}"#)["status"], 422);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_given_up() {
        let begun = futures::stream::iter([Ok::<_, Infallible>("{")]);
        let body = Body::from_stream(begun.chain(futures::stream::pending()));
        let problem = read(Request::new(body), MAX_BODY).await.unwrap_err();
        assert_eq!(problem.status(), 408);
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together() {
        let pieces = || {
            let pieces = ["{", "}", " "].map(Ok::<_, Infallible>);
            Request::new(Body::from_stream(futures::stream::iter(pieces)))
        };
        assert_eq!(read(pieces(), 3).await.unwrap(), "{} ");
        assert_eq!(read(pieces(), 2).await.unwrap_err().status(), 413);
        assert_eq!(read(Request::new(Body::empty()), 2).await.unwrap(), "");
    }

    #[test]
    fn large_arguments_are_refused() {
        let body = |n: usize| format!(r#"{{"kind":"k","args":{{"x":"{}"}}}}"#, "x".repeat(n));
        assert!(job_request(body(MAX_ARGS - 100).as_bytes()).is_ok());
        assert_eq!(refused(&body(MAX_ARGS))["status"], 413);
        assert_eq!(refused(&body(MAX_BODY))["status"], 413);
    }
}
