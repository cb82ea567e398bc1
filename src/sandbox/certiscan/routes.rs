//! CertiScan's paths and what they answer.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{CertiScan, Client};
use crate::sandbox::{
    tokens::{Sort, TokenState},
    web::{Refusal, authorization, basic, is_part, json_object, texts, throttled, with_slash},
};

type Answer = Result<Json<Value>, Refusal>;

pub(super) fn router(certiscan: Arc<CertiScan>) -> Router {
    let authorized = middleware::from_fn_with_state(certiscan.clone(), authorize);
    let client = post(not_allowed).put(update).delete(delete).layer(authorized.clone()).get(token);
    [
        ("/api/v1/account/worktoken/", post(create).layer(authorized)),
        ("/api/v1/account/worktoken/{subject}/", client),
    ]
    .into_iter()
    .fold(Router::new(), with_slash)
    .route("/", get(async || StatusCode::NOT_FOUND))
    .with_state(certiscan)
}

async fn not_allowed() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

async fn authorize(
    State(certiscan): State<Arc<CertiScan>>,
    request: Request,
    next: Next,
) -> Response {
    let token = authorization(request.headers(), "Bearer").unwrap_or_default();
    if certiscan.shared.token_state(Sort::Access, token) != TokenState::Valid {
        // Also where refusals are 200: a gateway looks at the token first.
        let body = json!({ "success": false, "message": "Unauthorized" });
        return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    }
    match certiscan.shared.throttle() {
        Ok(()) => next.run(request).await,
        Err(wait) => {
            let headers = [("retry-after", throttled(wait).0.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers).into_response()
        }
    }
}

/// `GET /{subject}/`: HTTP Basic with the client's secret.
async fn token(
    State(certiscan): State<Arc<CertiScan>>,
    Path(subject): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let (user, secret) = basic(&headers).unwrap_or_default();
    let known = certiscan
        .clients()
        .get(&subject)
        .is_some_and(|client| is_part(&user, &subject) && is_part(&secret, &client.secret));
    if !known {
        return Err(refused(&certiscan, StatusCode::UNAUTHORIZED, "Invalid credentials"));
    }
    let life = certiscan.settings.token_life;
    Ok(done(&json!({
        "subject": subject,
        "token": {
            "access_token": certiscan.shared.issue(Sort::Access, &subject, life),
            "expires_in": life.as_secs(), "scope": "work", "token_type": "bearer",
        },
    })))
}

async fn create(
    State(certiscan): State<Arc<CertiScan>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let (subject, client) = sent(&certiscan, &headers, &body)?;
    let mut clients = certiscan.clients();
    if clients.contains_key(&subject) {
        return Err(refused(&certiscan, StatusCode::BAD_REQUEST, "The subject has a client"));
    }
    let answer = done(&json!({ "subject": subject, "name": client.name }));
    clients.insert(subject, client);
    Ok(answer)
}

async fn update(
    State(certiscan): State<Arc<CertiScan>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let (subject, client) = sent(&certiscan, &headers, &body)?;
    if path != subject {
        return Err(refused(&certiscan, StatusCode::BAD_REQUEST, "Two different subjects"));
    }
    let answer = done(&json!({ "subject": subject, "name": client.name }));
    match certiscan.clients().get_mut(&subject) {
        Some(known) => *known = client,
        None => return Err(unknown(&certiscan)),
    }
    certiscan.shared.end_tokens(&subject, certiscan.settings.death_delay);
    Ok(answer)
}

async fn delete(State(certiscan): State<Arc<CertiScan>>, Path(subject): Path<String>) -> Answer {
    if certiscan.clients().remove(&subject).is_none() {
        return Err(unknown(&certiscan));
    }
    certiscan.shared.end_tokens(&subject, certiscan.settings.death_delay);
    Ok(done(&json!({})))
}

fn sent(
    certiscan: &CertiScan,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(String, Client), Refusal> {
    let mut sent: HashMap<_, _> = texts(json_object(headers, body));
    let mut take = |name: &str| {
        let missing = || refused(certiscan, StatusCode::BAD_REQUEST, "A field is missing");
        sent.remove(name).filter(|text| !text.is_empty()).ok_or_else(missing)
    };
    Ok((take("subject")?, Client { name: take("name")?, secret: take("secret")? }))
}

/// What was done. A secret is never in it.
fn done(result: &Value) -> Json<Value> {
    Json(json!({ "success": true, "result": result }))
}

fn unknown(certiscan: &CertiScan) -> Refusal {
    refused(certiscan, StatusCode::NOT_FOUND, "No such client")
}

fn refused(certiscan: &CertiScan, status: StatusCode, words: &str) -> Refusal {
    let status = if certiscan.settings.refuses_with_200 { StatusCode::OK } else { status };
    (status, Json(json!({ "success": false, "message": words })))
}
