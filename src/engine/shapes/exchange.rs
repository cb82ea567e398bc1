//! `exchange`: obtains a credential and comes back when it is to be renewed. Never ends.

mod lifetime;
mod ways;

use std::{sync::Arc, time::Duration};

pub(in crate::engine) use self::lifetime::{expiry, time};
use secrecy::SecretString;

use self::ways::Unobtained;
pub(in crate::engine) use self::ways::secret;
use super::Outcome;
use crate::{
    crash,
    credentials::cell::{Cell, Failure, Obtained, what_ends_a_lockout},
    definition::Exchange,
    engine::{
        Engine,
        catalog::Account,
        sender::{Sender, Stopped},
    },
    policy::{
        backoff,
        classify::Verdict,
        codes::Code,
        outage::{self, Line, repeats},
        renewal::Life,
        settle::{AttemptEnd, Retry},
    },
    store::StoreError,
    telemetry::events::{Event, Name, emit, hush},
    types::Timestamp,
};

/// A value of unknown life, and a given one, are kept until a 401.
pub(in crate::engine) const UNKNOWN_LIFE: Duration = Duration::from_hours(24 * 365 * 50);
/// A credential that waits for a person is looked at again so often; their word wakes it.
const LOCKED_OUT: Duration = Duration::from_hours(24);
/// Between tries that may each have been a refused login: this, doubled each time.
const DOUBT: Duration = Duration::from_secs(3);
/// A renewal that waits for another is woken by it, but not where that came just before the wait
/// was stored.
const WAITING: Duration = Duration::from_secs(1);

/// What a value must live at least for its successor to wait for the store.
const LAST_MINUTE: Duration = Duration::from_mins(1);

/// One renewal of one credential.
#[derive(Debug)]
pub struct Renewal<'a> {
    pub sender: Sender<'a>,
    pub account: &'a Arc<Account>,
    pub cell: &'a Cell,
    pub exchange: &'a Exchange,
    pub timeout: Duration,
}

/// Why there is no new value.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Trouble {
    pub code: Code,
    pub words: String,
    /// Do not try before.
    pub not_before: Option<Timestamp>,
    /// Ask the whole account to wait.
    pub gate: bool,
}

impl Trouble {
    pub fn new(code: Code, words: impl Into<String>) -> Self {
        Self { code, words: words.into(), not_before: None, gate: false }
    }
}

impl Renewal<'_> {
    pub async fn attempt(&mut self) -> Outcome {
        let Some(_turn) = self.sender.engine.lifeline.enter(self.cell) else {
            return waits("it is being renewed".to_owned(), self.sender.engine.clock.wall());
        };
        if let Some(at) = still_fresh(self.cell, self.sender.engine.clock.wall()) {
            return Outcome::of(AttemptEnd::Snooze { at });
        }
        let outcome = match self.obtain_unless_distrusted().await {
            Ok(obtained) => {
                crash::point("exchanged");
                self.keep(obtained).await
            }
            Err(Unobtained::Released) => return Outcome::of(AttemptEnd::Released),
            Err(Unobtained::Waits(words)) => return waits(words, self.sender.engine.clock.wall()),
            Err(Unobtained::For(trouble)) => self.give_up(trouble).await,
            Err(Unobtained::Store(error)) => Err(error),
        };
        outcome.unwrap_or_else(|error| failed(Code::Internal, &error.to_string(), None))
    }

    async fn obtain_unless_distrusted(&mut self) -> Result<Obtained, Unobtained> {
        let engine = self.sender.engine;
        if engine.guard.is_locked(&engine.itself(self.account, &self.cell.name)) {
            let words = "the provider refused requests with fresh values";
            return Err(Unobtained::For(Trouble::new(Code::Lockout, words)));
        }
        self.obtain().await
    }

    async fn keep(&self, mut obtained: Obtained) -> Result<Outcome, StoreError> {
        let engine = self.sender.engine;
        let life =
            obtained.expires_at.map(|expires_at| Life { sent_at: obtained.sent_at, expires_at });
        let now = engine.clock.wall();
        let renew_at =
            life.map_or_else(|| now.plus(UNKNOWN_LIFE), |life| life.renew_at(engine.chance()));
        if life.is_some_and(|life| life.usable_until() <= now) {
            // Asking again at once would bring another of the same.
            if let Some(token) = obtained.refresh_token.take() {
                // The one before it may be of no use any more.
                self.keep_refresh_token(token).await?;
            }
            let words = "the value that came has expired already: is a clock wrong?";
            let not_before = Some(renew_at.max(now.plus(Duration::from_secs(30))));
            let trouble = Trouble { not_before, ..Trouble::new(Code::Unsuccessful, words) };
            return self.give_up(trouble).await;
        }
        obtained.renew_at = Some(renew_at);
        obtained.origin.place = Some(engine.place_of(self.account));
        // What came may not come again: however long the store takes, it is kept.
        let (generation, stored) = self.put(obtained).await?;
        let detail = "in use although the database does not take it yet: it is kept in memory";
        emit(
            Name::CredentialObtained,
            &Event {
                account: Some(&self.account.name),
                credential: Some(&self.cell.name),
                generation: Some(crate::types::Generation(generation)),
                next_run_at: Some(renew_at),
                detail: (!stored).then_some(detail),
                ..Event::default()
            },
        );
        engine.handed_over(self.cell);
        // Whoever waited for it may go on.
        engine.wake.ready(self.account.queue);
        if stored {
            engine.wake_dependents(self.account, &self.cell.name).await?;
        }
        Ok(Outcome::of(AttemptEnd::Snooze { at: renew_at }))
    }

    /// Puts a value into use once it is stored; where the store does not take it, when the one
    /// before is of no more use. Its generation, and whether it is stored.
    async fn put(&self, obtained: Obtained) -> Result<(i64, bool), StoreError> {
        let engine = self.sender.engine;
        loop {
            let put = self.cell.put(&*engine.store, &engine.vault, obtained.clone()).await;
            let error = match put {
                Ok(generation) => return Ok((generation, true)),
                Err(error) => error,
            };
            let passing = matches!(
                error,
                StoreError::Unavailable(_) | StoreError::Full | StoreError::Corrupt(_)
            );
            if passing && self.cannot_wait(&obtained) {
                return Ok((self.cell.hold(&engine.vault, obtained).await, false));
            }
            engine.wait_for_store(error).await?;
        }
    }

    /// A value that can be had again may be lost in a crash. One that came with a refresh token may
    /// not: the provider may have taken the token before it out of use, so that the new one should be
    /// durable first, and is used only once there is nothing else.
    fn cannot_wait(&self, obtained: &Obtained) -> bool {
        let again = obtained.refresh_token.is_none();
        again || self.cell.held(self.sender.engine.clock.wall(), LAST_MINUTE).is_none()
    }

    async fn keep_refresh_token(&self, token: SecretString) -> Result<(), StoreError> {
        let engine = self.sender.engine;
        let (store, vault) = (&*engine.store, &engine.vault);
        while let Err(error) = self.cell.keep_refresh_token(store, vault, token.clone()).await {
            engine.wait_for_store(error).await?;
        }
        Ok(())
    }

    async fn give_up(&self, trouble: Trouble) -> Result<Outcome, StoreError> {
        give_up(&self.sender, self.account, self.cell, trouble).await
    }
}

/// When to come back, if the value in hand needs no renewal yet (the job was woken early).
pub(in crate::engine) fn still_fresh(cell: &Cell, now: Timestamp) -> Option<Timestamp> {
    let view = cell.view(now);
    let renew_at = cell.renew_at()?;
    (view.state == "fresh" && view.errors == 0 && now < renew_at).then_some(renew_at)
}

/// Another credential has to come first, which is no failure of this one.
pub(in crate::engine) fn waits(words: String, now: Timestamp) -> Outcome {
    let end = AttemptEnd::Gated { code: Code::Held, until: now.plus(WAITING) };
    Outcome { words: Some(words), ..Outcome::of(end) }
}

/// Stores that a credential was not obtained, tells it, and says when it is tried again.
pub(in crate::engine) async fn give_up(
    sender: &Sender<'_>,
    account: &Account,
    cell: &Cell,
    trouble: Trouble,
) -> Result<Outcome, StoreError> {
    let retry_at = next_try(sender.engine, cell, &trouble);
    sender.engine.note_failure(account, cell, &trouble, retry_at).await?;
    let mut outcome = failed(trouble.code, &trouble.words, Some(retry_at));
    if trouble.gate {
        outcome.gate = Some((retry_at, trouble.code));
    }
    Ok(outcome)
}

/// When a renewal that failed is tried again.
pub(in crate::engine) fn next_try(engine: &Engine, cell: &Cell, trouble: &Trouble) -> Timestamp {
    let now = engine.clock.wall();
    let errors = cell.errors().saturating_add(1);
    let retry_at = match trouble.code {
        // The secrets must change, or a person must ask: both wake it.
        Code::Lockout => now.plus(LOCKED_OUT),
        _ => backoff::renewal_retry(now, cell.life(), errors, engine.chance()),
    };
    trouble.not_before.map_or(retry_at, |at| at.max(retry_at))
}

impl Engine {
    /// Records and tells that a credential was not obtained, or is of no use.
    pub(in crate::engine) async fn note_failure(
        &self,
        account: &Account,
        cell: &Cell,
        trouble: &Trouble,
        retry_at: Timestamp,
    ) -> Result<(), StoreError> {
        let now = self.clock.wall();
        let failure = Failure {
            now,
            code: trouble.code,
            words: &trouble.words,
            retry_at: Some(retry_at),
            secrets: account.fingerprint,
        };
        cell.fail(&*self.store, &self.vault, failure).await?;
        self.tell_not_obtained(cell, trouble, (now, retry_at));
        // Jobs that need it are claimed again when it is next tried.
        self.wake.ready(account.queue);
        Ok(())
    }
}

impl Engine {
    /// The log's line on a credential that was not obtained.
    pub(in crate::engine) fn tell_not_obtained(
        &self,
        cell: &Cell,
        trouble: &Trouble,
        (now, retry_at): (Timestamp, Timestamp),
    ) {
        if cell.comes_to_be_at_risk(now) {
            tell_risk(cell, trouble, now);
        }
        let code = trouble.code.text();
        let locked = trouble.code == Code::Lockout;
        let name = if locked { Name::CredentialLockedOut } else { Name::CredentialRenewalFailed };
        let full_name = format!("{}/{}", cell.account, cell.name);
        let advice = format!("{}; {}", trouble.words, what_ends_a_lockout(&full_name));
        let event = Event {
            account: Some(&cell.account),
            credential: Some(&cell.name),
            error_code: Some(&code),
            next_run_at: (!locked).then_some(retry_at),
            detail: Some(if locked { &advice } else { &trouble.words }),
            ..Event::default()
        };
        if outage::is_providers(trouble.code) {
            self.tell_failure((cell.queue, Line::Renewal, trouble.code), name, &event);
        } else if !is_refusal(trouble.code) && repeats(cell.errors()) {
            hush(name, &event);
        } else {
            emit(name, &event);
        }
    }
}

/// Each of these counts towards a lockout: they are few, and none is to be missed.
const fn is_refusal(code: Code) -> bool {
    matches!(code, Code::LoginRefused | Code::Unauthorized | Code::Lockout)
}

fn tell_risk(cell: &Cell, trouble: &Trouble, now: Timestamp) {
    let Some(life) = cell.life() else { return };
    let left = if life.usable_until() <= now { "has expired" } else { "is about to expire" };
    let detail = format!(
        "the value in use {left} ({}), and no other could be had since its renewal was due: {}",
        life.expires_at, trouble.words
    );
    emit(
        Name::CredentialAtRisk,
        &Event {
            account: Some(&cell.account),
            credential: Some(&cell.name),
            generation: Some(crate::types::Generation(cell.generation())),
            error_code: Some(&trouble.code.text()),
            detail: Some(&detail),
            ..Event::default()
        },
    );
}

pub(in crate::engine) fn failed(code: Code, words: &str, at: Option<Timestamp>) -> Outcome {
    Outcome {
        words: Some(words.to_owned()),
        ..Outcome::of(AttemptEnd::Failed { code, retry: Retry::Yes { counts_error: true }, at })
    }
}

/// What a request without a usable answer means for a credential.
pub(in crate::engine) fn trouble(stopped: Stopped, now: Timestamp) -> Trouble {
    match stopped {
        Stopped::Unauthorized { words } => Trouble::new(Code::Unauthorized, words),
        Stopped::Verdict { verdict: Verdict::Gate { wait, code }, words } => Trouble {
            not_before: Some(now.plus(wait.wait())),
            gate: true,
            ..Trouble::new(code, words)
        },
        Stopped::Verdict { verdict, words } => Trouble::new(code_of(verdict), words),
        Stopped::Credential(other) => {
            Trouble { not_before: other.retry_at, ..Trouble::new(other.code, other.detail) }
        }
        Stopped::Waits(words) => Trouble::new(Code::Held, words),
        Stopped::Budget => Trouble::new(Code::RateLimited, "the budget is spent"),
        Stopped::Definition(error) => Trouble::new(Code::Definition, error.to_string()),
        Stopped::Store(words) => Trouble::new(Code::Internal, words),
        Stopped::Asked | Stopped::LostClaim => Trouble::new(Code::Cancelled, ""),
    }
}

fn code_of(verdict: Verdict) -> Code {
    match verdict {
        Verdict::Retry { code, .. }
        | Verdict::RetryFew { code }
        | Verdict::Suspect { code }
        | Verdict::Gate { code, .. }
        | Verdict::ProviderChanged { code }
        | Verdict::Dead { code }
        | Verdict::MaybeRefused { code }
        | Verdict::OutcomeUnknown { code } => code,
        Verdict::Unauthorized => Code::Unauthorized,
        Verdict::Refused => Code::LoginRefused,
        Verdict::Success => Code::Internal,
    }
}
