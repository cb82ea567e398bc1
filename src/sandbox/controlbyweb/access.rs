//! `POST /auth/token`, and who may use the API.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Form, Json,
    extract::{Request, State, rejection::FormRejection},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{ControlByWeb, Refresh};
use crate::sandbox::{
    tokens::{Sort, TokenState},
    web::{Refusal, authorization, throttled},
};

type Fields = HashMap<String, String>;

pub(super) async fn token(
    State(cloud): State<Arc<ControlByWeb>>,
    form: Result<Form<Fields>, FormRejection>,
) -> Result<Json<Value>, Refusal> {
    let form = form.map(|Form(fields)| fields).unwrap_or_default();
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let settings = &cloud.settings;
    match field("grant_type") {
        "password" => {
            let known =
                field("username") == settings.username && field("password") == settings.password;
            if !known {
                return Err(refused("invalid_grant", "The user credentials were incorrect."));
            }
            Ok(issued(&cloud, settings.refresh != Refresh::None))
        }
        "refresh_token" => {
            let token = field("refresh_token");
            if cloud.shared.token_state(Sort::Refresh, token) != TokenState::Valid {
                return Err(refused("invalid_grant", "The refresh token is invalid."));
            }
            let rotating = settings.refresh == Refresh::Rotating;
            if rotating {
                cloud.shared.forget_token(token);
            }
            Ok(issued(&cloud, rotating))
        }
        _ => Err(refused("unsupported_grant_type", "The grant type is not supported.")),
    }
}

fn issued(cloud: &ControlByWeb, refresh: bool) -> Json<Value> {
    let settings = &cloud.settings;
    let issue = |sort, life| cloud.shared.issue(sort, &settings.username, life);
    let mut answer = json!({
        "token_type": "Bearer",
        "access_token": issue(Sort::Access, settings.token_life),
        "expires_in": settings.token_life.as_secs(),
    });
    if refresh {
        answer["refresh_token"] = issue(Sort::Refresh, settings.refresh_life).into();
    }
    Json(answer)
}

fn refused(error: &str, words: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error, "message": words })))
}

/// Lets a request through to the API: first the token, then the rate limit.
pub(super) async fn authorize(
    State(cloud): State<Arc<ControlByWeb>>,
    request: Request,
    next: Next,
) -> Response {
    let token = authorization(request.headers(), "Bearer").unwrap_or_default();
    if cloud.shared.token_state(Sort::Access, token) != TokenState::Valid {
        let body = json!({ "message": "Unauthenticated." });
        return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    }
    match cloud.shared.throttle() {
        Ok(()) => next.run(request).await,
        Err(wait) => {
            let headers = [("retry-after", throttled(wait).0.to_string())];
            let body = json!({ "message": "Too Many Attempts." });
            (StatusCode::TOO_MANY_REQUESTS, headers, Json(body)).into_response()
        }
    }
}
