//! Queues: what holds them, what is left of their budgets, how much waits in them.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::Serialize;

use super::{
    Api,
    access::{Caller, Peer},
    json,
    path::Named,
    problem::Problem,
    query::NoParams,
};
use crate::{
    config::Right,
    engine::{Engine, catalog::Account, gates::Hold},
    policy::{budget::Class, limit::Limit},
    store::QueueDepth,
    types::Timestamp,
};

#[derive(Serialize)]
struct List<'a> {
    queues: Vec<Queue<'a>>,
}

#[derive(Serialize)]
struct Queue<'a> {
    account: &'a str,
    provider: &'a str,
    /// `open`, `paused` or `gated`.
    state: &'static str,
    /// What holds due calls.
    waiting_for: Option<Hold>,
    budget: Vec<Spent>,
    /// When a call may be sent again, where the budget is spent.
    next_free: Option<Timestamp>,
    due: i64,
    waiting: i64,
    running: usize,
    next_run_at: Option<Timestamp>,
    held_kinds: Vec<HeldKind>,
}

#[derive(Serialize)]
struct Spent {
    limit: Limit,
    used: u32,
    left: u32,
}

#[derive(Serialize)]
struct HeldKind {
    kind: String,
    detail: String,
}

/// Whoever may read any kind of an account sees its queue whole.
pub async fn list(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    _: NoParams,
) -> Result<Response, Problem> {
    let catalog = api.engine.catalog();
    let depths = api.engine.depths().await?;
    let reads = |one: &&Arc<Account>| caller.grants.in_account(Right::Read, &one.name);
    let accounts = catalog.accounts.values().filter(reads);
    let queues = accounts.map(|account| view(&api.engine, account, &depths)).collect();
    Ok(json::ok(&List { queues }))
}

fn view<'a>(engine: &Engine, account: &'a Account, depths: &[QueueDepth]) -> Queue<'a> {
    let depth = depths.iter().find(|depth| depth.queue == account.queue);
    let gate = engine.gates.hold(account.queue, None, engine.clock.wall());
    let budget = engine.budgets.left(&account.budget).into_iter();
    Queue {
        account: &account.name,
        provider: &account.provider.name,
        state: match gate.as_ref().map(|hold| hold.code) {
            None => "open",
            Some("paused") => "paused",
            Some(_) => "gated",
        },
        waiting_for: engine.queue_hold(account.queue, Class::Call),
        budget: budget
            .map(|one| Spent { limit: one.limit, used: one.used, left: one.left })
            .collect(),
        next_free: engine.budgets.next_free(&account.budget, Class::Call),
        due: depth.map_or(0, |depth| depth.due),
        waiting: depth.map_or(0, |depth| depth.later),
        running: engine.running.count_of(account.queue),
        next_run_at: depth.and_then(|depth| depth.next_run_at),
        held_kinds: held_kinds(engine, account),
    }
}

fn held_kinds(engine: &Engine, account: &Account) -> Vec<HeldKind> {
    let catalog = engine.catalog();
    let shut = engine.gates.shut_kinds(account.queue).into_iter();
    shut.filter_map(|(kind, detail)| Some(HeldKind { kind: catalog.kind(kind)?.name(), detail }))
        .collect()
}

pub async fn pause(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Named(account): Named<String>,
    _: NoParams,
) -> Result<Response, Problem> {
    set(&api, &account, true, &caller).await
}

pub async fn resume(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Named(account): Named<String>,
    _: NoParams,
) -> Result<Response, Problem> {
    set(&api, &account, false, &caller).await
}

/// Answers with the queue as it is then.
async fn set(api: &Api, account: &str, pause: bool, caller: &Caller) -> Result<Response, Problem> {
    caller.needs_account(Right::Operate, account)?;
    let done = api.engine.pause(account, pause, &caller.name).await;
    done.map_err(|no| api.refusal_to(caller, no))?;
    let catalog = api.engine.catalog();
    let depths = api.engine.depths().await?;
    let Some(account) = catalog.account(account) else { return Ok(json::ok(&())) };
    Ok(json::ok(&view(&api.engine, account, &depths)))
}
