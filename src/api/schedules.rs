//! Schedules: where each stands, and running one now.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde_json::json;

use super::{
    Api, access::Peer, enqueue::render, json, path::Named, problem::Problem, query::NoParams,
};
use crate::{config::Right, engine::actions::Submitted};

pub async fn list(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    _: NoParams,
) -> Result<Response, Problem> {
    let mut schedules = api.engine.schedule_views().await?;
    schedules.retain(|one| caller.grants.on(Right::Read, &one.account, &one.kind));
    Ok(json::ok(&json!({ "schedules": schedules })))
}

/// Answers with the job, as `POST /v1/jobs` does.
pub async fn run(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Named(name): Named<String>,
    _: NoParams,
) -> Result<Response, Problem> {
    let catalog = api.engine.catalog();
    let schedule = catalog.schedules.iter().find(|one| one.name == name);
    let may = schedule.is_some_and(|one| caller.grants.on(Right::Operate, &one.account, &one.kind))
        || caller.grants.everywhere(Right::Operate);
    if !may {
        // The same whether there is such a schedule or not.
        return Err(caller.refuse(Right::Operate, &format!(" for the schedule {name}")));
    }
    let actor = caller.actor(&*api.engine.store).await?;
    let submitted = api.engine.run_schedule(&name, actor, &caller.name).await;
    if let Ok(Submitted::New(prepared)) = &submitted
        && let (kind, account) = (&prepared.kind.name, &prepared.account.name)
        && !caller.grants.on(Right::Read, account, kind)
    {
        // Its arguments are the operator's, not the caller's own.
        let id = prepared.row.id;
        let job = json!({ "id": id, "kind": kind, "account": account, "state": "queued" });
        return Ok(json::raw(StatusCode::CREATED, json::bytes(&job)));
    }
    let (status, job) = render(&api, &caller, submitted).await?;
    Ok(json::raw(status, job))
}
