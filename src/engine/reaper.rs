//! Leases: prolongs those of this daemon, takes back those that ran out.

use std::{sync::Arc, time::Duration};

use super::{Engine, catalog::KindRef, expiring::Reminder, running::Stop};
use crate::{
    policy::{
        codes::Code,
        settle::{self, AttemptEnd, INTERRUPTED_ALONE, JobCounters, Transition},
    },
    store::{NewAttempt, RunningJob, Settlement, StoreResult, StoredError},
    telemetry::events::{Event, Name, emit},
    types::{JobState, Timestamp},
};

/// How the history calls the end of an attempt whose lease was lost.
const LOST: &str = "lost_lease";

/// Takes back every running job: this daemon holds the database's lock, so nobody runs them.
pub async fn reclaim_all(engine: &Engine) -> StoreResult<usize> {
    reclaim(engine, None).await
}

/// Prolongs, takes back and tidies until the engine drains and the last attempt has ended.
pub async fn run(engine: Arc<Engine>) {
    let pause = engine.settings.lease / 3;
    let mut reminder = Reminder::default();
    loop {
        engine.tell_expiring(&mut reminder);
        tokio::select! {
            () = engine.clock.sleep(pause.min(Duration::from_secs(20))) => {}
            () = engine.turns.reap.notified() => {}
        }
        if let Err(error) = look(&engine).await {
            engine.store_works(Some(error.to_string()));
        }
        engine.turns.reaped();
    }
}

/// One look at the clock and the leases; those are looked after also where a step cannot be followed
/// yet.
pub async fn look(engine: &Engine) -> StoreResult<()> {
    let followed = engine.mind_clock().await;
    round(engine).await?;
    engine.keep_time().await?;
    followed.map(drop)
}

/// One round.
pub async fn round(engine: &Engine) -> StoreResult<()> {
    let now = engine.clock.wall();
    let held = engine.running.leases();
    if !held.is_empty() {
        let kept = engine.store.extend(held.clone(), now.plus(engine.settings.lease)).await?;
        for (job, generation) in held.iter().filter(|(job, _)| !kept.contains(job)) {
            engine.running.stop_claim(*job, *generation, Stop::LostLease);
        }
    }
    engine.gates.look(now);
    engine.gates.save_times(&*engine.store).await?;
    reclaim(engine, Some(now)).await?;
    engine.budgets.tidy(&*engine.store).await?;
    engine.cadence.save_now_and_then(&*engine.store, engine.clock.now()).await?;
    // A wake-up that was lost (a client that hung up right after its job was stored) is made good.
    for depth in engine.depths().await?.iter().filter(|depth| depth.due > 0) {
        engine.wake.ready(depth.queue);
    }
    engine.look_at_outages(now);
    engine.store_works(None);
    Ok(())
}

/// Takes back the jobs whose lease ended before `before`.
async fn reclaim(engine: &Engine, before: Option<Timestamp>) -> StoreResult<usize> {
    let lost: Vec<RunningJob> = engine
        .store
        .running(before)
        .await?
        .into_iter()
        .filter(|job| !engine.running.holds(job.seq))
        .collect();
    if lost.is_empty() {
        return Ok(0);
    }
    let now = engine.clock.wall();
    let mut ends = vec![];
    for job in &lost {
        let end = if before.is_some() {
            AttemptEnd::LostLease
        } else {
            // The daemon died. Was it one of these?
            let in_a_row = interrupted_before(engine, job).await?.saturating_add(1);
            AttemptEnd::Interrupted { in_a_row, alone: lost.len() == 1 }
        };
        ends.push(transition(engine, job, end, now));
    }
    let settlements = lost.iter().zip(&ends).map(|(job, end)| settlement(job, end, now)).collect();
    let settled = engine.store.settle(settlements).await?;
    for ((job, end), _) in lost.iter().zip(&ends).zip(&settled).filter(|(_, done)| **done) {
        tell(engine, job, end);
        engine.wake.ready(job.queue);
        engine.wake.due(end.run_at.unwrap_or(now));
    }
    Ok(settled.into_iter().filter(|done| *done).count())
}

/// How often in a row it lost its lease before: each claim just before this one. A claim that ended
/// in a snooze left nothing behind, which ends the row too.
async fn interrupted_before(engine: &Engine, job: &RunningJob) -> StoreResult<u32> {
    let attempts = engine.store.attempts(job.seq).await?;
    let in_a_row = attempts.iter().rev().zip(1..).take_while(|(one, back)| {
        one.outcome == LOST && one.generation.0 == job.generation.0 - back
    });
    Ok(u32::try_from(in_a_row.count()).unwrap_or(u32::MAX))
}

fn transition(engine: &Engine, job: &RunningJob, lost: AttemptEnd, now: Timestamp) -> Transition {
    let is_renewal = engine.catalog().is_renewal(job.kind);
    let counters = JobCounters {
        errors: job.errors,
        max_errors: (!is_renewal).then_some(job.max_errors),
        last_code: None,
        deadline: engine.binding_deadline((job.queue, job.kind), job.created_at, job.deadline),
        follow: false,
    };
    let end = if job.intent {
        // Its request may have gone out.
        engine.after_a_crash(job, lost)
    } else if job.cancel {
        AttemptEnd::Cancelled
    } else {
        lost
    };
    settle::settle(now, &counters, end, &engine.settings.backoff, engine.chance())
}

impl Engine {
    fn after_a_crash(&self, job: &RunningJob, lost: AttemptEnd) -> AttemptEnd {
        // It may be the asking that kills the daemon.
        let in_vain = matches!(lost, AttemptEnd::Interrupted { in_a_row, .. } if in_a_row >= INTERRUPTED_ALONE);
        match self.catalog().kind(job.kind) {
            Some(KindRef::Job(_, kind)) if kind.reconcile.is_some() && !job.cancel && !in_vain => {
                AttemptEnd::Doubtful
            }
            _ => AttemptEnd::OutcomeUnknown,
        }
    }
}

fn settlement(job: &RunningJob, end: &Transition, now: Timestamp) -> Settlement {
    let run_at = end.run_at.unwrap_or(now);
    let code = end.code.unwrap_or(Code::LostLease).to_string();
    Settlement {
        seq: job.seq,
        generation: job.generation,
        from: JobState::Running,
        args_rev: None,
        now,
        state: end.state,
        run_at,
        ready: run_at <= now,
        attempt: job.attempt + i64::from(end.attempt_delta),
        errors: end.errors,
        polls: job.polls,
        deadline: job.deadline,
        error: Some(StoredError { code: code.clone(), message: None, at: now }),
        result: None,
        history: Some(NewAttempt {
            started_at: job.started_at,
            outcome: LOST,
            code: Some(code),
            message: None,
        }),
        observation: None,
        artifact: None,
        children: vec![],
    }
}

fn tell(engine: &Engine, job: &RunningJob, end: &Transition) {
    let catalog = engine.catalog();
    let kind = catalog.kind(job.kind).map(KindRef::name);
    let account = catalog.by_queue(job.queue).map(|account| account.name.clone());
    engine.metrics.attempt(job.queue, job.kind, LOST);
    let code = end.code.map(Code::text);
    let name = match end.state {
        JobState::Dead => Name::JobDead,
        JobState::Cancelled => Name::JobCancelled,
        _ => Name::JobRetryScheduled,
    };
    let detail = (end.code == Some(Code::OutcomeUnknown)).then(|| {
        format!(
            "the daemon died while its request may have been out: look at the provider's side, \
             then `attendant jobs resolve {} --happened …` or `--not-sent`",
            job.id
        )
    });
    emit(
        name,
        &Event {
            job_id: Some(job.id),
            kind: kind.as_deref(),
            account: account.as_deref(),
            attempt: Some(job.attempt + i64::from(end.attempt_delta)),
            generation: Some(job.generation),
            outcome: Some(LOST),
            next_run_at: end.run_at,
            error_code: code.as_deref(),
            detail: detail.as_deref(),
            ..Event::default()
        },
    );
}
