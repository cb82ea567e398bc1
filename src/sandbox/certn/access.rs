//! The token endpoint, and who may use the API.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Form, Json,
    extract::{Request, State, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Certn, Settings};
use crate::sandbox::{
    tokens::{Sort, TokenState},
    web::{authorization, basic, is_part, throttled},
};

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
        "access_token": certn.shared.issue(Sort::Access, &certn.settings.client_id, life),
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

fn is_the_client(headers: &HeaderMap, settings: &Settings) -> bool {
    basic(headers).is_some_and(|(id, secret)| {
        is_part(&id, &settings.client_id) && is_part(&secret, &settings.client_secret)
    })
}

/// Lets a request through to the API: first the token, then the rate limit.
pub(super) async fn authorize(
    State(certn): State<Arc<Certn>>,
    request: Request,
    next: Next,
) -> Response {
    let token = authorization(request.headers(), "Bearer");
    let state = token.map(|token| certn.shared.token_state(Sort::Access, token));
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

async fn within_limit(certn: &Certn, request: Request, next: Next) -> Response {
    let Err(wait) = certn.shared.throttle() else { return next.run(request).await };
    let (seconds, detail) = throttled(wait);
    (
        StatusCode::TOO_MANY_REQUESTS,
        [(header::RETRY_AFTER, seconds.to_string())],
        Json(json!({ "detail": detail })),
    )
        .into_response()
}
