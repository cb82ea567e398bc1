//! One credential of one account: what there is, how long it may be used, who waits for it.
//!
//! There is one way to obtain a value: the credential's own job, woken when somebody needs a value
//! that is not there. Being one row with one claim, it is single-flight across tasks, processes
//! and nodes. This module keeps what it brought, and lets those who need it wait.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{seal, vault::Vault};
use crate::{
    policy::{
        codes::Code,
        renewal::{self, Life},
    },
    store::{CredentialRow, Hash16, QueueId, Store, StoreResult, StoredError},
    types::Timestamp,
};

/// Refused logins after which the secrets are left alone until they change.
pub const REFUSALS: u32 = 2;

/// What is kept sealed of a credential.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// None once the provider has refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// A value that a request may be sent with.
#[derive(Debug, Clone)]
pub struct Held {
    pub value: SecretString,
    pub generation: i64,
    pub expires_at: Option<Timestamp>,
}

/// What an exchange brought.
#[derive(Debug)]
pub struct Obtained {
    pub value: SecretString,
    pub refresh_token: Option<SecretString>,
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
    /// When a failed renewal is tried again.
    pub(super) retry_at: Option<Timestamp>,
    /// The words of the last error, in clear.
    pub(super) words: Option<String>,
    /// Fresh values in a row that a provider refused.
    distrust: u32,
}

impl State {
    fn life(&self) -> Option<Life> {
        let row = self.row.as_ref()?;
        Some(Life { sent_at: row.sent_at?, expires_at: row.expires_at? })
    }

    pub(super) fn held(&self, now: Timestamp, min_ttl: Duration) -> Option<Held> {
        let value = self.value.clone()?;
        let usable_until = self.life().map(Life::usable_until);
        renewal::may_hand_out(now, usable_until, min_ttl).then(|| Held {
            value,
            generation: self.row.as_ref().map_or(0, |row| row.generation),
            expires_at: self.row.as_ref().and_then(|row| row.expires_at),
        })
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

    /// All that is secret here, usable or not: for redaction.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretString> {
        let state = self.state();
        [&state.value, &state.refresh_token].into_iter().flatten().cloned().collect()
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
        if row.refusals >= REFUSALS {
            let detail = format!(
                "{}/{}: the login was refused ({words}); change the secrets and reload, or \
                 `attendant credentials renew {}/{}`",
                self.account, self.name, self.account, self.name
            );
            return Some(Unavailable { code: Code::Lockout, retry_at: None, detail });
        }
        let retry_at = state.retry_at.filter(|at| now < *at)?;
        let detail = format!("{}/{} cannot be obtained: {words}", self.account, self.name);
        Some(Unavailable { code, retry_at: Some(retry_at), detail })
    }

    /// Whether the login may be tried with these secrets.
    #[must_use]
    pub fn locked_out(&self, fingerprint: &Hash16) -> bool {
        let state = self.state();
        state.row.as_ref().is_some_and(|row| {
            row.refusals >= REFUSALS && row.secrets.as_ref() == Some(fingerprint)
        })
    }

    /// Whether a login was refused with secrets other than these.
    #[must_use]
    pub fn refused_others(&self, fingerprint: &Hash16) -> bool {
        let state = self.state();
        let row = state.row.as_ref();
        row.is_some_and(|row| row.refusals > 0 && row.secrets.as_ref() != Some(fingerprint))
    }

    /// A request with this credential was answered as it should be.
    pub fn trusted(&self) {
        self.state().distrust = 0;
    }

    /// A request with a fresh value was refused; how often that happened in a row.
    pub fn distrusted(&self) -> u32 {
        let mut state = self.state();
        state.distrust = state.distrust.saturating_add(1);
        state.distrust
    }

    /// Stores a new value, durably, before anybody may use it.
    pub async fn put(
        &self,
        store: &dyn Store,
        vault: &Vault,
        obtained: Obtained,
    ) -> StoreResult<i64> {
        let _changing = self.changing.lock().await;
        let mut row = self.row();
        row.generation += 1;
        row.salt = seal::new_salt();
        row.value =
            self.sealed(vault, &row, Some(&obtained.value), obtained.refresh_token.as_ref());
        row.sent_at = Some(obtained.sent_at);
        row.expires_at = obtained.expires_at;
        row.renew_at = obtained.renew_at;
        (row.errors, row.error, row.refusals, row.secrets) = (0, None, 0, None);
        store.save_credential(row.clone()).await?;
        let generation = row.generation;
        {
            let mut state = self.state();
            state.value = Some(obtained.value);
            state.refresh_token = obtained.refresh_token;
            (state.retry_at, state.words) = (None, None);
            state.row = Some(row);
        }
        self.ends.send_modify(|ends| *ends += 1);
        Ok(generation)
    }

    /// Stores that a try failed. A refused login counts against `fingerprint`'s secrets.
    pub async fn fail(
        &self,
        store: &dyn Store,
        vault: &Vault,
        failure: Failure<'_>,
    ) -> StoreResult<()> {
        let _changing = self.changing.lock().await;
        let mut row = self.row();
        row.errors = row.errors.saturating_add(1);
        if let Some(fingerprint) = failure.refused {
            row.refusals =
                if row.secrets == Some(fingerprint) { row.refusals.saturating_add(1) } else { 1 };
            row.secrets = Some(fingerprint);
        }
        let words = failure.words.as_bytes();
        row.error = Some(StoredError {
            code: failure.code.to_string(),
            message: Some(vault.chain(&row.salt).seal(&aad(self.queue, &self.name), words)),
            at: failure.now,
        });
        store.save_credential(row.clone()).await?;
        {
            let mut state = self.state();
            state.row = Some(row);
            state.retry_at = failure.retry_at;
            state.words = Some(failure.words.to_owned());
        }
        self.ends.send_modify(|ends| *ends += 1);
        Ok(())
    }

    /// Drops the value that a provider refused, unless it was replaced meanwhile. A refresh token
    /// stays.
    pub async fn invalidate(
        &self,
        store: &dyn Store,
        vault: &Vault,
        generation: i64,
    ) -> StoreResult<bool> {
        let _changing = self.changing.lock().await;
        let mut row = self.row();
        if row.generation != generation {
            return Ok(false);
        }
        row.value = self.sealed(vault, &row, None, self.refresh_token().as_ref());
        store.save_credential(row.clone()).await?;
        let mut state = self.state();
        state.value = None;
        state.row = Some(row);
        Ok(true)
    }

    /// What the row keeps of a value and a refresh token.
    fn sealed(
        &self,
        vault: &Vault,
        row: &CredentialRow,
        value: Option<&SecretString>,
        refresh_token: Option<&SecretString>,
    ) -> Option<Vec<u8>> {
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        let kept = Kept { value: value.map(text), refresh_token: refresh_token.map(text) };
        if kept.value.is_none() && kept.refresh_token.is_none() {
            return None;
        }
        let clear = Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        Some(vault.chain(&row.salt).seal(&aad(self.queue, &self.name), &clear))
    }

    /// A person's word: try again, whatever was refused before.
    pub async fn forgive(&self, store: &dyn Store) -> StoreResult<()> {
        let _changing = self.changing.lock().await;
        let mut row = self.row();
        (row.errors, row.error, row.refusals, row.secrets) = (0, None, 0, None);
        row.renew_at = None;
        store.save_credential(row.clone()).await?;
        let mut state = self.state();
        (state.retry_at, state.words) = (None, None);
        state.row = Some(row);
        Ok(())
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
            refusals: 0,
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
    /// The secrets whose login was refused.
    pub refused: Option<Hash16>,
}

fn aad(queue: QueueId, name: &str) -> Vec<u8> {
    let mut aad = b"credential\0".to_vec();
    aad.extend_from_slice(&queue.to_be_bytes());
    aad.extend_from_slice(name.as_bytes());
    aad
}
