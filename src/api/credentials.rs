//! Credentials: their state, and their values for those who may have them.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{
    Api,
    access::Peer,
    json,
    path::Named,
    problem::Problem,
    query::{self, NoParams, Raw},
};
use crate::{
    credentials::{cell::Cell, view::CredentialView},
    engine::sinks::view::SinkView,
    store::StoreResult,
    types::Timestamp,
};

const DEFAULT_MIN_TTL: Duration = Duration::from_mins(1);
const LONGEST_TTL: Duration = Duration::from_hours(24 * 366);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_TIMEOUT: Duration = Duration::from_hours(1);

#[derive(Serialize)]
struct List {
    credentials: Vec<Shown>,
}

pub async fn list(State(api): State<Arc<Api>>, _: NoParams) -> Result<Response, Problem> {
    let mut credentials = vec![];
    for cell in api.engine.credentials.all() {
        credentials.push(shown(&api, &cell).await?);
    }
    Ok(json::ok(&List { credentials }))
}

/// A credential with where its value goes, and what its account's people should know.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    view: CredentialView,
    sinks: Vec<SinkView>,
    notices: Vec<String>,
}

async fn shown(api: &Api, cell: &Cell) -> StoreResult<Shown> {
    let changed = api.engine.changes.of(cell.queue);
    Ok(Shown {
        view: cell.view(api.engine.clock.wall()),
        sinks: api.engine.sinks_of(cell.queue, &cell.name).await?,
        notices: changed.iter().map(|one| one.advice(&cell.account)).collect(),
    })
}

pub async fn get(
    State(api): State<Arc<Api>>,
    Named((account, name)): Named<(String, String)>,
    _: NoParams,
) -> Result<Response, Problem> {
    view(&api, &account, &name, StatusCode::OK).await
}

async fn view(
    api: &Api,
    account: &str,
    name: &str,
    status: StatusCode,
) -> Result<Response, Problem> {
    let cell = api.engine.cell(account, name).map_err(|no| api.refusal(no))?;
    Ok(json::answer(status, &shown(api, &cell).await?))
}

/// A value in clear.
#[derive(Serialize)]
struct Usable<'a> {
    value: &'a str,
    expires_at: Option<Timestamp>,
    generation: i64,
}

pub async fn value(
    State(api): State<Arc<Api>>,
    Named((account, name)): Named<(String, String)>,
    query: Raw,
) -> Result<Response, Problem> {
    let mut params = query.only(&["min_ttl", "timeout"]);
    let min_ttl = params.take("min_ttl", |text| query::duration(text, LONGEST_TTL));
    let timeout = params.take("timeout", |text| query::duration(text, LONGEST_TIMEOUT));
    params.done()?;
    let min_ttl = min_ttl.unwrap_or(DEFAULT_MIN_TTL);
    let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
    let held = tokio::select! {
        held = api.engine.credential_value(&account, &name, min_ttl, timeout) => held,
        () = api.stopping.cancelled() => return Err(Problem::draining()),
    };
    let held = held.map_err(|no| api.refusal(no))?;
    let mut response = json::ok(&Usable {
        value: held.value.expose_secret(),
        expires_at: held.expires_at,
        generation: held.generation,
    });
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[derive(Serialize)]
struct Withdrawn {
    #[serde(flatten)]
    credential: CredentialView,
    provider: &'static str,
}

/// Takes the value in hand out of use; says whether the provider was told.
pub async fn revoke(
    State(api): State<Arc<Api>>,
    Named((account, name)): Named<(String, String)>,
    Peer(caller): Peer,
    _: NoParams,
) -> Result<Response, Problem> {
    let told = tokio::select! {
        told = api.engine.withdraw(&account, &name, &caller.name) => told,
        () = api.stopping.cancelled() => return Err(Problem::draining()),
    };
    let provider = told.map_err(|no| api.refusal(no))?.name();
    let cell = api.engine.cell(&account, &name).map_err(|no| api.refusal(no))?;
    Ok(json::ok(&Withdrawn { credential: cell.view(api.engine.clock.wall()), provider }))
}

/// 202: the renewal is on its way, its end shows in the credential.
pub async fn renew(
    State(api): State<Arc<Api>>,
    Named((account, name)): Named<(String, String)>,
    _: NoParams,
) -> Result<Response, Problem> {
    api.engine.renew(&account, &name).await.map_err(|no| api.refusal(no))?;
    view(&api, &account, &name, StatusCode::ACCEPTED).await
}
