//! The certificate request tokens of an account.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    middleware,
    routing::{delete, get, post},
};
use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::{Certificate, ControlByWeb, CreateBy, EmptyList, access};
use crate::{
    sandbox::{
        tokens::{Sort, TokenState},
        web::Refusal,
    },
    types::Timestamp,
};

pub(super) fn router(cloud: Arc<ControlByWeb>) -> Router {
    let create_by = match cloud.settings.create_by {
        CreateBy::Post => post(create),
        CreateBy::Get => get(create),
    };
    let api = Router::new()
        .route("/accounts/{account}/tokens", get(list))
        .route("/accounts/{account}/tokens/create", create_by)
        .route("/accounts/{account}/tokens/{token}", delete(end))
        .layer(middleware::from_fn_with_state(cloud.clone(), access::authorize))
        .route("/auth/token", post(access::token));
    Router::new()
        .nest(super::BASE_PATH, api)
        .fallback(async || missing("Not Found"))
        .with_state(cloud)
}

async fn list(
    State(cloud): State<Arc<ControlByWeb>>,
    Path(account): Path<String>,
) -> Result<Json<Value>, Refusal> {
    own(&cloud, &account)?;
    let certificates = cloud.certificates();
    let alive = certificates.iter().filter(|one| is_valid(&cloud, &one.token));
    let entries: Map<_, _> = alive.map(|one| (one.number.to_string(), shown(one))).collect();
    Ok(Json(match cloud.settings.empty_list {
        EmptyList::Array if entries.is_empty() => json!([]),
        _ => Value::Object(entries),
    }))
}

async fn create(
    State(cloud): State<Arc<ControlByWeb>>,
    Path(account): Path<String>,
) -> Result<Json<Value>, Refusal> {
    own(&cloud, &account)?;
    let life = cloud.settings.certificate_life;
    let created_at = cloud.shared.clock.wall();
    let token = cloud.shared.issue(Sort::Certificate, &account, life);
    let mut certificates = cloud.certificates();
    let number = certificates.last().map_or(6, |last| last.number + 1);
    let made = Certificate { number, token, created_at, expires: created_at.plus(life) };
    let answer = shown(&made);
    certificates.push(made);
    Ok(Json(answer))
}

async fn end(
    State(cloud): State<Arc<ControlByWeb>>,
    Path((account, token)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    own(&cloud, &account)?;
    if !is_valid(&cloud, &token) {
        return Err(missing("Token not found."));
    }
    cloud.shared.forget_token(&token);
    cloud.certificates().retain(|one| one.token != token);
    Ok(Json(json!({ "message": "success" })))
}

fn is_valid(cloud: &ControlByWeb, token: &str) -> bool {
    cloud.shared.token_state(Sort::Certificate, token) == TokenState::Valid
}

fn own(cloud: &ControlByWeb, account: &str) -> Result<(), Refusal> {
    if account == cloud.settings.account_id.to_string() {
        return Ok(());
    }
    let body = json!({ "message": "This action is unauthorized." });
    Err((StatusCode::FORBIDDEN, Json(body)))
}

fn missing(words: &str) -> Refusal {
    (StatusCode::NOT_FOUND, Json(json!({ "message": words })))
}

fn shown(one: &Certificate) -> Value {
    json!({
        "token": one.token, "expires": time(one.expires), "created_at": time(one.created_at),
    })
}

/// `2020-09-15T04:18:32.000000Z`
fn time(at: Timestamp) -> Option<String> {
    let at = DateTime::from_timestamp_millis(at.0)?;
    Some(at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}
