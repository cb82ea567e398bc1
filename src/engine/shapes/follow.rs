//! `follow`: one poll. Ends when `until` holds, else asks again when the cadence says.

use std::time::Duration;

use super::{Outcome, Run, stopped};
use crate::{
    definition::{Expr, Shape},
    policy::{
        cadence::{self, PollState},
        codes::Code,
        settle::{AttemptEnd, Retry},
    },
    types::Timestamp,
};

pub async fn attempt(run: &mut Run<'_>, until: &Expr, every: Option<Duration>) -> Outcome {
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
        Ok(false) => AttemptEnd::Snooze { at: poll_at(run, run.sender.engine.clock.wall(), every) },
        Err(error) => return Outcome::failed(Code::Unparsable, Retry::Few, error.to_string()),
    };
    let result = matches!(end, AttemptEnd::Done).then(|| answered.to_result());
    Outcome { result, status, vars: Some(answered.vars), ..Outcome::of(end) }
}

/// When a follow that was turned away asks again.
pub(super) fn next_poll(run: &Run<'_>, now: Timestamp) -> Timestamp {
    let every = match &run.kind.shape {
        Shape::Follow { every, .. } => *every,
        _ => None,
    };
    poll_at(run, now, every)
}

fn poll_at(run: &Run<'_>, now: Timestamp, every: Option<Duration>) -> Timestamp {
    let engine = run.sender.engine;
    let state = PollState {
        polls: u32::try_from(run.sender.job.polls.saturating_add(1)).unwrap_or(u32::MAX),
        live_follows: engine.follows_in(run.account.queue),
        min_interval: every.unwrap_or(cadence::MIN_INTERVAL),
    };
    cadence::next_poll(now, &state, &run.account.limits, engine.chance())
}
