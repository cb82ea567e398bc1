//! Schedules: where each stands, and running one now.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde_json::json;

use super::{
    Api, access::Peer, enqueue::render, json, path::Named, problem::Problem, query::NoParams,
};

pub async fn list(State(api): State<Arc<Api>>, _: NoParams) -> Result<Response, Problem> {
    let schedules = api.engine.schedule_views().await?;
    Ok(json::ok(&json!({ "schedules": schedules })))
}

/// Answers with the job, as `POST /v1/jobs` does.
pub async fn run(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Named(name): Named<String>,
    _: NoParams,
) -> Result<Response, Problem> {
    let actor = caller.actor(&*api.engine.store).await?;
    let submitted = api.engine.run_schedule(&name, actor, &caller.name).await;
    let (status, job) = render(&api, &caller, submitted).await?;
    Ok(json::raw(status, job))
}
