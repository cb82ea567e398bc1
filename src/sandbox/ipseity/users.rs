//! `/user`

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Ipseity,
    routes::{argument, by_password, named, presented},
};
use crate::sandbox::web::{Refusal, authorization};

type Answer = Result<Json<Value>, Refusal>;

pub(super) async fn show(
    State(ipseity): State<Arc<Ipseity>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if ipseity.settings.blind || authorization(&headers, "Bearer").is_none() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Json(presented(&ipseity, &headers)?).into_response())
}

pub(super) async fn create(
    State(ipseity): State<Arc<Ipseity>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let user = argument(&headers, &body, "user")?;
    let pass = argument(&headers, &body, "pass")?;
    let mut users = ipseity.users();
    if users.contains_key(&user) {
        return Err(named(&ipseity, StatusCode::FORBIDDEN, "UserAlreadyExistsError"));
    }
    users.insert(user, pass);
    Ok((StatusCode::CREATED, Json(json!({}))))
}

/// Tokens that are out stay good: they are not looked up anywhere.
pub(super) async fn change(
    State(ipseity): State<Arc<Ipseity>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let user = by_password(&ipseity, &headers)?;
    let pass = argument(&headers, &body, "pass")?;
    match ipseity.users().get_mut(&user) {
        Some(known) => *known = pass,
        None => return Err(named(&ipseity, StatusCode::NOT_FOUND, "UserNotFoundError")),
    }
    Ok(Json(json!({})))
}

pub(super) async fn delete(State(ipseity): State<Arc<Ipseity>>, headers: HeaderMap) -> Answer {
    let user = by_password(&ipseity, &headers)?;
    match ipseity.users().remove(&user) {
        Some(_) => Ok(Json(json!({}))),
        None => Err(named(&ipseity, StatusCode::NOT_FOUND, "UserNotFoundError")),
    }
}
