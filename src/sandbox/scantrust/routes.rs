//! ScanTrust's paths and what they answer.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::ScanTrust;
use crate::{
    sandbox::{
        state::random_uuid,
        tokens::{Sort, TokenState},
        web::{authorization, json_object, jwt, texts, throttled, with_slash},
    },
    types::millis,
};

pub(super) fn router(scantrust: Arc<ScanTrust>) -> Router {
    [("/api/v2/auth/jwt/", post(login)), ("/api/v2/me/", get(me))]
        .into_iter()
        .fold(Router::new(), with_slash)
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(scantrust)
}

async fn login(
    State(scantrust): State<Arc<ScanTrust>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let settings = &scantrust.settings;
    if let Err(wait) = admit(&scantrust) {
        scantrust.shared.count_throttled();
        return too_many(&scantrust, wait);
    }
    let sent = texts(json_object(&headers, &body));
    for field in ["email", "password"] {
        if !sent.contains_key(field) {
            let body = json!({ field: ["This field is required."] });
            return (StatusCode::BAD_REQUEST, Json(body)).into_response();
        }
    }
    if sent["email"] != settings.email || sent["password"] != settings.password {
        let words = ["Unable to login with provided credentials."];
        let body = json!({ "non_field_errors": words });
        return (StatusCode::BAD_REQUEST, Json(body)).into_response();
    }
    let status = StatusCode::from_u16(settings.login_status).unwrap_or(StatusCode::OK);
    (status, Json(json!({ "token": token(&scantrust) }))).into_response()
}

fn token(scantrust: &ScanTrust) -> String {
    let ScanTrust { shared, settings, .. } = scantrust;
    if !settings.tells_life {
        return shared.issue(Sort::Access, &settings.email, settings.token_life);
    }
    let expiry = shared.clock.wall().0.saturating_add(millis(settings.token_life));
    let token = jwt(&json!({
        "email": settings.email, "exp": expiry.div_euclid(1_000),
        "jti": random_uuid().simple().to_string(),
    }));
    shared.issue_as(&token, Sort::Access, &settings.email, settings.token_life);
    token
}

fn admit(scantrust: &ScanTrust) -> Result<(), Duration> {
    let Some(logins) = &scantrust.logins else { return Ok(()) };
    let mut logins = logins.lock().unwrap_or_else(PoisonError::into_inner);
    logins.admit(scantrust.shared.now())
}

async fn me(State(scantrust): State<Arc<ScanTrust>>, headers: HeaderMap) -> Response {
    if let Err(words) = authorize(&scantrust, &headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "JWT realm=\"api\"")];
        let body = json!({ "detail": words });
        return (StatusCode::UNAUTHORIZED, challenge, Json(body)).into_response();
    }
    if let Err(wait) = scantrust.shared.throttle() {
        return too_many(&scantrust, wait);
    }
    let me: Value = json!({ "id": 17, "email": scantrust.settings.email, "company": "Sandbox" });
    Json(me).into_response()
}

/// The two sorts of token go by their own names.
fn authorize(scantrust: &ScanTrust, headers: &HeaderMap) -> Result<(), &'static str> {
    let state = |token: &str| scantrust.shared.token_state(Sort::Access, token);
    let is_uat = |token: &&str| *token == scantrust.settings.uat;
    let presented = match (authorization(headers, "UAT"), authorization(headers, "JWT")) {
        (Some(token), None) => Some(token).filter(is_uat).map(state),
        (None, Some(token)) => Some(token).filter(|token| !is_uat(token)).map(state),
        _ => return Err("Authentication credentials were not provided."),
    };
    match presented {
        Some(TokenState::Valid) => Ok(()),
        Some(TokenState::Expired) => Err("Signature has expired."),
        Some(TokenState::Unknown) | None => Err("Invalid token."),
    }
}

fn too_many(scantrust: &ScanTrust, wait: Duration) -> Response {
    let (seconds, detail) = throttled(wait);
    let body = Json(json!({ "detail": detail, "code": "throttled" }));
    let mut response = (StatusCode::TOO_MANY_REQUESTS, body).into_response();
    if let (true, Ok(value)) = (scantrust.settings.retry_after, seconds.to_string().parse()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}
