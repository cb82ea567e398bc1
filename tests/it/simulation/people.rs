//! Clients and operators: what they ask of the daemon, and what they may expect.

use std::{sync::Arc, time::Duration};

use attendant::{
    engine::{
        Engine,
        actions::{Cancelled, Refusal, Resolve, Submitted},
        enqueue::JobRequest,
    },
    types::{JobId, JobState},
};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{
    provider::HOUR,
    sim::{Sim, State},
};

const WHO: &str = "the simulation";
pub const CREDENTIAL: &str = "access_token";

/// A job that some client wants.
#[derive(Debug, Clone)]
pub struct Plan {
    pub kind: &'static str,
    pub account: &'static str,
    pub reference: String,
    pub key: Option<String>,
    /// In milliseconds from when it is asked for.
    pub later: Option<i64>,
    /// As it was answered.
    pub accepted: Option<JobId>,
}

/// What somebody does.
#[derive(Debug, Clone)]
pub enum Ask {
    Enqueue(usize),
    /// A key that came before, with other arguments.
    Misuse(usize),
    Cancel(JobId),
    Retry(JobId),
    Resolve(JobId),
    Pause(&'static str, bool),
    Renew(&'static str),
    Value(&'static str),
}

pub async fn ask(sim: Arc<Sim>, engine: Arc<Engine>, ask: Ask) {
    match ask {
        Ask::Enqueue(n) => enqueue(&sim, &engine, n).await,
        Ask::Misuse(n) => misuse(&sim, &engine, n).await,
        Ask::Cancel(id) => cancel(&sim, &engine, id).await,
        Ask::Retry(id) => retry(&sim, &engine, id).await,
        Ask::Resolve(id) => resolve(&sim, &engine, id).await,
        Ask::Pause(account, pause) => {
            let paused = engine.pause(account, pause, WHO).await.is_ok();
            sim.note(|| format!("pause {account} {pause}: {paused}"));
        }
        Ask::Renew(account) => {
            let renewed = engine.renew(account, CREDENTIAL, WHO).await.is_ok();
            sim.note(|| format!("renew {account}: {renewed}"));
        }
        Ask::Value(account) => value(&sim, &engine, account).await,
    }
}

fn request(plan: &Plan, reference: &str, now: attendant::types::Timestamp) -> JobRequest {
    let args = match plan.kind {
        "certn.application" => {
            json!({ "industry": "hr", "application": { "ref": reference }, "report": "pdf" })
        }
        "certn.applicant" => json!({ "industry": "hr", "id": reference }),
        _ => json!({ "ref": reference }),
    };
    let run_at = plan.later.map(|ms| now.plus(super::provider::wait(ms)).to_string());
    JobRequest {
        kind: plan.kind.to_owned(),
        account: Some(plan.account.to_owned()),
        args,
        key: plan.key.clone(),
        run_at,
        ..JobRequest::default()
    }
}

async fn submit(engine: &Engine, request: JobRequest) -> Option<Result<Submitted, Refusal>> {
    engine.submit(vec![request], engine.actor, WHO).await.ok()?.pop()
}

async fn enqueue(sim: &Sim, engine: &Engine, n: usize) {
    let plan = sim.state().plans[n].clone();
    let answer = submit(engine, request(&plan, &plan.reference, engine.clock.wall())).await;
    let mut state = sim.state();
    let id = match answer {
        Some(Ok(Submitted::New(prepared))) => prepared.row.id,
        Some(Ok(Submitted::Existing(row))) => row.id,
        // The store's trouble: the client hears of it, and asks again.
        None | Some(Err(Refusal::Store(_) | Refusal::Draining)) => return,
        other => return state.wrong(format!("{plan:?} was answered with {other:?}")),
    };
    if state.ledger.n(id).is_none() {
        return state.wrong(format!("{plan:?} was accepted as {id} and is not stored"));
    }
    let before = state.plans[n].accepted.replace(id);
    if before.is_some_and(|before| before != id) && plan.key.is_some() {
        state.wrong(format!("{plan:?} was accepted twice, as {before:?} and {id}"));
    }
}

async fn misuse(sim: &Sim, engine: &Engine, n: usize) {
    let plan = sim.state().plans[n].clone();
    let answer = submit(engine, request(&plan, "another", engine.clock.wall())).await;
    match answer {
        Some(Err(Refusal::KeyReused { id })) if Some(id) == plan.accepted => {}
        None | Some(Err(Refusal::Store(_) | Refusal::Draining)) => {}
        other => sim.state().wrong(format!("{plan:?} with other arguments: {other:?}")),
    }
}

async fn cancel(sim: &Sim, engine: &Engine, id: JobId) {
    let before = sim.state().ledger.of_id(id).map(|one| one.state);
    let answer = engine.cancel(id, WHO).await;
    let mut state = sim.state();
    let line = format!("cancel: {}", answer.is_ok());
    state.trace.add(line);
    let ended = before.is_some_and(JobState::has_ended);
    if matches!(answer, Ok(Cancelled::Now)) && ended {
        state.wrong(format!("{id} was cancelled though it had ended as {before:?}"));
    }
}

/// Without `--resend`: what may have been carried out must not be sent again.
async fn retry(sim: &Sim, engine: &Engine, id: JobId) {
    let unknown = sim.state().ledger.of_id(id).is_some_and(|one| one.is_unknown());
    let answer = engine.retry(id, false, WHO).await;
    let mut state = sim.state();
    let line = format!("retry: {}", answer.is_ok());
    state.trace.add(line);
    if unknown && answer.is_ok() {
        state.wrong(format!("{id}, of which nobody knew the outcome, was simply sent again"));
    }
}

/// A person looks at the provider's side, and only then says what happened.
async fn resolve(sim: &Sim, engine: &Engine, id: JobId) {
    let word = {
        let mut state = sim.state();
        let t = state.t;
        let Some(one) = state.ledger.of_id(id) else { return };
        let reference = one.reference.clone();
        if state.providers.is_late(&reference) {
            return;
        }
        let found = state.providers.all.values().find(|one| one.orders.contains_key(&reference));
        found.map_or(Resolve::NotSent, |one| Resolve::Happened(one.shown(&reference, t)))
    };
    let happened = matches!(word, Resolve::Happened(_));
    let answer = engine.resolve(id, word, WHO).await.is_ok();
    sim.note(|| format!("resolve, happened {happened}: {answer}"));
}

/// A value that is handed out is valid for as long as was asked for.
async fn value(sim: &Sim, engine: &Engine, account: &'static str) {
    let least = Duration::from_mins(1);
    let answer = engine.credential_value(account, CREDENTIAL, least, Duration::from_secs(20)).await;
    let mut state = sim.state();
    let line = format!("value of {account}: {}", answer.is_ok());
    state.trace.add(line);
    let Ok(held) = answer else { return };
    let until = state.t + 60_000;
    let ends = state.providers.all[account].ends.get(held.value.expose_secret()).copied();
    if !state.stepped && ends.is_none_or(|end| end < until) {
        let t = state.t;
        state.wrong(format!("at {t} a value of {account} was handed out that ends at {ends:?}"));
    }
}

impl State {
    /// What of all jobs fits.
    pub fn some(&self, fits: impl Fn(&super::ledger::Entry) -> bool) -> Vec<JobId> {
        self.ledger.jobs.iter().filter(|one| !one.renewal && fits(one)).map(|one| one.id).collect()
    }
}

/// How long clients wait before they ask again for what was not answered.
pub const AGAIN: i64 = HOUR / 60;
