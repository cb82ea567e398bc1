//! One credential of one account: what there is, how long it may be used, who waits for it.
//!
//! There is one way to obtain a value: the credential's own job, woken when somebody needs a value
//! that is not there. Being one row with one claim, it is single-flight across tasks, processes
//! and nodes. This module keeps what it brought, and lets those who need it wait.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub mod rotating;
pub mod rotation;

use self::rotation::Rotation;
use super::{seal, vault::Vault};
use crate::{
    policy::{
        codes::Code,
        renewal::{self, Life},
        rotation::promise::earlier,
    },
    store::{CredentialRow, Hash16, QueueId, Store, StoreResult, StoredError},
    types::Timestamp,
};

/// What is kept sealed of a credential.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// None once the provider has refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default)]
    origin: Origin,
    #[serde(default, skip_serializing_if = "Rotation::is_empty")]
    rotation: Rotation,
}

/// How a value was come by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The login that brought it; none where another credential did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Hash16>,
    /// It is a secret itself: to obtain it again brings the same.
    #[serde(default)]
    pub given: bool,
    /// Where it is valid: host and parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Hash16>,
    /// Its expiry was told as a duration, and so moves with a stepped wall clock.
    #[serde(default)]
    pub relative: bool,
}

/// A value that a request may be sent with.
#[derive(Debug, Clone)]
pub struct Held {
    pub value: SecretString,
    pub generation: i64,
    /// The earlier of its expiry and its planned revocation.
    pub expires_at: Option<Timestamp>,
    pub origin: Origin,
}

/// What an exchange brought.
#[derive(Debug, Clone)]
pub struct Obtained {
    pub value: SecretString,
    pub refresh_token: Option<SecretString>,
    pub origin: Origin,
    pub sent_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub renew_at: Option<Timestamp>,
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    pub code: Code,
    /// When it is tried again; `None`: when a person has done something.
    pub retry_at: Option<Timestamp>,
    pub detail: String,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) row: Option<CredentialRow>,
    value: Option<SecretString>,
    refresh_token: Option<SecretString>,
    origin: Origin,
    /// When a failed renewal is tried again.
    pub(super) retry_at: Option<Timestamp>,
    /// The generation of which it was told that it may lapse.
    risk_told: Option<i64>,
    /// The store did not take the value in hand yet.
    unsaved: bool,
    /// The words of the last error, in clear.
    pub(super) words: Option<String>,
    pub(super) rotation: Rotation,
    /// While a successor is being published: when this value is revoked then.
    retiring: Option<Timestamp>,
    /// How many values in a row each request refused, by the request's path.
    refused_by: BTreeMap<String, u32>,
}

impl State {
    fn life(&self) -> Option<Life> {
        let row = self.row.as_ref()?;
        Some(Life { sent_at: row.sent_at?, expires_at: row.expires_at? })
    }

    pub(super) fn held(&self, now: Timestamp, min_ttl: Duration) -> Option<Held> {
        let value = self.value.clone()?;
        let planned_end = self.planned_end(now);
        let usable_until = earlier(self.life().map(Life::usable_until), planned_end);
        renewal::may_hand_out(now, usable_until, min_ttl).then(|| Held {
            value,
            generation: self.row.as_ref().map_or(0, |row| row.generation),
            expires_at: earlier(self.row.as_ref().and_then(|row| row.expires_at), planned_end),
            origin: self.origin,
        })
    }

    /// Nothing is tried any more until the secrets change or somebody asks.
    pub(super) fn is_locked_out(&self) -> bool {
        let error = self.row.as_ref().filter(|row| row.errors > 0).and_then(|r| r.error.as_ref());
        error.is_some_and(|error| error.code == Code::Lockout.text())
    }
}

/// One credential of one account.
#[derive(Debug)]
pub struct Cell {
    pub queue: QueueId,
    pub account: String,
    pub name: String,
    state: Mutex<State>,
    /// Held from reading the row to its being on disk: one change after the other.
    changing: tokio::sync::Mutex<()>,
    /// Counts the ends of renewals, good and bad.
    ends: watch::Sender<u64>,
    /// Counts the steps of rotations and revocations.
    revocations: watch::Sender<u64>,
}

impl Cell {
    pub(super) fn restored(
        queue: QueueId,
        account: String,
        name: String,
        row: Option<CredentialRow>,
        vault: &Vault,
    ) -> Self {
        let mut state = State::default();
        if let Some(row) = row {
            let chain = vault.chain(&row.salt);
            if let Some(sealed) = &row.value
                && let Ok(clear) = chain.open(&aad(queue, &name), sealed)
                && let Ok(kept) = serde_json::from_slice::<Kept>(&clear)
            {
                state.value = kept.value.map(Into::into);
                state.origin = kept.origin;
                state.rotation = kept.rotation;
                state.refresh_token = kept.refresh_token.map(Into::into);
            }
            state.words = row
                .error
                .as_ref()
                .and_then(|error| error.message.as_ref())
                .and_then(|sealed| chain.open(&aad(queue, &name), sealed).ok())
                .and_then(|clear| String::from_utf8(clear.to_vec()).ok());
            state.row = Some(row);
        }
        Self {
            queue,
            account,
            name,
            state: Mutex::new(state),
            changing: tokio::sync::Mutex::default(),
            ends: watch::channel(0).0,
            revocations: watch::channel(0).0,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A value that lives at least `min_ttl` more, if there is one.
    #[must_use]
    pub fn held(&self, now: Timestamp, min_ttl: Duration) -> Option<Held> {
        self.state().held(now, min_ttl)
    }

    /// The life of the value in hand.
    #[must_use]
    pub fn life(&self) -> Option<Life> {
        let state = self.state();
        state.value.as_ref()?;
        state.life()
    }

    #[must_use]
    pub fn refresh_token(&self) -> Option<SecretString> {
        self.state().refresh_token.clone()
    }

    /// All that is secret here, in use, to come or retired: for redaction.
    #[must_use]
    pub fn all_secrets(&self) -> Vec<SecretString> {
        let state = self.state();
        let rotation = &state.rotation;
        let candidate = rotation.candidate.iter().map(|one| &one.value);
        let rotated = candidate.chain(rotation.retired.iter().map(|one| &one.value));
        state.value.iter().chain(&state.refresh_token).chain(rotated).cloned().collect()
    }

    /// Tells when renewals end.
    #[must_use]
    pub fn ends(&self) -> watch::Receiver<u64> {
        self.ends.subscribe()
    }

    /// Why nothing can be had now: the last try failed and the next is later, or never by itself.
    #[must_use]
    pub fn trouble(&self, now: Timestamp) -> Option<Unavailable> {
        let state = self.state();
        if state.held(now, Duration::ZERO).is_some() {
            return None;
        }
        let row = state.row.as_ref()?;
        let error = row.error.as_ref().filter(|_| row.errors > 0)?;
        let code = error.code.parse().unwrap_or(Code::Internal);
        let words = state.words.clone().unwrap_or_default();
        if state.is_locked_out() {
            let name = format!("{}/{}", self.account, self.name);
            let detail = format!("{name} is locked out: {words}; {}", what_ends_a_lockout(&name));
            return Some(Unavailable { code: Code::Lockout, retry_at: None, detail });
        }
        let retry_at = state.retry_at.filter(|at| now < *at)?;
        let detail = format!("{}/{} cannot be obtained: {words}", self.account, self.name);
        Some(Unavailable { code, retry_at: Some(retry_at), detail })
    }

    #[must_use]
    pub fn is_locked_out(&self) -> bool {
        self.state().is_locked_out()
    }

    /// Whether the last try failed with secrets other than these.
    #[must_use]
    pub fn failed_with_others(&self, fingerprint: &Hash16) -> bool {
        let state = self.state();
        let row = state.row.as_ref();
        row.is_some_and(|row| row.errors > 0 && row.secrets.as_ref() != Some(fingerprint))
    }

    /// Stores a new value, durably, before anybody may use it.
    pub async fn put(
        &self,
        store: &dyn Store,
        vault: &Vault,
        obtained: Obtained,
    ) -> StoreResult<i64> {
        let _changing = self.changing.lock().await;
        let row = self.row_of(vault, &obtained);
        store.save_credential(row.clone()).await?;
        self.state().unsaved = false;
        Ok(self.take_up(row, obtained))
    }

    /// Puts a new value into use that the store does not take: for when the one before is of no
    /// more use. [`Self::save`] stores it later; until then a crash loses it.
    pub async fn hold(&self, vault: &Vault, obtained: Obtained) -> i64 {
        let _changing = self.changing.lock().await;
        let row = self.row_of(vault, &obtained);
        self.state().unsaved = true;
        self.take_up(row, obtained)
    }

    /// Stores what [`Self::hold`] put into use.
    pub async fn save(&self, store: &dyn Store, vault: &Vault) -> StoreResult<()> {
        let _changing = self.changing.lock().await;
        if !self.state().unsaved {
            return Ok(());
        }
        let mut row = self.row();
        let ((value, refresh_token), origin) = (self.secrets(), self.state().origin);
        // Anew: the key may have been replaced meanwhile.
        row.value = self.sealed(vault, &row, (value.as_ref(), refresh_token.as_ref(), origin));
        store.save_credential(row.clone()).await?;
        let mut state = self.state();
        (state.row, state.unsaved) = (Some(row), false);
        Ok(())
    }

    /// Nothing is tried before then; for a try that could not be stored.
    pub fn hold_off(&self, until: Timestamp) {
        let mut state = self.state();
        state.retry_at = Some(state.retry_at.map_or(until, |at| at.max(until)));
    }

    fn row_of(&self, vault: &Vault, obtained: &Obtained) -> CredentialRow {
        let mut row = self.row();
        row.generation += 1;
        row.salt = seal::new_salt();
        let kept = (Some(&obtained.value), obtained.refresh_token.as_ref(), obtained.origin);
        row.value = self.sealed(vault, &row, kept);
        row.sent_at = Some(obtained.sent_at);
        row.expires_at = obtained.expires_at;
        row.renew_at = obtained.renew_at;
        row.promised_until = None;
        (row.errors, row.error, row.secrets) = (0, None, None);
        row
    }

    fn take_up(&self, row: CredentialRow, obtained: Obtained) -> i64 {
        let generation = row.generation;
        {
            let mut state = self.state();
            state.value = Some(obtained.value);
            state.refresh_token = obtained.refresh_token;
            state.origin = obtained.origin;
            (state.retry_at, state.words) = (None, None);
            state.row = Some(row);
        }
        self.ends.send_modify(|ends| *ends += 1);
        generation
    }

    /// Whether a new value has to be had now, whatever else is wrong: there is none, or it is about
    /// to lapse. Not where nothing is tried any more, or not yet again.
    #[must_use]
    pub fn is_urgent(&self, now: Timestamp) -> bool {
        let state = self.state();
        let waits = state.is_locked_out() || state.retry_at.is_some_and(|at| now < at);
        let lapses = state.value.is_none() || state.life().is_some_and(|life| life.is_at_risk(now));
        lapses && !waits
    }

    /// Keeps that a try failed, and stores it.
    pub async fn fail(
        &self,
        store: &dyn Store,
        vault: &Vault,
        failure: Failure<'_>,
    ) -> StoreResult<()> {
        let _changing = self.changing.lock().await;
        let mut row = self.row();
        row.errors = row.errors.saturating_add(1);
        row.secrets = Some(failure.secrets);
        let words = failure.words.as_bytes();
        row.error = Some(StoredError {
            code: failure.code.to_string(),
            message: Some(vault.chain(&row.salt).seal(&aad(self.queue, &self.name), words)),
            at: failure.now,
        });
        // It counts, whether the store takes it or not: the next that is stored brings it along.
        let saved = store.save_credential(row.clone()).await;
        {
            let mut state = self.state();
            state.row = Some(row);
            state.retry_at = failure.retry_at;
            state.words = Some(failure.words.to_owned());
        }
        self.ends.send_modify(|ends| *ends += 1);
        saved
    }

    /// Drops the value that a provider refused, unless it was dropped or replaced meanwhile. A
    /// refresh token stays.
    pub async fn invalidate(
        &self,
        store: &dyn Store,
        vault: &Vault,
        generation: i64,
    ) -> StoreResult<bool> {
        let _changing = self.changing.lock().await;
        let mut row = self.row();
        if row.generation != generation || self.state().value.is_none() {
            return Ok(false);
        }
        let origin = self.state().origin;
        row.value = self.sealed(vault, &row, (None, self.refresh_token().as_ref(), origin));
        store.save_credential(row.clone()).await?;
        let mut state = self.state();
        state.value = None;
        state.row = Some(row);
        Ok(true)
    }

    /// A value was dropped because this request was refused; how many in a row.
    pub fn refused_by(&self, path: &str) -> u32 {
        let mut state = self.state();
        let count = state.refused_by.entry(path.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// This request was answered as it should be. Whether no other is refused.
    pub fn served_by(&self, path: &str) -> bool {
        let mut state = self.state();
        state.refused_by.remove(path);
        state.refused_by.is_empty()
    }

    /// A new refresh token came, with a value that is of no use.
    pub async fn keep_refresh_token(
        &self,
        store: &dyn Store,
        vault: &Vault,
        token: SecretString,
    ) -> StoreResult<()> {
        let _changing = self.changing.lock().await;
        let mut row = self.row();
        let (value, origin) = {
            let state = self.state();
            (state.value.clone(), state.origin)
        };
        row.value = self.sealed(vault, &row, (value.as_ref(), Some(&token), origin));
        store.save_credential(row.clone()).await?;
        let mut state = self.state();
        state.refresh_token = Some(token);
        state.row = Some(row);
        Ok(())
    }

    /// What is kept was obtained elsewhere, or is a secret that has been changed: none of it is used
    /// here, and nothing is revoked there.
    pub async fn disown(&self, store: &dyn Store, vault: &Vault) -> StoreResult<()> {
        let _changing = self.changing.lock().await;
        let mut rotation = self.rotation();
        let mut row = self.row();
        rotation.disown(row.generation, self.secrets().0, row.expires_at);
        (row.renew_at, row.promised_until) = (None, None);
        row.value =
            self.sealed_with(vault, &row, (None, None, Origin::default()), rotation.clone());
        store.save_credential(row.clone()).await?;
        let mut state = self.state();
        (state.value, state.refresh_token) = (None, None);
        state.origin = Origin::default();
        state.rotation = rotation;
        state.row = Some(row);
        Ok(())
    }

    /// How the value in hand was come by; `None` where there is none.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        let state = self.state();
        let any = state.value.is_some() || !state.rotation.is_idle();
        any.then_some(state.origin)
    }

    /// Drops the refresh token that a provider refused. The value in hand stays.
    pub async fn drop_refresh_token(&self, store: &dyn Store, vault: &Vault) -> StoreResult<()> {
        let _changing = self.changing.lock().await;
        let mut row = self.row();
        let (value, origin) = {
            let state = self.state();
            (state.value.clone(), state.origin)
        };
        row.value = self.sealed(vault, &row, (value.as_ref(), None, origin));
        store.save_credential(row.clone()).await?;
        let mut state = self.state();
        state.refresh_token = None;
        state.row = Some(row);
        Ok(())
    }

    /// The wall clock was stepped by so many milliseconds. What was counted from then moves with
    /// it; what a provider told as a time stays. Returns when the renewal is due now.
    pub async fn step(
        &self,
        store: &dyn Store,
        by_ms: i64,
        jitter: f64,
    ) -> StoreResult<Option<Timestamp>> {
        let _changing = self.changing.lock().await;
        let mut row = self.row();
        let moved = |at: Timestamp| Timestamp(at.0.saturating_add(by_ms));
        let Some(sent_at) = row.sent_at else {
            let mut state = self.state();
            state.retry_at = state.retry_at.map(moved);
            return Ok(state.retry_at);
        };
        let relative = self.state().origin.relative;
        row.sent_at = Some(moved(sent_at));
        if relative || row.expires_at.is_none() {
            row.expires_at = row.expires_at.map(moved);
            row.renew_at = row.renew_at.map(moved);
            row.promised_until = row.promised_until.map(moved);
        } else if let (Some(sent_at), Some(expires_at)) = (row.sent_at, row.expires_at) {
            row.renew_at = Some(Life { sent_at, expires_at }.renew_at(jitter));
        }
        store.save_credential(row.clone()).await?;
        let renew_at = row.renew_at;
        let mut state = self.state();
        state.retry_at = state.retry_at.map(moved);
        state.row = Some(row);
        Ok(state.retry_at.or(renew_at))
    }

    fn secrets(&self) -> (Option<SecretString>, Option<SecretString>) {
        let state = self.state();
        (state.value.clone(), state.refresh_token.clone())
    }

    /// What the row keeps of a value and a refresh token; of a rotation, what there is.
    fn sealed(
        &self,
        vault: &Vault,
        row: &CredentialRow,
        kept: (Option<&SecretString>, Option<&SecretString>, Origin),
    ) -> Option<Vec<u8>> {
        self.sealed_with(vault, row, kept, self.rotation())
    }

    fn sealed_with(
        &self,
        vault: &Vault,
        row: &CredentialRow,
        (value, refresh_token, origin): (Option<&SecretString>, Option<&SecretString>, Origin),
        rotation: Rotation,
    ) -> Option<Vec<u8>> {
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        let (value, refresh_token) = (value.map(text), refresh_token.map(text));
        let kept = Kept { value, refresh_token, origin, rotation };
        if kept.value.is_none() && kept.refresh_token.is_none() && kept.rotation.is_empty() {
            return None;
        }
        let clear = Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        Some(vault.chain(&row.salt).seal(&aad(self.queue, &self.name), &clear))
    }

    /// A person's word: try again, whatever was refused before.
    pub async fn forgive(&self, store: &dyn Store) -> StoreResult<()> {
        let _changing = self.changing.lock().await;
        let mut row = self.row();
        (row.errors, row.error, row.secrets) = (0, None, None);
        row.renew_at = None;
        store.save_credential(row.clone()).await?;
        let mut state = self.state();
        (state.retry_at, state.words) = (None, None);
        state.row = Some(row);
        Ok(())
    }

    /// Seals the row anew with the key in use, where it is sealed with one that begins so. The
    /// row is kept here and written back whole, so that it must be done here too.
    pub async fn reseal(&self, store: &dyn Store, vault: &Vault, begin: &[u8]) -> StoreResult<u64> {
        let _changing = self.changing.lock().await;
        let Some(mut row) = self.state().row.clone() else { return Ok(0) };
        let chain = vault.chain(&row.salt);
        let aad = aad(self.queue, &self.name);
        let mut count = 0;
        for sealed in [Some(&mut row.value), row.error.as_mut().map(|error| &mut error.message)]
            .into_iter()
            .flatten()
        {
            if sealed.as_ref().is_some_and(|sealed| sealed.starts_with(begin)) {
                // What does not open is of no use to anybody.
                let clear = sealed.as_ref().and_then(|sealed| chain.open(&aad, sealed).ok());
                *sealed = clear.map(|clear| chain.seal(&aad, &clear));
                count += 1;
            }
        }
        if count > 0 {
            store.save_credential(row.clone()).await?;
            self.state().row = Some(row);
        }
        Ok(count)
    }

    /// Whether it has to be told, once for each value, that this one is about to lapse, or has.
    pub fn comes_to_be_at_risk(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        let generation = state.row.as_ref().map_or(0, |row| row.generation);
        let at_risk = state.life().is_some_and(|life| life.is_at_risk(now));
        let news = at_risk && state.risk_told != Some(generation);
        if news {
            state.risk_told = Some(generation);
        }
        news
    }

    /// Counts the values obtained.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.state().row.as_ref().map_or(0, |row| row.generation)
    }

    /// Somebody needs a younger value than this one: the next renewal is due at once.
    pub fn hasten(&self, generation: i64) {
        if let Some(row) = self.state().row.as_mut().filter(|row| row.generation == generation) {
            row.renew_at = None;
        }
    }

    /// The last renewal failed and the next is not due yet, whatever is in hand.
    #[must_use]
    pub fn failing(&self, now: Timestamp) -> Option<Unavailable> {
        let state = self.state();
        let error = state.row.as_ref().filter(|row| row.errors > 0)?.error.as_ref()?;
        let retry_at = state.retry_at.filter(|at| now < *at)?;
        Some(Unavailable {
            code: error.code.parse().unwrap_or(Code::Internal),
            retry_at: Some(retry_at),
            detail: format!(
                "{}/{} cannot be renewed: {}",
                self.account,
                self.name,
                state.words.as_deref().unwrap_or_default()
            ),
        })
    }

    #[must_use]
    pub fn errors(&self) -> u32 {
        self.state().row.as_ref().map_or(0, |row| row.errors)
    }

    fn row(&self) -> CredentialRow {
        self.state().row.clone().unwrap_or_else(|| CredentialRow {
            queue: self.queue,
            name: self.name.clone(),
            generation: 0,
            salt: seal::new_salt(),
            value: None,
            sent_at: None,
            expires_at: None,
            renew_at: None,
            promised_until: None,
            errors: 0,
            error: None,
            secrets: None,
        })
    }
}

/// A try that failed.
#[derive(Debug)]
pub struct Failure<'a> {
    pub now: Timestamp,
    pub code: Code,
    pub words: &'a str,
    pub retry_at: Option<Timestamp>,
    /// All secrets of the account: another try is due once they change.
    pub secrets: Hash16,
}

/// What a person can do about a lockout of `account/name`.
#[must_use]
pub fn what_ends_a_lockout(name: &str) -> String {
    format!(
        "nothing more is tried: change the secrets and `attendant reload`; or, where they are right, \
         `attendant credentials renew {name}`"
    )
}

/// The name of the place, under which a credential's parts are sealed.
pub(crate) fn aad(queue: QueueId, name: &str) -> Vec<u8> {
    let mut aad = b"credential\0".to_vec();
    aad.extend_from_slice(&queue.to_be_bytes());
    aad.extend_from_slice(name.as_bytes());
    aad
}
