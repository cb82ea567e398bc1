//! What is told when an attempt has been settled: one event for its end, one for each change that
//! came with it, and a word to those who wait.

use super::{catalog::KindRef, settling::Settling, shapes::Outcome};
use crate::{
    policy::{codes::Code, outage::Line, settle::Transition},
    store::{KindId, QueueId, Settlement},
    telemetry::events::{Event, Name, emit},
    types::{JobId, JobState, Timestamp},
};

impl Settling<'_> {
    pub(super) fn tell(&self, transition: &Transition, news: &News, now: Timestamp) {
        let job = self.job;
        self.after(transition, now);
        self.tell_news(news);
        let outcome = outcome_name(transition);
        self.engine.metrics.attempt(job.queue, job.kind, outcome);
        let name = match (transition.state, transition.code) {
            (JobState::Completed, _) => Name::JobCompleted,
            (JobState::Dead, _) => Name::JobDead,
            (JobState::Cancelled, _) => Name::JobCancelled,
            // A renewal that failed is told as `credential.renewal_failed`.
            (_, Some(_)) if transition.attempt_delta > 0 && !self.is_renewal() => {
                Name::JobRetryScheduled
            }
            _ => Name::JobSnoozed,
        };
        let kind = self.catalog.kind(job.kind).map(KindRef::name);
        let account = self.catalog.by_queue(job.queue).map(|account| account.name.as_str());
        let code = transition.code.map(Code::text);
        let hint = (name == Name::JobDead).then(|| what_to_do(job.id, transition.code));
        // The provider's words may hold an applicant's data: they stay in the store.
        let event = Event {
            job_id: Some(job.id),
            kind: kind.as_deref(),
            account,
            attempt: Some(job.attempt + i64::from(transition.attempt_delta)),
            generation: Some(job.generation),
            outcome: Some(outcome),
            next_run_at: transition.run_at,
            elapsed: Some(now.since(self.started_at)),
            error_code: code.as_deref(),
            detail: hint.as_deref(),
            ..Event::default()
        };
        match transition.code {
            Some(code) if name == Name::JobRetryScheduled => {
                self.engine.tell_failure((job.queue, Line::Retry, code), name, &event);
            }
            _ => emit(name, &event),
        }
    }

    /// The changes that came with the end: a new status, new jobs.
    pub(super) fn tell_news(&self, news: &News) {
        let kind = self.catalog.kind(self.job.kind).map(KindRef::name);
        let account = self.catalog.by_queue(self.job.queue).map(|account| account.name.as_str());
        if let Some(status) = &news.status {
            emit(
                Name::JobStatusChanged,
                &Event {
                    job_id: Some(self.job.id),
                    kind: kind.as_deref(),
                    account,
                    status: Some(status),
                    ..Event::default()
                },
            );
        }
        for (id, queue, kind, run_at) in &news.children {
            // It may belong to another account.
            self.engine.wake.ready(*queue);
            self.engine.wake.due(*run_at);
            let kind = self.catalog.kind(*kind).map(KindRef::name);
            emit(
                Name::JobEnqueued,
                &Event {
                    job_id: Some(*id),
                    kind: kind.as_deref(),
                    account,
                    next_run_at: Some(*run_at),
                    actor: Some("attendant"),
                    ..Event::default()
                },
            );
        }
    }

    /// Who must hear of it: the dispatcher of new dates, waiters of ends.
    pub(super) fn after(&self, transition: &Transition, now: Timestamp) {
        match transition.run_at {
            Some(at) if at <= now => self.engine.wake.ready(self.job.queue),
            Some(at) => self.engine.wake.due(at),
            None => {}
        }
        // Also where it seems to go on: the store ends what was cancelled meanwhile.
        self.engine.waiters.ended(self.job.root);
    }

    pub(super) fn tell_lost(&self) {
        let kind = self.catalog.kind(self.job.kind).map(KindRef::name);
        emit(
            Name::JobSnoozed,
            &Event {
                job_id: Some(self.job.id),
                kind: kind.as_deref(),
                generation: Some(self.job.generation),
                outcome: Some("lost_lease"),
                detail: Some("its claim was taken over: what this attempt came to is not stored"),
                ..Event::default()
            },
        );
    }
}

/// What a settlement brings beside its state, kept for the events that follow it.
pub(super) struct News {
    status: Option<String>,
    children: Vec<(JobId, QueueId, KindId, Timestamp)>,
}

impl News {
    pub(super) fn of(settlement: &Settlement, outcome: &Outcome) -> Self {
        let changed = settlement.observation.is_some();
        let status = outcome.status.clone().flatten().unwrap_or_else(|| "unknown".to_owned());
        Self {
            status: changed.then_some(status),
            children: settlement
                .children
                .iter()
                .map(|child| (child.id, child.queue, child.kind, child.run_at))
                .collect(),
        }
    }
}

pub(super) fn outcome_name(transition: &Transition) -> &'static str {
    match (transition.state, transition.attempt_delta) {
        (JobState::Completed, _) => "completed",
        (JobState::Dead, _) => "dead",
        (JobState::Cancelled, _) => "cancelled",
        (_, 0) => "snoozed",
        _ => "failed",
    }
}

fn what_to_do(id: JobId, code: Option<Code>) -> String {
    match code {
        Some(Code::OutcomeUnknown) => format!(
            "nobody knows whether it was carried out: look at the provider's side, then `attendant \
             jobs resolve {id} --happened …` or `--not-sent`"
        ),
        _ => {
            format!("`attendant jobs show {id}` says why, `attendant jobs retry {id}` tries again")
        }
    }
}
