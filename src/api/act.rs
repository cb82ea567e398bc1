//! What people do to a job: cancel, retry, resolve, erase; and to all that is sealed: rekey.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Api,
    access::{Caller, Peer},
    body, json,
    path::Id,
    problem::Problem,
    query::NoParams,
    view::{JobView, OpenJob},
};
use crate::{
    engine::{
        actions::{Cancelled, Resolve},
        erase::Erasure,
    },
    types::{JobId, opaque},
};

/// The job as it is now.
async fn job(
    api: &Api,
    caller: &Caller,
    id: JobId,
    status: StatusCode,
) -> Result<Response, Problem> {
    let row = api.find(id).await?;
    let job = OpenJob::open(&api.engine, row).with_result(&api.engine, caller).await?;
    Ok(json::answer(status, &job.view()))
}

/// 202 where a running attempt is told to end, which may take as long as its request.
pub async fn cancel(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Id(id): Id,
    _: NoParams,
) -> Result<Response, Problem> {
    let done = api.engine.cancel(id, &caller.name).await.map_err(|no| api.refusal(no))?;
    let status = match done {
        Cancelled::Now => StatusCode::OK,
        Cancelled::Asked => StatusCode::ACCEPTED,
    };
    job(&api, &caller, id, status).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retry {
    #[serde(default)]
    resend: bool,
}

pub async fn retry(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Id(id): Id,
    _: NoParams,
    request: Request,
) -> Result<Response, Problem> {
    let request = body::read(request, body::MAX_BODY).await?;
    let Retry { resend } = body::parse(&request)?;
    api.engine.retry(id, resend, &caller.name).await.map_err(|no| api.refusal(no))?;
    job(&api, &caller, id, StatusCode::OK).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    /// What the provider's side shows.
    happened: Option<Value>,
    #[serde(default)]
    not_sent: bool,
}

opaque!(Word);

impl Word {
    fn read(self) -> Result<Resolve, Problem> {
        match (self.happened, self.not_sent) {
            (Some(response), false) => Ok(Resolve::Happened(response)),
            (None, true) => Ok(Resolve::NotSent),
            (Some(_), true) => {
                Err(Problem::field("not_sent", "either it happened or it was not sent"))
            }
            (None, false) => Err(Problem::field(
                "",
                "say `{\"happened\": <the response as the provider's side shows it>}` or \
                 `{\"not_sent\": true}`",
            )),
        }
    }
}

pub async fn resolve(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Id(id): Id,
    _: NoParams,
    request: Request,
) -> Result<Response, Problem> {
    let request = body::read(request, body::MAX_BODY).await?;
    let word = body::parse::<Word>(&request)?.read()?;
    api.engine.resolve(id, word, &caller.name).await.map_err(|no| api.refusal(no))?;
    job(&api, &caller, id, StatusCode::OK).await
}

/// The job as it is left, and what was erased.
#[derive(Debug, Serialize)]
struct ErasedJob<'a> {
    #[serde(flatten)]
    job: JobView<'a>,
    erased: Erasure,
}

pub async fn erase(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Id(id): Id,
    _: NoParams,
) -> Result<Response, Problem> {
    let erased = api.engine.erase(id, &caller.name).await.map_err(|no| api.refusal(no))?;
    let job = OpenJob::open(&api.engine, api.find(id).await?);
    Ok(json::ok(&ErasedJob { job: job.view(), erased }))
}

/// Answers when everything is sealed with the new key, which may take long.
pub async fn rekey(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    _: NoParams,
) -> Result<Response, Problem> {
    tokio::select! {
        done = api.engine.rekey(&caller.name) => {
            Ok(json::ok(&done.map_err(|no| api.refusal(no))?))
        }
        // The next start goes on with it.
        () = api.stopping.cancelled() => Err(Problem::draining()),
    }
}

/// Answers when the new configuration is in force; one that is bad changes nothing.
pub async fn reload(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    _: NoParams,
) -> Result<Response, Problem> {
    let done = api.engine.reload(&caller.name).await;
    Ok(json::ok(&done.map_err(Problem::reload)?))
}

/// A person's word that the wall clock is right.
pub async fn confirm_clock(State(api): State<Arc<Api>>, _: NoParams) -> Response {
    let was_doubtful = api.engine.clock_is_doubtful();
    api.engine.confirm_clock();
    json::ok(&serde_json::json!({ "was_doubtful": was_doubtful }))
}
