//! The token endpoint, and who may use the API.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Form, Json,
    extract::{Request, State, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{Certn, Settings};
use crate::sandbox::state::TokenState;

/// `POST /token/`: the grant is looked at first, then the client, as oauthlib does.
pub(super) async fn token(
    State(certn): State<Arc<Certn>>,
    headers: HeaderMap,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Response {
    let form = form.map(|Form(fields)| fields).unwrap_or_default();
    if form.get("grant_type").is_none_or(|grant| grant != "client_credentials") {
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    if !is_the_client(&headers, &certn.settings) {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let life = certn.settings.token_life;
    let body = json!({
        "access_token": certn.shared.issue_token(life),
        "expires_in": life.as_secs(),
        "token_type": "Bearer",
        "scope": "read write",
    });
    (no_store(), Json(body)).into_response()
}

fn refused(status: StatusCode, error: &str) -> Response {
    let mut response = (status, no_store(), Json(json!({ "error": error }))).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_client\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

const fn no_store() -> [(header::HeaderName, HeaderValue); 2] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ]
}

/// Takes the credentials raw, as Certn's samples send them, or percent-encoded (RFC 6749, 2.3.1).
fn is_the_client(headers: &HeaderMap, settings: &Settings) -> bool {
    let Some((id, secret)) = basic(headers) else { return false };
    let is = |sent: &str, expected: &str| {
        sent == expected || percent_decode_str(sent).decode_utf8_lossy() == expected
    };
    is(&id, &settings.client_id) && is(&secret, &settings.client_secret)
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// Lets a request through to the API: first the token, then the rate limit.
pub(super) async fn authorize(
    State(certn): State<Arc<Certn>>,
    request: Request,
    next: Next,
) -> Response {
    let state = bearer(request.headers()).map(|token| certn.shared.token_state(token));
    let challenge = match state {
        Some(TokenState::Valid) => return within_limit(&certn, request, next).await,
        Some(TokenState::Expired) => {
            "Bearer realm=\"api\",error=\"invalid_token\",\
             error_description=\"The access token has expired.\""
        }
        Some(TokenState::Unknown) => {
            "Bearer realm=\"api\",error=\"invalid_token\",\
             error_description=\"The access token is invalid.\""
        }
        None => "Bearer realm=\"api\"",
    };
    let body = json!({ "detail": "Authentication credentials were not provided." });
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], Json(body)).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

async fn within_limit(certn: &Certn, request: Request, next: Next) -> Response {
    let Err(wait) = certn.shared.throttle() else { return next.run(request).await };
    let seconds = wait.as_millis().div_ceil(1_000);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let detail = format!("Request was throttled. Expected available in {seconds} {unit}.");
    (
        StatusCode::TOO_MANY_REQUESTS,
        [(header::RETRY_AFTER, seconds.to_string())],
        Json(json!({ "detail": detail })),
    )
        .into_response()
}
