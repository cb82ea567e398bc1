//! Credentials: their state, and their values for those who may have them.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{
    Api,
    access::{Caller, Peer},
    json,
    path::Named,
    problem::Problem,
    query::{self, NoParams, Raw},
};
use crate::{
    config::Right,
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

pub async fn list(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    _: NoParams,
) -> Result<Response, Problem> {
    let mut credentials = vec![];
    for cell in api.engine.credentials.all() {
        let kind = kind(&api, &cell.account, &cell.name);
        if !caller.grants.on(Right::Read, &cell.account, &kind) {
            continue;
        }
        credentials.push(shown(&api, &cell).await?);
    }
    Ok(json::ok(&List { credentials }))
}

/// The kind of a credential's renewal, which rules may be limited to; empty where nobody knows the
/// account.
fn kind(api: &Api, account: &str, name: &str) -> String {
    let catalog = api.engine.catalog();
    let provider = catalog.account(account).map(|one| one.provider.name.as_str());
    provider.map(|provider| format!("{provider}.{name}")).unwrap_or_default()
}

/// The names decide, as far as they can: what is refused does not tell whether it exists.
fn check(
    api: &Api,
    caller: &Caller,
    right: Right,
    account: &str,
    name: &str,
) -> Result<(), Problem> {
    if caller.grants.on(right, account, &kind(api, account, name)) {
        return Ok(());
    }
    Err(caller.refuse(right, &format!(" for {account}/{name}")))
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
    Peer(caller): Peer,
    _: NoParams,
) -> Result<Response, Problem> {
    check(&api, &caller, Right::Read, &account, &name)?;
    view(&api, &caller, &account, &name, StatusCode::OK).await
}

async fn view(
    api: &Api,
    caller: &Caller,
    account: &str,
    name: &str,
    status: StatusCode,
) -> Result<Response, Problem> {
    let cell = api.engine.cell(account, name).map_err(|no| api.refusal_to(caller, no))?;
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
    Peer(caller): Peer,
    query: Raw,
) -> Result<Response, Problem> {
    check(&api, &caller, Right::Credentials, &account, &name)?;
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
    let held = held.map_err(|no| api.refusal_to(&caller, no))?;
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
    check(&api, &caller, Right::Operate, &account, &name)?;
    let told = tokio::select! {
        told = api.engine.withdraw(&account, &name, &caller.name) => told,
        () = api.stopping.cancelled() => return Err(Problem::draining()),
    };
    let provider = told.map_err(|no| api.refusal_to(&caller, no))?.name();
    let cell = api.engine.cell(&account, &name).map_err(|no| api.refusal(no))?;
    Ok(json::ok(&Withdrawn { credential: cell.view(api.engine.clock.wall()), provider }))
}

/// 202: the renewal is on its way, its end shows in the credential.
pub async fn renew(
    State(api): State<Arc<Api>>,
    Named((account, name)): Named<(String, String)>,
    Peer(caller): Peer,
    _: NoParams,
) -> Result<Response, Problem> {
    check(&api, &caller, Right::Operate, &account, &name)?;
    let renewed = api.engine.renew(&account, &name, &caller.name).await;
    renewed.map_err(|no| api.refusal_to(&caller, no))?;
    view(&api, &caller, &account, &name, StatusCode::ACCEPTED).await
}
