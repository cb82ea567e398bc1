//! What the simulated providers' handlers have in common.

use std::{collections::HashMap, time::Duration};

use axum::{
    Json, Router,
    extract::OriginalUri,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// An answer that something is wrong.
pub(super) type Refusal = (StatusCode, Json<Value>);

/// Routes `path`, and redirects to it from where its slash is missing, whatever the method: as
/// Django does before it looks at anything else.
pub(super) fn with_slash<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    (path, methods): (&'static str, MethodRouter<S>),
) -> Router<S> {
    router.route(path, methods).route(path.trim_end_matches('/'), any(add_slash))
}

async fn add_slash(OriginalUri(uri): OriginalUri) -> Response {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}/{query}", uri.path());
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)]).into_response()
}

/// What follows the scheme in `Authorization`, where it is exactly this scheme.
pub(super) fn authorization<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix(scheme)?.strip_prefix(' ')
}

/// User name and password of HTTP Basic.
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let decoded = STANDARD.decode(authorization(headers, "Basic")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Takes a part of HTTP Basic raw, as the samples send them, or percent-encoded (RFC 6749, 2.3.1).
pub(super) fn is_part(sent: &str, expected: &str) -> bool {
    sent == expected || percent_decode_str(sent).decode_utf8_lossy() == expected
}

/// The object in a JSON body that says that it is one; empty otherwise.
pub(super) fn json_object(headers: &HeaderMap, body: &[u8]) -> Map<String, Value> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = media.is_some_and(|media| media.starts_with("application/json"));
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) if is_json => object,
        _ => Map::new(),
    }
}

/// The texts of an object.
pub(super) fn texts(object: Map<String, Value>) -> HashMap<String, String> {
    let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
    object.into_iter().filter_map(text).collect()
}

/// Django REST framework's 429, with the seconds in its words.
pub(super) fn throttled(wait: Duration) -> (u128, String) {
    let seconds = wait.as_millis().div_ceil(1_000);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    (seconds, format!("Request was throttled. Expected available in {seconds} {unit}."))
}

/// A token of JWT's form. Its signature is random: the sandbox knows the tokens that it made.
pub(super) fn jwt(claims: &Value) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let head = json!({ "alg": "HS256", "typ": "JWT" }).to_string();
    let signature: [u8; 32] = rand::random();
    let claims = claims.to_string();
    format!("{}.{}.{}", part(head.as_bytes()), part(claims.as_bytes()), part(&signature))
}

/// What a token of that form says.
pub(super) fn claims(token: &str) -> Option<Value> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}
