//! The credentials of all accounts: what there is, how long it may be used, who waits for it.
//!
//! There is one way to obtain a value: the credential's own job, woken when somebody needs a value
//! that is not there. Being one row with one claim, it is single-flight across tasks, processes
//! and nodes. This module keeps what it brought, and lets those who need it wait.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
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
    value: String,
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
struct State {
    row: Option<CredentialRow>,
    value: Option<SecretString>,
    refresh_token: Option<SecretString>,
    /// When a failed renewal is tried again.
    retry_at: Option<Timestamp>,
    /// The words of the last error, in clear.
    words: Option<String>,
    /// Fresh values in a row that a provider refused.
    distrust: u32,
}

impl State {
    fn life(&self) -> Option<Life> {
        let row = self.row.as_ref()?;
        Some(Life { sent_at: row.sent_at?, expires_at: row.expires_at? })
    }

    fn held(&self, now: Timestamp, min_ttl: Duration) -> Option<Held> {
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
    /// Counts the ends of renewals, good and bad.
    ends: watch::Sender<u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Credentials {
    queues: Mutex<HashMap<QueueId, BTreeMap<String, Arc<Cell>>>>,
}

/// A credential as an operator sees it: all but the value.
#[derive(Debug, Clone, Serialize)]
pub struct CredentialView {
    pub account: String,
    pub name: String,
    /// `fresh`, `failing` (a value is left, renewal fails), `missing`, `locked_out`.
    pub state: &'static str,
    pub generation: i64,
    pub obtained_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub renew_at: Option<Timestamp>,
    pub errors: u32,
    pub last_error: Option<LastError>,
}

#[derive(Debug, Clone, Serialize)]
pub struct LastError {
    pub code: String,
    pub message: Option<String>,
    pub at: Timestamp,
}

impl Credentials {
    /// Opens what the store has.
    pub async fn load(
        store: &dyn Store,
        vault: &Vault,
        accounts: impl Iterator<Item = (QueueId, String, String)>,
    ) -> StoreResult<Self> {
        let mut rows: HashMap<(QueueId, String), CredentialRow> = HashMap::new();
        for row in store.credentials().await? {
            rows.insert((row.queue, row.name.clone()), row);
        }
        let all = Self::default();
        for (queue, account, name) in accounts {
            let row = rows.remove(&(queue, name.clone()));
            let cell = Cell::restored(queue, account, name.clone(), row, vault);
            all.queues().entry(queue).or_default().insert(name, Arc::new(cell));
        }
        Ok(all)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<QueueId, BTreeMap<String, Arc<Cell>>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn cell(&self, queue: QueueId, name: &str) -> Option<Arc<Cell>> {
        self.queues().get(&queue)?.get(name).cloned()
    }

    /// By account and name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Cell>> {
        let mut all: Vec<Arc<Cell>> =
            self.queues().values().flat_map(BTreeMap::values).cloned().collect();
        all.sort_by(|a, b| (&a.account, &a.name).cmp(&(&b.account, &b.name)));
        all
    }

    /// Why an account cannot send anything: a credential is missing and was not to be had.
    #[must_use]
    pub fn blocked(&self, queue: QueueId, now: Timestamp) -> Option<Unavailable> {
        self.queues().get(&queue)?.values().find_map(|cell| cell.trouble(now))
    }
}

impl Cell {
    fn restored(
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
                state.value = Some(kept.value.into());
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
        Self { queue, account, name, state: Mutex::new(state), ends: watch::channel(0).0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
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
        let mut row = self.row();
        let kept = Kept {
            value: obtained.value.expose_secret().to_owned(),
            refresh_token: obtained
                .refresh_token
                .as_ref()
                .map(|token| token.expose_secret().to_owned()),
        };
        let clear = secrecy::zeroize::Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        row.generation += 1;
        row.salt = seal::new_salt();
        row.value = Some(vault.chain(&row.salt).seal(&aad(self.queue, &self.name), &clear));
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

    /// Drops the value that a provider refused, unless it was replaced meanwhile.
    pub async fn invalidate(&self, store: &dyn Store, generation: i64) -> StoreResult<bool> {
        let row = {
            let mut state = self.state();
            let Some(row) = state.row.as_mut().filter(|row| row.generation == generation) else {
                return Ok(false);
            };
            row.value = None;
            let row = row.clone();
            state.value = None;
            row
        };
        store.save_credential(row).await?;
        Ok(true)
    }

    /// A person's word: try again, whatever was refused before.
    pub async fn forgive(&self, store: &dyn Store) -> StoreResult<()> {
        let mut row = self.row();
        (row.errors, row.error, row.refusals, row.secrets) = (0, None, 0, None);
        row.renew_at = None;
        store.save_credential(row.clone()).await?;
        let mut state = self.state();
        (state.retry_at, state.words) = (None, None);
        state.row = Some(row);
        Ok(())
    }

    /// Somebody needs a younger value than the one in hand: the next renewal is due at once.
    pub fn hasten(&self) {
        if let Some(row) = &mut self.state().row {
            row.renew_at = None;
        }
    }

    #[must_use]
    pub fn errors(&self) -> u32 {
        self.state().row.as_ref().map_or(0, |row| row.errors)
    }

    #[must_use]
    pub fn view(&self, now: Timestamp) -> CredentialView {
        let state = self.state();
        let row = state.row.as_ref();
        let errors = row.map_or(0, |row| row.errors);
        let usable = state.held(now, Duration::ZERO).is_some();
        let name = match row {
            Some(row) if row.refusals >= REFUSALS => "locked_out",
            _ if !usable => "missing",
            _ if errors > 0 => "failing",
            _ => "fresh",
        };
        CredentialView {
            account: self.account.clone(),
            name: self.name.clone(),
            state: name,
            generation: row.map_or(0, |row| row.generation),
            obtained_at: row.and_then(|row| row.sent_at),
            expires_at: row.and_then(|row| row.expires_at),
            renew_at: state.retry_at.or_else(|| row.and_then(|row| row.renew_at)),
            errors,
            last_error: row.and_then(|row| row.error.as_ref()).map(|error| LastError {
                code: error.code.clone(),
                message: state.words.clone(),
                at: error.at,
            }),
        }
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
