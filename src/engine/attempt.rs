//! One attempt of one claimed job, from its sealed arguments to its settled end.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::FutureExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use super::{
    Engine,
    answer::texts_of,
    backend::Execute,
    budgets::Taken,
    catalog::{Account, Catalog, KindRef},
    dispatcher::Handed,
    holds,
    logins::{Setting, Unintended},
    running::Stop,
    sender::Sender,
    settling::Settling,
    shapes::{Outcome, Run, exchange::Renewal, revoke::Revoking, rotate::Rotating},
    sinks::command,
};
use crate::{
    crash,
    credentials::vault::{self, Part, Payload},
    definition::{CredentialShape, Kind, Provider, Vars},
    policy::{
        codes::Code,
        settle::{AttemptEnd, Retry},
    },
    store::{ClaimedJob, StoreResult},
    telemetry::events::{Event, Name, emit},
    types::Timestamp,
};

/// How long a job waits whose kind no definition has, before it is looked at again.
const NO_KIND: std::time::Duration = std::time::Duration::from_mins(5);

/// Runs attempts for apalis.
#[derive(Debug, Clone)]
pub struct Attempts(pub Arc<Engine>);

impl Execute for Attempts {
    async fn execute(&self, handed: Handed) {
        let engine = &self.0;
        let Handed { job, stop, permit, probe } = handed;
        crash::point("claimed");
        let mut hold = Hold { engine, job: &job, slot: true };
        let started_at = engine.clock.wall();
        let intent = AtomicBool::new(false);
        // To its end: a reload meanwhile is for those that begin after it.
        let catalog = engine.catalog();
        let outside =
            Outside { engine, catalog: &catalog, job: &job, stop: &stop, intent: &intent };
        let ended = AssertUnwindSafe(attempt(&outside, permit)).catch_unwind().await;
        let (outcome, unused) = ended.unwrap_or_else(|_| (panicked(&intent), None));
        let outcome = not_again(outcome, &intent);
        crash::point("ended");
        if let (Some(permit), Some(account)) = (unused, catalog.by_queue(job.queue)) {
            engine.budgets.give_back(&account.budget, permit, 1);
            if probe {
                engine.gates.probe_unused(job.queue, engine.clock.wall());
                engine.wake.ready(job.queue);
            }
        }
        // The slot is free before the end is on disk: the next claim shares its transaction.
        hold.free_slot();
        let settling = Settling::new(engine, &catalog, &job, started_at);
        // What panics here leaves the claim to its lease, which nobody prolongs any more.
        let _ = AssertUnwindSafe(settling.settle(outcome)).catch_unwind().await;
    }
}

/// What an attempt holds of the engine, given back however it ends.
struct Hold<'a> {
    engine: &'a Engine,
    job: &'a ClaimedJob,
    slot: bool,
}

impl Hold<'_> {
    fn free_slot(&mut self) {
        if std::mem::take(&mut self.slot) {
            self.engine.wake.freed(self.job.queue, self.job.priority);
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.free_slot();
        self.engine.running.end(self.job.seq, self.job.generation);
    }
}

/// What an attempt is made in.
struct Outside<'a> {
    engine: &'a Engine,
    catalog: &'a Catalog,
    job: &'a ClaimedJob,
    stop: &'a CancellationToken,
    intent: &'a AtomicBool,
}

/// With an intent that was not withdrawn the request may be out, whatever went wrong here.
fn panicked(intent: &AtomicBool) -> Outcome {
    let words = "the attempt panicked: a fault of this program; its log has the place";
    if intent.load(Ordering::Acquire) {
        return Outcome::unknown(words);
    }
    Outcome::failed(Code::Internal, Retry::Few, words)
}

/// Where something of this program failed while a never-repeat request may be out, what it does not
/// know does not make it right to send it again.
fn not_again(outcome: Outcome, intent: &AtomicBool) -> Outcome {
    let failed_here = matches!(
        outcome.end,
        AttemptEnd::Failed { code: Code::Internal, retry: Retry::Yes { .. } | Retry::Few, .. }
    );
    if failed_here && intent.load(Ordering::Acquire) {
        return Outcome::unknown(outcome.words.unwrap_or_default());
    }
    outcome
}

/// What it came to, and the claim's permit if it was not used.
async fn attempt(outside: &Outside<'_>, permit: Option<Taken>) -> (Outcome, Option<Taken>) {
    let Outside { engine, catalog, job, .. } = outside;
    if job.queue == catalog.local() {
        let outcome = command::attempt(engine, job, outside.stop).await;
        return (stopped_by(engine, job, outcome), permit);
    }
    match Opened::new(engine, catalog, job) {
        Ok(opened) => {
            let (outcome, unused) = opened.run(outside, permit).await;
            (stopped_by(engine, job, outcome), unused)
        }
        Err(outcome) => (*outcome, permit),
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
            Some(KindRef::OnChange) | None => {
                let end = AttemptEnd::Gated { code: Code::Definition, until: now.plus(NO_KIND) };
                let words = Some(holds::NO_KIND.to_owned());
                return Err(Box::new(Outcome { words, ..Outcome::of(end) }));
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

    async fn run(&self, outside: &Outside<'_>, permit: Option<Taken>) -> (Outcome, Option<Taken>) {
        let now = self.engine.clock.wall();
        let of = (self.job.queue, self.job.kind);
        let deadline = self.engine.binding_deadline(of, self.job.created_at, self.job.deadline);
        let waits = self.job.polls == 0 && !self.job.intent;
        if deadline.is_some_and(|deadline| now > deadline) && waits {
            // It waited longer than it was given; there was nothing to ask for the last time.
            let words = "its deadline passed before it could run";
            return (Outcome::failed(Code::Deadline, Retry::Never, words), permit);
        }
        self.tell_started();
        let sender = Sender {
            engine: self.engine,
            account: self.account,
            job: self.job,
            stop: outside.stop,
            permit,
            intent: outside.intent,
            sent: false,
            secret_args: self.secret_args(),
        };
        match &self.what {
            What::Job(kind) => self.run_job(kind, sender, now).await,
            What::Renewal(provider, name) => self.run_renewal(provider, name, sender).await,
        }
    }

    /// What was given as a secret, in the form in which it would be echoed.
    fn secret_args(&self) -> Vec<SecretString> {
        let What::Job(kind) = &self.what else { return vec![] };
        let mut texts = vec![];
        for args in std::iter::once(&self.payload.args).chain(&self.payload.more) {
            for value in kind.args.secret_names().filter_map(|name| args.get(name)) {
                texts_of(value, &mut texts);
            }
        }
        // The longest first: one may be the beginning of another.
        texts.sort_by_key(|text| std::cmp::Reverse(text.expose_secret().len()));
        texts
    }

    async fn run_job(
        &self,
        kind: &Kind,
        sender: Sender<'_>,
        now: Timestamp,
    ) -> (Outcome, Option<Taken>) {
        let vars = self.engine.vars(self.account).args(&self.payload.args);
        let changing = match self.intend_secret(kind, &vars, now).await {
            Ok(changing) => changing,
            Err(outcome) => return (*outcome, sender.permit),
        };
        let mut run =
            Run { sender, account: self.account, kind, payload: &self.payload, vars, now };
        let mut outcome = run.attempt().await;
        if let Some(setting) = changing
            && let Err(error) = self.secret_changed(setting, &outcome).await
        {
            // It is pending, and the job does it again.
            let retry = Retry::Yes { counts_error: false };
            outcome = Outcome::failed(Code::Internal, retry, error.to_string());
        }
        (outcome, run.sender.permit)
    }

    /// The secret of the account that this job is about to change, once the new one is durable.
    async fn intend_secret<'k>(
        &self,
        kind: &'k Kind,
        vars: &Vars,
        now: Timestamp,
    ) -> Result<Option<Setting<'k>>, Box<Outcome>> {
        let id = (self.job.id, now);
        let intended = self.engine.intend_secret(self.account, kind, vars, id).await;
        intended.map_err(|error| match error {
            Unintended::Definition(words) => {
                Box::new(Outcome::failed(Code::Definition, Retry::Never, words))
            }
            Unintended::After(other) => {
                let until = now.plus(std::time::Duration::from_secs(5));
                let words = format!("job {other} is changing the same secret: this one waits");
                let end = AttemptEnd::Gated { code: Code::Held, until };
                Box::new(Outcome { words: Some(words), ..Outcome::of(end) })
            }
            Unintended::Store(error) => {
                let retry = Retry::Yes { counts_error: false };
                Box::new(Outcome::failed(Code::Internal, retry, error.to_string()))
            }
        })
    }

    /// After a success the new secret is the current one; after a refusal of the first try there
    /// is none; and as long as nobody knows, both are kept.
    async fn secret_changed(
        &self,
        Setting { secret, first }: Setting<'_>,
        outcome: &Outcome,
    ) -> StoreResult<()> {
        match outcome.end {
            AttemptEnd::Done => self.engine.confirm_secret(self.account, secret).await,
            AttemptEnd::Failed { retry: Retry::Never, .. } if first => {
                self.engine.changes.withdraw(&*self.engine.store, self.job.queue, secret).await
            }
            _ => Ok(()),
        }
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
        let (account, timeout) = (self.account, spec.timeout);
        match &spec.shape {
            CredentialShape::Exchange(exchange) => {
                let renewal = Renewal { sender, account, cell: &cell, exchange, timeout };
                run_exchange(renewal).await
            }
            CredentialShape::Rotate(rotate) => {
                let mut rotating = Rotating { sender, account, cell: &cell, rotate, timeout };
                let outcome = rotating.attempt().await;
                (outcome, rotating.sender.permit)
            }
        }
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

/// What an operator has withdrawn is revoked first, if the definition can.
async fn run_exchange(mut renewal: Renewal<'_>) -> (Outcome, Option<Taken>) {
    let Renewal { account, cell, exchange, timeout, .. } = renewal;
    let Some(request) = exchange.revoke.as_deref() else {
        return (renewal.attempt().await, renewal.sender.permit);
    };
    let revoking = Revoking { account, cell, request, auth: None, timeout };
    if let Err(outcome) = revoking.all_due(&mut renewal.sender).await {
        return (outcome, renewal.sender.permit);
    }
    let outcome = renewal.attempt().await;
    let next = cell.next_revocation(renewal.sender.engine.clock.wall());
    (outcome.not_after(next), renewal.sender.permit)
}

/// A claimed job's arguments in clear.
pub(super) fn open(engine: &Engine, job: &ClaimedJob) -> Result<Payload, Box<Outcome>> {
    let Some(salt) = &job.salt else {
        let words = "its data was erased";
        return Err(Box::new(Outcome::failed(Code::Definition, Retry::Never, words)));
    };
    vault::open_json(&engine.vault.chain(salt), job.id, Part::Args, &job.args).map_err(|error| {
        let words = format!("its arguments cannot be opened: {error}");
        Box::new(Outcome::failed(Code::Definition, Retry::Never, words))
    })
}
