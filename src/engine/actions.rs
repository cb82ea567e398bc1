//! What people and programs may ask of the engine, beyond looking.

use std::time::Duration;

use serde_json::Value;

use super::{
    Engine,
    catalog::KindRef,
    enqueue::{self, JobRequest, Prepared},
    gates::Hold,
    running::Stop,
};
use crate::{
    credentials::{
        cell::{Cell, Held, Unavailable},
        vault::{self, Part, Payload},
    },
    definition::FieldProblem,
    policy::{budget::Class, codes::Code, renewal::Life},
    store::{ActorId, CancelOutcome, Enqueued, JobRow, KindGateRow, NewJob, StoreError},
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
    /// Stores jobs; one outcome each, in order. Durable when it returns.
    pub async fn submit(
        &self,
        requests: Vec<JobRequest>,
        actor: ActorId,
        who: &str,
    ) -> Result<Vec<Result<Submitted, Refusal>>, StoreError> {
        let (catalog, now) = (self.catalog(), self.clock.wall());
        let mut outcomes: Vec<Option<Result<Submitted, Refusal>>> = vec![];
        let mut prepared = vec![];
        for request in requests {
            if self.is_draining() {
                outcomes.push(Some(Err(Refusal::Draining)));
                continue;
            }
            match enqueue::prepare(request, &catalog, &self.vault, actor, now) {
                Ok(one) => {
                    prepared.push((outcomes.len(), one));
                    outcomes.push(None);
                }
                Err(problems) => outcomes.push(Some(Err(Refusal::Invalid(problems)))),
            }
        }
        let rows: Vec<NewJob> = prepared.iter().map(|(_, one)| one.row.clone()).collect();
        let stored = self.store.enqueue(rows).await?;
        for ((at, one), stored) in prepared.into_iter().zip(stored) {
            outcomes[at] = Some(self.submitted(one, stored, who).await?);
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    async fn submitted(
        &self,
        prepared: Prepared,
        stored: Enqueued,
        who: &str,
    ) -> Result<Result<Submitted, Refusal>, StoreError> {
        match stored {
            Enqueued::New => {
                self.announce(&prepared, who);
                Ok(Ok(Submitted::New(Box::new(prepared))))
            }
            Enqueued::SameKey { id, same_request: false } => Ok(Err(Refusal::KeyReused { id })),
            Enqueued::SameKey { id, same_request: true } => {
                Ok(Ok(match self.store.job(id).await? {
                    Some(row) => Submitted::Existing(Box::new(row)),
                    None => Submitted::Pruned(id),
                }))
            }
            Enqueued::Live { id } => self.join_live(prepared, id, who).await,
        }
    }

    fn announce(&self, prepared: &Prepared, who: &str) {
        let row = &prepared.row;
        if row.ready {
            self.wake.ready(row.queue);
        } else {
            self.wake.due(row.run_at);
        }
        emit(
            Name::JobEnqueued,
            &Event {
                job_id: Some(row.id),
                kind: Some(&prepared.kind.name),
                account: Some(&prepared.account.name),
                next_run_at: Some(row.run_at),
                actor: Some(who),
                ..Event::default()
            },
        );
    }

    /// A request for what is followed already: the live job takes on what it asks for more.
    async fn join_live(
        &self,
        prepared: Prepared,
        id: JobId,
        who: &str,
    ) -> Result<Result<Submitted, Refusal>, StoreError> {
        loop {
            let Some(row) = self.store.job(id).await? else { break };
            let Some(mut payload) = self.payload(&row) else { break };
            if row.state.has_ended() {
                break;
            }
            if !enqueue::asks_for_more(&payload, &prepared.payload.args) {
                return Ok(Ok(Submitted::Existing(Box::new(row))));
            }
            payload.more.push(prepared.payload.args.clone());
            let Some(salt) = row.salt else { break };
            let sealed = vault::seal_json(&self.vault.chain(&salt), id, Part::Args, &payload);
            if self.store.replace_args(row.seq, row.args_rev, sealed).await? {
                return Ok(Ok(Submitted::Existing(Box::new(row))));
            }
        }
        // It ended meanwhile, so there is no live one any more: this becomes one. Its key, if it
        // had one, belongs to the one that has just ended.
        let mut prepared = prepared;
        prepared.row.key = None;
        match self.store.enqueue(vec![prepared.row.clone()]).await?.first() {
            Some(Enqueued::Live { id } | Enqueued::SameKey { id, .. }) => {
                Ok(match self.store.job(*id).await? {
                    Some(row) => Ok(Submitted::Existing(Box::new(row))),
                    None => Err(Refusal::UnknownJob(*id)),
                })
            }
            _ => {
                self.announce(&prepared, who);
                Ok(Ok(Submitted::New(Box::new(prepared))))
            }
        }
    }

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
                self.told(Name::JobCancelled, &row, Some(who), None);
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
        let row = self.find(id).await?;
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
        // As much time as it was given first.
        let deadline = row.deadline.map(|deadline| now.plus(deadline.since(row.created_at)));
        let from = [JobState::Dead, JobState::Cancelled, JobState::Queued];
        if !self.store.requeue(id, &from, now, deadline).await? {
            let state = self.find(id).await?.state;
            return Err(Refusal::State(
                if state == JobState::Completed || state == JobState::Running {
                    format!("job {id} is {state}")
                } else {
                    format!("job {id} is {state}, and another live job does the same")
                },
            ));
        }
        self.wake.ready(row.queue);
        self.told(Name::JobRetryScheduled, &row, Some(who), Some(now));
        Ok(())
    }

    /// Settles what nobody knew.
    pub async fn resolve(&self, id: JobId, word: Resolve, who: &str) -> Result<(), Refusal> {
        let row = self.find(id).await?;
        let unknown = row.error.as_ref().is_some_and(|one| one.code == Code::OutcomeUnknown.text());
        if row.state != JobState::Dead || !unknown {
            return Err(Refusal::State(format!(
                "only a dead job with code outcome_unknown can be resolved; {id} is {}",
                row.state
            )));
        }
        match word {
            Resolve::NotSent => self.retry(id, true, who).await?,
            Resolve::Happened(response) => {
                self.settle_resolved(&row, &response).await?;
                self.waiters.ended(row.root);
            }
        }
        self.told(Name::JobResolved, &row, Some(who), None);
        Ok(())
    }

    /// A credential's value, valid for at least `min_ttl` more, obtained first if need be.
    pub async fn credential_value(
        &self,
        account: &str,
        name: &str,
        min_ttl: Duration,
        timeout: Duration,
    ) -> Result<Held, Refusal> {
        let cell = self.cell(account, name)?;
        if let Some(held) = cell.held(self.clock.wall(), min_ttl) {
            return Ok(held);
        }
        if cell.life().is_some_and(|life: Life| !life.reaches(min_ttl)) {
            return Err(Refusal::MinTtlUnreachable(min_ttl));
        }
        let obtained = tokio::time::timeout(timeout, self.obtain(&cell, min_ttl)).await;
        match obtained {
            Ok(held) => held.map_err(Refusal::Credential),
            Err(_) => Err(Refusal::Credential(Unavailable {
                code: Code::Timeout,
                retry_at: None,
                detail: format!("{account}/{name} could not be obtained in time"),
            })),
        }
    }

    /// Waits for a value that this credential's job brings. Ends with the job's first failure.
    pub(super) async fn obtain(&self, cell: &Cell, min_ttl: Duration) -> Result<Held, Unavailable> {
        let mut ends = cell.ends();
        let seen = *ends.borrow_and_update();
        loop {
            let now = self.clock.wall();
            if let Some(held) = cell.held(now, min_ttl) {
                return Ok(held);
            }
            if let Some(trouble) = cell.trouble(now) {
                return Err(trouble);
            }
            let failed = *ends.borrow() > seen && cell.errors() > 0;
            let gone =
                |detail: String| Unavailable { code: Code::Internal, retry_at: None, detail };
            if failed {
                let view = cell.view(now);
                return Err(Unavailable {
                    code: view
                        .last_error
                        .and_then(|one| one.code.parse().ok())
                        .unwrap_or(Code::Internal),
                    retry_at: view.renew_at,
                    detail: format!("{}/{} could not be obtained", cell.account, cell.name),
                });
            }
            if *ends.borrow() > seen + 1 {
                return Err(gone(format!(
                    "{}/{} never lives as long as was asked for",
                    cell.account, cell.name
                )));
            }
            cell.hasten();
            match self.wake_renewal(cell.queue, &cell.name).await {
                Ok(true) => {}
                Ok(false) => return Err(gone("its renewal job is missing".to_owned())),
                Err(error) => return Err(gone(error.to_string())),
            }
            if ends.changed().await.is_err() {
                return Err(gone("the daemon is stopping".to_owned()));
            }
        }
    }

    /// Renews now, whatever the time; forgets refused logins.
    pub async fn renew(&self, account: &str, name: &str) -> Result<(), Refusal> {
        let cell = self.cell(account, name)?;
        cell.forgive(&*self.store).await?;
        self.wake_renewal(cell.queue, name).await?;
        Ok(())
    }

    pub fn cell(&self, account: &str, name: &str) -> Result<std::sync::Arc<Cell>, Refusal> {
        let catalog = self.catalog();
        let found = catalog.account(account).and_then(|one| self.credentials.cell(one.queue, name));
        found.ok_or_else(|| {
            let known: Vec<String> = self
                .credentials
                .all()
                .iter()
                .map(|cell| format!("{}/{}", cell.account, cell.name))
                .collect();
            Refusal::Unknown {
                what: "credential",
                name: format!("{account}/{name}"),
                known: known.join(", "),
            }
        })
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
        let row = self.gates.pause(owner.queue, account, pause.then_some(who));
        self.store.save_queue(row).await?;
        if !pause {
            self.open_kinds(owner.queue).await?;
        }
        let name = if pause { Name::QueuePaused } else { Name::QueueResumed };
        emit(name, &Event { account: Some(account), actor: Some(who), ..Event::default() });
        self.wake.ready(owner.queue);
        Ok(())
    }

    async fn open_kinds(&self, queue: i64) -> Result<(), StoreError> {
        for kind in self.gates.open_kinds(queue) {
            let gate = crate::store::GateRow { until: None, code: String::new(), detail: None };
            self.store.save_kind_gate(KindGateRow { queue, kind, gate }, true).await?;
            self.store.wake_kind(queue, kind, self.clock.wall()).await?;
        }
        Ok(())
    }

    /// Why a due job does not run; `None` where nothing holds it.
    #[must_use]
    pub fn hold(&self, row: &JobRow) -> Option<Hold> {
        let now = self.clock.wall();
        let catalog = self.catalog();
        let kind = catalog.kind_id(&row.kind);
        if row.state != JobState::Queued {
            return None;
        }
        let Some(account) = catalog.account(&row.account) else {
            let detail = format!("account `{}` is not configured", row.account);
            return Some(Hold { code: "paused", until: None, detail });
        };
        if let Some(why) = kind.and_then(|kind| self.gates.kind_is_shut(row.queue, kind)) {
            return Some(Hold { code: "gate", until: None, detail: why });
        }
        if row.run_at > now {
            return None;
        }
        self.queue_hold(account.queue, class_of(row.priority))
    }

    /// What holds the due jobs of a queue.
    #[must_use]
    pub fn queue_hold(&self, queue: i64, class: Class) -> Option<Hold> {
        let now = self.clock.wall();
        let catalog = self.catalog();
        let account = catalog.by_queue(queue)?;
        if let Some(hold) = self.gates.hold(queue, None, now) {
            return Some(hold);
        }
        if class != Class::Renewal
            && let Some(trouble) = self.credentials.blocked(queue, now)
        {
            return Some(Hold {
                code: "credential",
                until: trouble.retry_at,
                detail: trouble.detail,
            });
        }
        let until = self.budgets.next_free(&account.budget, class)?;
        let detail = format!("the budget of {} is spent", account.name);
        Some(Hold { code: "budget", until: Some(until), detail })
    }

    pub(super) fn is_renewal(&self, row: &JobRow) -> bool {
        let catalog = self.catalog();
        let kind = catalog.kind_id(&row.kind).and_then(|id| catalog.kind(id));
        matches!(kind, Some(KindRef::Renewal(..)))
    }

    fn told(&self, name: Name, row: &JobRow, who: Option<&str>, next: Option<Timestamp>) {
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

/// By its priority: what share of a budget a job may use.
#[must_use]
pub const fn class_of(priority: u8) -> Class {
    match priority {
        0 => Class::Renewal,
        1 => Class::Call,
        _ => Class::Follow,
    }
}
