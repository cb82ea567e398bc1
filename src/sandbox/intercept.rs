//! Around every request to a provider: write it down, spoil it where a fault says so.

use std::{future, io, sync::Arc};

use axum::{
    Json,
    body::{self, Body},
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chrono::DateTime;
use futures::{StreamExt, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{
    faults::FaultKind,
    server::Connection,
    state::{Recorded, Shared},
};

const BODY_LIMIT: usize = 8 << 20;

pub(super) async fn intercept(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = body::to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let echoed = (parts.clone(), body.clone());
    let (number, fault) = shared.record(recorded(&parts, &body, &shared), route(&parts));
    let work = next.run(Request::from_parts(parts, Body::from(body)));
    let mut response = match fault {
        None => work.await,
        Some(FaultKind::Hang) => future::pending().await,
        Some(FaultKind::Reset) => {
            connection.reset();
            return never_sent();
        }
        Some(FaultKind::LoseReply) => {
            work.await;
            connection.close();
            return never_sent();
        }
        Some(FaultKind::Slow(by)) => {
            // Done at once; only the reply is late.
            let response = work.await;
            tokio::time::sleep(by).await;
            response
        }
        Some(FaultKind::Truncate) => truncate(work.await).await,
        Some(FaultKind::Garbage) => garble(work.await),
        Some(FaultKind::Status { code, retry_after }) => refuse(code, retry_after),
        Some(FaultKind::Echo(code)) => echo(code, &echoed.0, &echoed.1),
    };
    set_date(&mut response, &shared);
    shared.answered(number, response.status().as_u16());
    response
}

fn recorded(parts: &Parts, body: &Bytes, shared: &Shared) -> Recorded {
    Recorded {
        at: shared.clock.wall(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(ToOwned::to_owned),
        headers: parts.headers.clone(),
        body: body.clone(),
        status: None,
        fault: None,
        number: 0,
    }
}

/// The route as it was declared, so that counters do not grow with ids.
fn route(parts: &Parts) -> String {
    let path = parts.extensions.get::<MatchedPath>().map_or("(no route)", MatchedPath::as_str);
    format!("{} {path}", parts.method)
}

/// What a handler must return although its connection is already cut.
fn never_sent() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Promises the whole body and breaks off in the middle.
async fn truncate(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = body::to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, whole.len().into());
    let first = stream::iter([Ok(whole.slice(..whole.len() / 2))]);
    let broken = stream::once(async {
        // Lets hyper write out what it has before the error drops the connection.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    });
    Response::from_parts(parts, Body::from_stream(first.chain(broken)))
}

fn garble(response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from("{\"id\": <html>\u{fffd}"))
}

fn refuse(code: u16, retry_after: Option<String>) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = status.canonical_reason().unwrap_or("Simulated fault");
    let mut response = (status, Json(json!({ "detail": reason }))).into_response();
    if let Some(value) = retry_after.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// What servers do whose error pages help their developers.
fn echo(code: u16, asked: &Parts, body: &[u8]) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let authorization = asked.headers.get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (target, body) = (asked.uri.to_string(), String::from_utf8_lossy(body));
    let words = json!({ "target": target, "authorization": authorization, "body": body });
    let mut response = (status, Json(words)).into_response();
    if status.is_redirection() {
        let parts = [target.as_str(), authorization, &body];
        let parts = parts.map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string());
        let location = HeaderValue::try_from(format!("/elsewhere?{}", parts.join("&")));
        response.headers_mut().extend(location.ok().map(|value| (header::LOCATION, value)));
    }
    response
}

/// The provider's `Date` is by the sandbox's clock: clients judge their own clocks by it.
fn set_date(response: &mut Response, shared: &Shared) {
    let date = DateTime::from_timestamp_millis(shared.clock.wall().0)
        .map(|at| at.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(date) = date {
        response.headers_mut().insert(header::DATE, date);
    }
}
