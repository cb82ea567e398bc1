//! `/_sandbox/`: faults, counters and revocation for people and scripts.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
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
