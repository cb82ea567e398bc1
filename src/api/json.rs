//! Answers made of JSON.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
pub(super) const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// A job with small arguments fits without growing.
const TYPICAL: usize = 1024;

/// A value as JSON. What the API serializes are plain structs and JSON values, which cannot fail.
pub(super) fn bytes(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(TYPICAL);
    if serde_json::to_writer(&mut bytes, value).is_err() {
        bytes.clear();
        bytes.extend_from_slice(b"null");
    }
    bytes
}

pub(super) fn with_type(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// Bytes that are JSON already.
pub(super) fn raw(status: StatusCode, body: Vec<u8>) -> Response {
    with_type(status, JSON, body)
}

pub(super) fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    raw(status, bytes(value))
}

pub(super) fn ok(value: &impl Serialize) -> Response {
    answer(StatusCode::OK, value)
}
