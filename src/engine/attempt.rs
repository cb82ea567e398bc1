//! One attempt of one claimed job, from its sealed arguments to its settled end.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::{
    Engine,
    backend::Execute,
    budgets::Taken,
    catalog::{Account, Catalog, KindRef},
    dispatcher::Handed,
    running::Stop,
    sender::Sender,
    settling::Settling,
    shapes::{Outcome, Run, exchange::Renewal},
};
use crate::{
    crash,
    credentials::vault::{self, Part, Payload},
    definition::{CredentialShape, Kind, Provider},
    policy::{
        codes::Code,
        settle::{AttemptEnd, Retry},
    },
    store::ClaimedJob,
    telemetry::events::{Event, Name, emit},
};

/// Runs attempts for apalis.
#[derive(Debug, Clone)]
pub struct Attempts(pub Arc<Engine>);

impl Execute for Attempts {
    async fn execute(&self, handed: Handed) {
        let engine = &self.0;
        let Handed { job, stop, permit } = handed;
        crash::point("claimed");
        let started_at = engine.clock.wall();
        let (outcome, spent) =
            match AssertUnwindSafe(attempt(engine, &job, &stop, permit)).catch_unwind().await {
                Ok(done) => done,
                Err(_) => (panicked(), true),
            };
        let catalog = engine.catalog();
        if let (false, Some(permit), Some(account)) = (spent, permit, catalog.by_queue(job.queue)) {
            engine.budgets.give_back(&account.budget, permit, 1);
        }
        crash::point("ended");
        // The slot is free before the end is on disk: the next claim shares its transaction.
        engine.wake.freed(job.queue, job.priority);
        Settling { engine, catalog: &catalog, job: &job, started_at }.settle(outcome).await;
        engine.running.end(job.seq, job.generation);
    }
}

fn panicked() -> Outcome {
    let words = "the attempt panicked: a fault of this program; its log has the place";
    Outcome::failed(Code::Internal, Retry::Few, words)
}

/// What it came to, and whether the claim's permit was used.
async fn attempt(
    engine: &Engine,
    job: &ClaimedJob,
    stop: &CancellationToken,
    permit: Option<Taken>,
) -> (Outcome, bool) {
    let catalog = engine.catalog();
    match Opened::new(engine, &catalog, job) {
        Ok(opened) => {
            let (outcome, left) = opened.run(stop, permit).await;
            (stopped_by(engine, job, outcome), left.is_none())
        }
        Err(outcome) => (*outcome, false),
    }
}

/// An attempt that was asked to stop, and could, ends as it was asked to.
fn stopped_by(engine: &Engine, job: &ClaimedJob, outcome: Outcome) -> Outcome {
    let Some(why) = engine.running.why(job.seq) else { return outcome };
    let again = matches!(
        outcome.end,
        AttemptEnd::Released
            | AttemptEnd::Snooze { .. }
            | AttemptEnd::Gated { .. }
            | AttemptEnd::Failed { .. }
    );
    match why {
        Stop::Cancelled if again => Outcome::of(AttemptEnd::Cancelled),
        _ => outcome,
    }
}

/// A claimed job with its arguments in clear and what its kind stands for.
struct Opened<'a> {
    engine: &'a Engine,
    job: &'a ClaimedJob,
    account: &'a Arc<Account>,
    what: What<'a>,
    payload: Payload,
}

enum What<'a> {
    Job(&'a Kind),
    Renewal(&'a Provider, &'a str),
}

impl<'a> Opened<'a> {
    fn new(
        engine: &'a Engine,
        catalog: &'a Catalog,
        job: &'a ClaimedJob,
    ) -> Result<Self, Box<Outcome>> {
        let now = engine.clock.wall();
        if engine.is_draining() {
            return Err(Box::new(Outcome::of(AttemptEnd::Released)));
        }
        let Some(account) = catalog.by_queue(job.queue) else {
            return Err(Box::new(Outcome::of(AttemptEnd::Released)));
        };
        let what = match catalog.kind(job.kind) {
            Some(KindRef::Job(_, kind)) => What::Job(kind),
            Some(KindRef::Renewal(provider, name)) => What::Renewal(provider, name),
            None => {
                let words = "no definition has this kind any more: put it back and `jobs retry`";
                return Err(Box::new(Outcome::failed(Code::Definition, Retry::Never, words)));
            }
        };
        if let Some(why) = engine.gates.kind_is_shut(job.queue, job.kind) {
            // Held, not hurried: opening the gate wakes it.
            let until = now.plus(std::time::Duration::from_hours(1));
            let end = AttemptEnd::Gated { code: Code::ProviderChanged, until };
            return Err(Box::new(Outcome { words: Some(why), ..Outcome::of(end) }));
        }
        let payload = open(engine, job)?;
        Ok(Self { engine, job, account, what, payload })
    }

    async fn run(
        &self,
        stop: &CancellationToken,
        permit: Option<Taken>,
    ) -> (Outcome, Option<Taken>) {
        let now = self.engine.clock.wall();
        if self.job.deadline.is_some_and(|deadline| now > deadline) && self.job.polls == 0 {
            // It waited longer than it was given; there was nothing to ask for the last time.
            let words = "its deadline passed before it could run";
            return (Outcome::failed(Code::Deadline, Retry::Never, words), permit);
        }
        self.tell_started();
        let sender = Sender {
            engine: self.engine,
            account: self.account,
            job: self.job,
            stop,
            permit,
            intent: false,
        };
        match &self.what {
            What::Job(kind) => self.run_job(kind, sender, now).await,
            What::Renewal(provider, name) => self.run_renewal(provider, name, sender).await,
        }
    }

    async fn run_job(
        &self,
        kind: &Kind,
        sender: Sender<'_>,
        now: crate::types::Timestamp,
    ) -> (Outcome, Option<Taken>) {
        let vars = self.account.vars().args(&self.payload.args);
        let mut run =
            Run { sender, account: self.account, kind, payload: &self.payload, vars, now };
        let outcome = run.attempt().await;
        (outcome, run.sender.permit)
    }

    async fn run_renewal(
        &self,
        provider: &Provider,
        name: &str,
        sender: Sender<'_>,
    ) -> (Outcome, Option<Taken>) {
        let engine = self.engine;
        let (Some(spec), Some(cell)) =
            (provider.credentials.get(name), engine.credentials.cell(self.job.queue, name))
        else {
            let words = "no definition has this credential any more";
            return (Outcome::failed(Code::Definition, Retry::Never, words), sender.permit);
        };
        let CredentialShape::Exchange(exchange) = &spec.shape else {
            let words = "rotated credentials are not kept yet by this version";
            return (Outcome::failed(Code::Definition, Retry::Never, words), sender.permit);
        };
        let mut renewal =
            Renewal { sender, account: self.account, cell: &cell, exchange, timeout: spec.timeout };
        let outcome = renewal.attempt().await;
        (outcome, renewal.sender.permit)
    }

    fn tell_started(&self) {
        let kind = match &self.what {
            What::Job(kind) => kind.name.as_str(),
            What::Renewal(_, name) => name,
        };
        emit(
            Name::JobAttemptStarted,
            &Event {
                job_id: Some(self.job.id),
                kind: Some(kind),
                account: Some(&self.account.name),
                attempt: Some(self.job.attempt + 1),
                generation: Some(self.job.generation),
                ..Event::default()
            },
        );
    }
}

fn open(engine: &Engine, job: &ClaimedJob) -> Result<Payload, Box<Outcome>> {
    let Some(salt) = &job.salt else {
        let words = "its data was erased";
        return Err(Box::new(Outcome::failed(Code::Definition, Retry::Never, words)));
    };
    vault::open_json(&engine.vault.chain(salt), job.id, Part::Args, &job.args).map_err(|error| {
        let words = format!("its arguments cannot be opened: {error}");
        Box::new(Outcome::failed(Code::Definition, Retry::Never, words))
    })
}
