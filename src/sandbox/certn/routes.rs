//! Certn's paths and what they answer.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Certn, Industry, access, applicants::Unavailable, reports};
use crate::sandbox::{
    state::random_uuid,
    web::{Refusal, with_slash},
};

/// How the applicant comes to its information: entered with the order, or asked by e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Flow {
    Quick,
    Invite,
}

pub(super) fn router(certn: Arc<Certn>) -> Router {
    let api = [
        ("/api/v1/users/", get(users)),
        ("/api/v1/{industry}/applications/{flow}/", post(order)),
        ("/api/v1/{industry}/applicants/{id}/", get(applicant)),
        ("/api/v2/reports/{id}/pdf/", get(report_pdf)),
        ("/api/v2/reports/{id}/web/", get(report_web)),
    ];
    let authorized = middleware::from_fn_with_state(certn.clone(), access::authorize);
    api.into_iter()
        .map(|(path, methods)| (path, methods.layer(authorized.clone())))
        .chain([("/token/", post(access::token))])
        .fold(Router::new(), with_slash)
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(certn)
}

async fn users(
    State(certn): State<Arc<Certn>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let pages = certn.users.len().div_ceil(certn.settings.page_size.max(1)).max(1);
    let asked = query.get("page").map_or(Ok(1), |page| page.parse::<usize>());
    let Some(page) = asked.ok().filter(|page| (1..=pages).contains(page)) else {
        return Err(detail(StatusCode::NOT_FOUND, "Invalid page."));
    };
    let results: Vec<Value> = certn
        .users
        .chunks(certn.settings.page_size.max(1))
        .nth(page - 1)
        .unwrap_or_default()
        .iter()
        .map(|id| json!({ "id": id, "email": format!("user-{id}@sandbox.invalid") }))
        .collect();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let link = |page: usize| format!("http://{host}/api/v1/users/?page={page}");
    Ok(Json(json!({
        "count": certn.users.len(),
        "next": (page < pages).then(|| link(page + 1)),
        "previous": (page > 1).then(|| link(page - 1)),
        "results": results,
    })))
}

/// Orders a check. Every order bills, however often the same one comes.
async fn order(
    State(certn): State<Arc<Certn>>,
    path: Result<Path<(Industry, Flow)>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let Path((industry, flow)) = path.map_err(|_| not_found())?;
    let body = ordered(&headers, &body)?;
    let applicant = random_uuid().to_string();
    let now = certn.shared.now();
    certn.shared.count_order(&person(&body).unwrap_or_else(|| applicant.clone()), &applicant);
    certn.applicants.add(industry, applicant.clone(), now);
    let status = certn.applicants.status(industry, &applicant, now)?;
    let created = certn.shared.clock.wall().to_string();
    let answer = match flow {
        Flow::Quick => json!({
            "id": applicant, "created": created, "report_status": status,
            "information": body["information"],
        }),
        Flow::Invite => json!({
            "id": random_uuid().to_string(), "created": created, "report_status": status,
            "applicant": { "id": applicant, "report_status": status },
        }),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// The body of an order, or why it is none.
fn ordered(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media.unwrap_or_default();
    if !media.starts_with("application/json") {
        let problem = format!("Unsupported media type \"{media}\" in request.");
        return Err(detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, &problem));
    }
    let value = serde_json::from_slice(body).map_err(|problem| {
        detail(StatusCode::BAD_REQUEST, &format!("JSON parse error - {problem}"))
    })?;
    let Value::Object(body) = value else {
        return Err(invalid("non_field_errors", &no_dictionary(&value)));
    };
    match body.get("information") {
        Some(Value::Object(_)) => Ok(body),
        Some(other) => Err(invalid("information", &no_dictionary(other))),
        None => Err(invalid("information", "This field is required.")),
    }
}

/// Django REST framework's words, with Python's names of the types.
fn no_dictionary(value: &Value) -> String {
    let name = match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    };
    format!("Invalid data. Expected a dictionary, but got {name}.")
}

/// Whom the order is for, as well as it can be told.
fn person(body: &Map<String, Value>) -> Option<String> {
    let information = body.get("information")?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(ToOwned::to_owned);
    let name = || {
        let first = text(information.get("first_name"))?;
        Some(format!("{first} {}", text(information.get("last_name"))?))
    };
    text(information.get("email")).or_else(|| text(body.get("email"))).or_else(name)
}

async fn applicant(
    State(certn): State<Arc<Certn>>,
    path: Result<Path<(Industry, String)>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let Path((industry, id)) = path.map_err(|_| not_found())?;
    let status = certn.applicants.status(industry, &id, certn.shared.now())?;
    certn.shared.count_poll(&id);
    Ok(Json(json!({ "id": id, "report_status": status })))
}

async fn report_pdf(
    State(certn): State<Arc<Certn>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    certn.applicants.report(&id, certn.shared.now())?;
    Ok((content_type("application/pdf"), reports::pdf(FINDING)).into_response())
}

async fn report_web(
    State(certn): State<Arc<Certn>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    certn.applicants.report(&id, certn.shared.now())?;
    Ok((content_type("text/html; charset=utf-8"), reports::html(FINDING)).into_response())
}

/// The one line of every report.
const FINDING: &str = "Simulated background check: clear";

const fn content_type(value: &'static str) -> [(header::HeaderName, HeaderValue); 1] {
    [(header::CONTENT_TYPE, HeaderValue::from_static(value))]
}

impl From<Unavailable> for Refusal {
    fn from(why: Unavailable) -> Self {
        match why {
            Unavailable::Unknown => not_found(),
            Unavailable::Incomplete(industry) => {
                let industry = industry.name();
                let problem =
                    format!("Cannot generate report for incomplete {industry} applicant.");
                invalid("non_field_errors", &problem)
            }
        }
    }
}

fn not_found() -> Refusal {
    detail(StatusCode::NOT_FOUND, "Not found.")
}

fn detail(status: StatusCode, text: &str) -> Refusal {
    (status, Json(json!({ "detail": text })))
}

fn invalid(field: &str, message: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, Json(json!({ field: [message] })))
}
