//! What people and programs may ask of the engine, beyond looking.

use std::time::Duration;

use serde_json::Value;

use super::{Engine, enqueue::Prepared, running::Stop};
use crate::{
    credentials::{
        cell::Unavailable,
        seal::KeyError,
        vault::{self, Part, Payload, RekeyError},
    },
    definition::FieldProblem,
    policy::codes::Code,
    store::{CancelOutcome, GateRow, JobRow, KindGateRow, QueueId, Requeue, StoreError},
    telemetry::events::{Event, Name, emit},
    types::{JobId, JobState, Timestamp},
};

/// Why something was not done. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the request is not valid")]
    Invalid(Vec<FieldProblem>),
    #[error("this key came before with another kind or other arguments, as job {id}")]
    KeyReused { id: JobId },
    #[error("there is no job {0}")]
    UnknownJob(JobId),
    #[error("there is no {what} `{name}`; known: {known}")]
    Unknown { what: &'static str, name: String, known: String },
    /// The state of the job forbids it.
    #[error("{0}")]
    State(String),
    #[error("{}", .0.detail)]
    Credential(Unavailable),
    #[error(
        "no value of this credential ever lives {} more",
        humantime::format_duration(*.0)
    )]
    MinTtlUnreachable(Duration),
    /// The sealing key's file.
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("{0}")]
    Rekey(#[from] RekeyError),
    #[error("the daemon is stopping")]
    Draining,
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What became of a request for a job.
#[derive(Debug)]
pub enum Submitted {
    /// Stored, as it was prepared.
    New(Box<Prepared>),
    /// The same request came before, or its applicant is followed already.
    Existing(Box<JobRow>),
    /// The same request came before; only its key is left.
    Pruned(JobId),
}

/// A person's word on a job whose outcome is unknown.
#[derive(Debug, Clone)]
pub enum Resolve {
    /// It was carried out; this is what the provider's side shows.
    Happened(Value),
    /// It was not: send again.
    NotSent,
}

/// What `cancel` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    Now,
    /// A running attempt is told; it ends soon, or when its request has.
    Asked,
}

impl Engine {
    /// A job's arguments in clear; `None` once they are erased.
    #[must_use]
    pub fn payload(&self, row: &JobRow) -> Option<Payload> {
        let chain = self.vault.chain(&row.salt?);
        vault::open_json(&chain, row.id, Part::Args, &row.args).ok()
    }

    pub async fn find(&self, id: JobId) -> Result<JobRow, Refusal> {
        self.store.job(id).await?.ok_or(Refusal::UnknownJob(id))
    }

    pub async fn cancel(&self, id: JobId, who: &str) -> Result<Cancelled, Refusal> {
        let row = self.find(id).await?;
        if self.is_renewal(&row) {
            return Err(Refusal::State(format!(
                "{} keeps a credential and goes on as long as its account is configured; `attendant \
                 queues pause {}` stops it",
                row.kind, row.account
            )));
        }
        match self.store.cancel(id, self.clock.wall()).await? {
            CancelOutcome::Unknown => Err(Refusal::UnknownJob(id)),
            CancelOutcome::Ended(state) => {
                Err(Refusal::State(format!("job {id} is {state} already")))
            }
            CancelOutcome::Cancelled => {
                Self::told(Name::JobCancelled, &row, Some(who), None);
                self.waiters.ended(row.root);
                Ok(Cancelled::Now)
            }
            CancelOutcome::Doubtful => {
                Self::told(Name::JobDead, &row, Some(who), None);
                self.waiters.ended(row.root);
                Ok(Cancelled::Now)
            }
            CancelOutcome::Asked(seq) => {
                self.running.stop(seq, Stop::Cancelled);
                Ok(Cancelled::Asked)
            }
        }
    }

    /// Queues a job again now: a dead or cancelled one anew, a waiting one ahead of its time.
    pub async fn retry(&self, id: JobId, resend: bool, who: &str) -> Result<(), Refusal> {
        let _reviving = self.reviving.read().await;
        self.requeue(id, resend, who).await
    }

    async fn requeue(&self, id: JobId, resend: bool, who: &str) -> Result<(), Refusal> {
        let row = self.find(id).await?;
        if row.salt.is_none() {
            return Err(Refusal::State(format!("the data of job {id} was erased")));
        }
        let unknown = row.state == JobState::Dead
            && row.error.as_ref().is_some_and(|error| error.code == Code::OutcomeUnknown.text());
        if unknown && !resend {
            return Err(Refusal::State(format!(
                "nobody knows whether {} was carried out: look at the provider's side, then \
                 `attendant jobs resolve {id} --happened …` or `--not-sent`; `jobs retry --resend` \
                 sends it again in any case",
                row.kind
            )));
        }
        let now = self.clock.wall();
        if matches!(row.state, JobState::Completed | JobState::Running) {
            return Err(Refusal::State(format!("job {id} is {}", row.state)));
        }
        if row.state == JobState::Queued && row.intent {
            // What became of its request is asked now; it is not sent again.
            self.store.reschedule(row.seq, now, true).await?;
            self.wake.ready(row.queue);
            Self::told(Name::JobRetryScheduled, &row, Some(who), Some(now));
            return Ok(());
        }
        // As much time as it was given first.
        let deadline = row.deadline.map(|deadline| {
            if deadline > now { deadline } else { now.plus(deadline.since(row.created_at)) }
        });
        let requeue = Requeue {
            id,
            from: row.state,
            generation: row.generation,
            run_at: now,
            ready: true,
            deadline,
        };
        if !self.store.requeue(requeue).await? {
            return Err(Refusal::State(format!(
                "job {id} changed meanwhile, or another live job does the same"
            )));
        }
        self.wake.ready(row.queue);
        Self::told(Name::JobRetryScheduled, &row, Some(who), Some(now));
        Ok(())
    }

    /// Settles what nobody knew.
    pub async fn resolve(&self, id: JobId, word: Resolve, who: &str) -> Result<(), Refusal> {
        let _reviving = self.reviving.read().await;
        let row = self.find(id).await?;
        let unknown = row.error.as_ref().is_some_and(|one| one.code == Code::OutcomeUnknown.text());
        if row.state != JobState::Dead || !unknown {
            return Err(Refusal::State(format!(
                "only a dead job with code outcome_unknown can be resolved; {id} is {}",
                row.state
            )));
        }
        match word {
            Resolve::NotSent => self.requeue(id, true, who).await?,
            Resolve::Happened(response) => {
                self.settle_resolved(&row, &response).await?;
                self.waiters.ended(row.root);
            }
        }
        Self::told(Name::JobResolved, &row, Some(who), None);
        Ok(())
    }

    /// Shuts an account's queue, or opens it whatever held it shut.
    pub async fn pause(&self, account: &str, pause: bool, who: &str) -> Result<(), Refusal> {
        let catalog = self.catalog();
        let Some(owner) = catalog.account(account) else {
            let known: Vec<&str> = catalog.accounts.keys().map(String::as_str).collect();
            return Err(Refusal::Unknown {
                what: "account",
                name: account.to_owned(),
                known: known.join(", "),
            });
        };
        self.gates.pause(owner.queue, pause.then_some(who));
        self.gates.save(&*self.store, owner.queue, account).await?;
        if !pause {
            self.open_kinds(owner.queue).await?;
        }
        let name = if pause { Name::QueuePaused } else { Name::QueueResumed };
        emit(name, &Event { account: Some(account), actor: Some(who), ..Event::default() });
        self.wake.ready(owner.queue);
        Ok(())
    }

    pub(super) async fn open_kinds(&self, queue: QueueId) -> Result<(), StoreError> {
        for kind in self.gates.open_kinds(queue) {
            let gate = GateRow { until: None, code: String::new(), detail: None };
            self.store.save_kind_gate(KindGateRow { queue, kind, gate }, true).await?;
            self.store.wake_kind(queue, kind, self.clock.wall()).await?;
        }
        Ok(())
    }

    pub(super) fn is_renewal(&self, row: &JobRow) -> bool {
        let catalog = self.catalog();
        catalog.kind_id(&row.kind).is_some_and(|id| catalog.is_renewal(id))
    }

    pub(super) fn told(name: Name, row: &JobRow, who: Option<&str>, next: Option<Timestamp>) {
        emit(
            name,
            &Event {
                job_id: Some(row.id),
                kind: Some(&row.kind),
                account: Some(&row.account),
                attempt: Some(row.attempt),
                next_run_at: next,
                actor: who,
                ..Event::default()
            },
        );
    }
}
