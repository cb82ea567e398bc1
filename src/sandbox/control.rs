//! `/_sandbox/`: faults, counters, revocation and devices for people and scripts.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    faults::{Fault, FaultRequest},
    state::{Counters, Shared},
};

pub(super) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/_sandbox/faults", post(add_fault).delete(clear_faults))
        .route("/_sandbox/state", get(state))
        .route("/_sandbox/revoke_tokens", post(revoke_tokens))
        .route("/_sandbox/device", post(device))
        .with_state(shared)
}

async fn add_fault(State(shared): State<Arc<Shared>>, Json(asked): Json<FaultRequest>) -> Response {
    match Fault::try_from(asked) {
        Ok(fault) => {
            shared.add_fault(fault);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(problem) => {
            let body = Json(json!({ "detail": problem.to_string() }));
            (StatusCode::UNPROCESSABLE_ENTITY, body).into_response()
        }
    }
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.clear_faults();
    StatusCode::NO_CONTENT
}

async fn state(State(shared): State<Arc<Shared>>) -> Json<Counters> {
    Json(shared.counters())
}

async fn revoke_tokens(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.revoke_tokens();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Device {
    token: String,
}

/// What a device meets that asks to join with the certificate request token it was given.
async fn device(State(shared): State<Arc<Shared>>, Json(device): Json<Device>) -> Response {
    match shared.device(device.token.trim()) {
        Some(account) => Json(json!({ "valid": true, "account": account })).into_response(),
        None => (StatusCode::FORBIDDEN, Json(json!({ "valid": false }))).into_response(),
    }
}
