//! ipseity's paths, and its tokens.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::{Ipseity, users};
use crate::{
    sandbox::{
        state::random_uuid,
        tokens::Sort,
        web::{Refusal, authorization, claims, json_object, jwt, texts},
    },
    types::millis,
};

pub(super) fn router(ipseity: Arc<Ipseity>) -> Router {
    Router::new()
        .route("/token", get(token))
        .route("/refresh_token", get(refresh_token).delete(delete_refresh_token))
        .route("/check", get(check))
        .route(
            "/user",
            get(users::show).post(users::create).patch(users::change).delete(users::delete),
        )
        .route("/pubkey", get(pubkey))
        .route("/version", get(async || Json(json!({ "version": "0.0.0-sandbox" }))))
        .with_state(ipseity)
}

/// An argument that must be there.
pub(super) fn argument(headers: &HeaderMap, body: &[u8], name: &str) -> Result<String, Refusal> {
    texts(json_object(headers, body)).remove(name).ok_or_else(|| {
        let words = "Missing required parameter in the JSON body or the post body or the query \
                     string";
        (StatusCode::BAD_REQUEST, Json(json!({ "message": { name: words } })))
    })
}

/// An error of the server's own, by its name; masked where the setting says so.
pub(super) fn named(ipseity: &Ipseity, status: StatusCode, name: &str) -> Refusal {
    if ipseity.settings.masked {
        let body = json!({ "message": "Internal Server Error" });
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(body));
    }
    (status, Json(json!({ "error_name": name, "message": format!("{name} occurred") })))
}

/// What the presented token says.
pub(super) fn presented(ipseity: &Ipseity, headers: &HeaderMap) -> Result<Value, Refusal> {
    let token = authorization(headers, "Bearer").unwrap_or_default();
    let valid = ipseity.shared.subject(Sort::Access, token).and_then(|_| claims(token));
    valid.ok_or_else(|| {
        let body = json!({ "message": "A valid token is required" });
        (StatusCode::UNAUTHORIZED, Json(body))
    })
}

/// Whose the presented token is, if it was made by password.
pub(super) fn by_password(ipseity: &Ipseity, headers: &HeaderMap) -> Result<String, Refusal> {
    let claims = presented(ipseity, headers)?;
    if claims["made_by"] != "password" {
        return Err(named(ipseity, StatusCode::FORBIDDEN, "PasswordAuthenticationRequiredError"));
    }
    Ok(claims["user"].as_str().unwrap_or_default().to_owned())
}

/// `GET /token`: `user` is a name with `pass`, or a refresh token without.
async fn token(
    State(ipseity): State<Arc<Ipseity>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let user = argument(&headers, &body, "user")?;
    let (user, made_by) = if let Ok(pass) = argument(&headers, &body, "pass") {
        if ipseity.users().get(&user) != Some(&pass) {
            return Err(named(&ipseity, StatusCode::NOT_FOUND, "IncorrectPasswordError"));
        }
        (user, "password")
    } else {
        let bad = || named(&ipseity, StatusCode::BAD_REQUEST, "InvalidTokenError");
        (ipseity.shared.subject(Sort::Refresh, &user).ok_or_else(bad)?, "refresh_token")
    };
    if ipseity.settings.deactivated && user == ipseity.settings.user {
        return Err(named(&ipseity, StatusCode::FORBIDDEN, "UserDeactivatedError"));
    }
    Ok(issued(&ipseity, Sort::Access, &user, made_by))
}

async fn refresh_token(
    State(ipseity): State<Arc<Ipseity>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let user = by_password(&ipseity, &headers)?;
    Ok(issued(&ipseity, Sort::Refresh, &user, "password"))
}

fn issued(ipseity: &Ipseity, sort: Sort, user: &str, made_by: &str) -> Response {
    let Ipseity { shared, settings, .. } = ipseity;
    let life = if sort == Sort::Refresh { settings.refresh_life } else { settings.token_life };
    let now = shared.clock.wall().0;
    let token = jwt(&json!({
        "user": user, "made_by": made_by, "iat": now.div_euclid(1_000),
        "exp": now.saturating_add(millis(life)).div_euclid(1_000),
        "jti": random_uuid().simple().to_string(),
    }));
    shared.issue_as(&token, sort, user, life);
    if settings.quoted { Json(token).into_response() } else { token.into_response() }
}

async fn delete_refresh_token(
    State(ipseity): State<Arc<Ipseity>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    presented(&ipseity, &headers)?;
    let token = argument(&headers, &body, "refresh_token")?;
    if ipseity.shared.subject(Sort::Refresh, &token).is_none() {
        return Err(named(&ipseity, StatusCode::BAD_REQUEST, "InvalidTokenError"));
    }
    ipseity.shared.forget_token(&token);
    Ok(Json(json!({})))
}

async fn check(
    State(ipseity): State<Arc<Ipseity>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let token = argument(&headers, &body, "access_token")?;
    let valid = ipseity.shared.subject(Sort::Access, &token).and_then(|_| claims(&token));
    valid.map(Json).ok_or_else(|| named(&ipseity, StatusCode::BAD_REQUEST, "InvalidTokenError"))
}

async fn pubkey(State(ipseity): State<Arc<Ipseity>>) -> Result<&'static str, Refusal> {
    if ipseity.settings.symmetric {
        let words = "A symmetric algorithm is in use, there is no public key";
        return Err((StatusCode::NOT_FOUND, Json(json!({ "message": words }))));
    }
    Ok("-----BEGIN PUBLIC KEY-----\nc2FuZGJveA==\n-----END PUBLIC KEY-----\n")
}
