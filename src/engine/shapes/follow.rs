//! `follow`: one poll. Ends when `until` holds, else asks again when the cadence says.

use super::{Outcome, Run, stopped};
use crate::{
    definition::{Expr, Shape},
    engine::cadence::Next,
    policy::{
        cadence,
        codes::Code,
        settle::{AttemptEnd, Retry},
    },
    types::Timestamp,
};

pub async fn attempt(run: &mut Run<'_>, until: &Expr) -> Outcome {
    let vars = run.vars.clone();
    let answered = match run.sender.send(run.ask(), &vars, None).await {
        Ok(answered) => answered,
        Err(end) => return stopped(run, end),
    };
    let status = match &answered.seen {
        None => None,
        Some(Ok(status)) => Some(status.clone()),
        Some(Err(error)) => {
            return Outcome::failed(Code::Unparsable, Retry::Few, error.to_string());
        }
    };
    let end = match until.test(&answered.vars) {
        Ok(true) => AttemptEnd::Done,
        Ok(false) => {
            AttemptEnd::Snooze { at: poll_at(run, run.sender.engine.clock.wall(), status.as_ref()) }
        }
        Err(error) => return Outcome::failed(Code::Unparsable, Retry::Few, error.to_string()),
    };
    let result = matches!(end, AttemptEnd::Done).then(|| answered.to_result());
    Outcome { result, status, vars: Some(answered.vars), ..Outcome::of(end) }
}

/// When a follow that was turned away asks again.
pub(super) fn next_poll(run: &Run<'_>, now: Timestamp) -> Timestamp {
    poll_at(run, now, None)
}

/// `seen`: the status that was just observed, if one was.
fn poll_at(run: &Run<'_>, now: Timestamp, seen: Option<&Option<String>>) -> Timestamp {
    let (engine, job) = (run.sender.engine, run.sender.job);
    let last = engine.last_status(job);
    let status = seen.map(|seen| seen.clone().unwrap_or_default());
    let mut subject = engine.subject(job, status.as_deref().or(last.as_deref()));
    if status.is_some() && status != last {
        subject.since = now;
    }
    let every = match &run.kind.shape {
        Shape::Follow { every, .. } => *every,
        _ => None,
    };
    let min_interval = every.unwrap_or(cadence::MIN_INTERVAL);
    let next = Next { account: run.account, kind: job.kind, min_interval, subject, first: false };
    engine.poll_at(now, &next)
}
