//! Secrets of an account that a job changed on the provider's side.
//!
//! The new secret is durable here before it is sent, and current only after the answer. From then
//! on it is used in place of the configured one, until that is changed too. Until it is known
//! whether a change was carried out, both secrets may be the right one: the current one is tried
//! first, and the other where that is refused.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use secrecy::{ExposeSecret as _, SecretString};

use super::{seal, vault::Vault};
use crate::{
    store::{Hash16, QueueId, SecretChangeRow, Store, StoreResult},
    types::{JobId, Timestamp},
};

pub type Secrets = BTreeMap<String, SecretString>;

/// Whose secrets.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    pub queue: QueueId,
    /// As configured.
    pub secrets: &'a Secrets,
}

#[derive(Debug, Clone)]
struct Change {
    row: SecretChangeRow,
    value: SecretString,
}

#[derive(Debug, Default)]
struct Known {
    certain: Option<Change>,
    pending: Option<Change>,
}

/// A secret that is not the configured one any more, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Changed {
    pub secret: String,
    pub job: JobId,
    pub at: Timestamp,
    /// It is not known whether the change was carried out.
    pub pending: bool,
}

impl Changed {
    /// What is to be done about it, by whoever looks after `account`.
    #[must_use]
    pub fn advice(&self, account: &str) -> String {
        let Self { secret, job, .. } = self;
        if self.pending {
            return format!(
                "job {job} may or may not have changed secrets.{secret}: both are tried"
            );
        }
        format!(
            "job {job} changed secrets.{secret} at the provider, and the new one is used from here \
             on; put it where accounts.{account}.secrets.{secret} is read from, too"
        )
    }
}

/// The changed secrets of all accounts.
#[derive(Debug, Default)]
pub struct Changes {
    known: Mutex<HashMap<QueueId, BTreeMap<String, Known>>>,
}

impl Changes {
    /// Opens what the store has. A change is over once the configured secret is another than when
    /// it was made.
    pub async fn load<'a>(
        store: &dyn Store,
        vault: &Vault,
        owners: impl Iterator<Item = Owner<'a>>,
    ) -> StoreResult<Self> {
        let owners: HashMap<QueueId, Owner<'a>> = owners.map(|one| (one.queue, one)).collect();
        let changes = Self::default();
        for row in store.secret_changes().await? {
            let Some(owner) = owners.get(&row.queue) else { continue };
            if configured(vault, owner, &row.name) != row.configured {
                store.forget_secret_change(row.queue, &row.name, row.pending).await?;
                continue;
            }
            let clear = vault.chain(&row.salt).open(&aad(row.queue, &row.name), &row.value);
            if let Some(value) = clear.ok().and_then(|v| String::from_utf8(v.to_vec()).ok()) {
                changes.put(Change { row, value: value.into() });
            }
        }
        Ok(changes)
    }

    /// Takes on other configured secrets: a change is over where they differ from those that it was
    /// made of, and accounts that were not known find theirs again.
    pub async fn configure<'a>(
        &self,
        store: &dyn Store,
        vault: &Vault,
        owners: &[Owner<'a>],
        known_before: impl Fn(QueueId) -> bool,
    ) -> StoreResult<()> {
        let stored = Self::load(store, vault, owners.iter().copied()).await?;
        let mut known = self.lock();
        for owner in owners {
            let Some(of_queue) = known.get_mut(&owner.queue) else { continue };
            for (name, one) in of_queue.iter_mut() {
                let stands =
                    |change: &Change| configured(vault, owner, name) == change.row.configured;
                one.certain = one.certain.take().filter(&stands);
                one.pending = one.pending.take().filter(&stands);
            }
        }
        let stored = std::mem::take(&mut *stored.lock());
        known.extend(stored.into_iter().filter(|(queue, _)| !known_before(*queue)));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueId, BTreeMap<String, Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, change: Change) {
        let mut all = self.lock();
        let of_queue = all.entry(change.row.queue).or_default();
        let known = of_queue.entry(change.row.name.clone()).or_default();
        if change.row.pending {
            known.pending = Some(change);
        } else {
            *known = Known { certain: Some(change), pending: None };
        }
    }

    /// The secrets to use: the changed ones in place of the configured ones.
    #[must_use]
    pub fn current<'a>(&self, owner: Owner<'a>) -> Cow<'a, Secrets> {
        let all = self.lock();
        let Some(of_queue) = all.get(&owner.queue) else { return Cow::Borrowed(owner.secrets) };
        let mut secrets = Cow::Borrowed(owner.secrets);
        for (name, known) in of_queue {
            if let Some(change) = &known.certain {
                secrets.to_mut().insert(name.clone(), change.value.clone());
            }
        }
        secrets
    }

    /// The secrets to try where the current ones are refused: those of these that may have been
    /// changed; `None` where there are none.
    #[must_use]
    pub fn tentative(&self, owner: Owner<'_>, names: &[&str]) -> Option<Secrets> {
        let mut secrets = self.current(owner).into_owned();
        let all = self.lock();
        let mut any = false;
        for (name, known) in all.get(&owner.queue)? {
            if let Some(change) = &known.pending
                && names.contains(&name.as_str())
            {
                secrets.insert(name.clone(), change.value.clone());
                any = true;
            }
        }
        any.then_some(secrets)
    }

    /// The job whose change of a secret may or may not have been carried out.
    #[must_use]
    pub fn pending_of(&self, queue: QueueId, name: &str) -> Option<JobId> {
        self.pending(queue, name).map(|change| change.row.job)
    }

    /// A job is about to change a secret: durable before it is sent.
    pub async fn intend(
        &self,
        store: &dyn Store,
        vault: &Vault,
        owner: Owner<'_>,
        intent: Intent<'_>,
    ) -> StoreResult<()> {
        let salt = seal::new_salt();
        let clear = intent.value.expose_secret().as_bytes();
        let row = SecretChangeRow {
            queue: owner.queue,
            name: intent.name.to_owned(),
            pending: true,
            configured: configured(vault, &owner, intent.name),
            salt,
            value: vault.chain(&salt).seal(&aad(owner.queue, intent.name), clear),
            job: intent.job,
            at: intent.now,
        };
        store.save_secret_change(row.clone()).await?;
        self.put(Change { row, value: intent.value.clone() });
        Ok(())
    }

    /// It was carried out: the pending secret is the current one. `false` where there is none.
    pub async fn confirm(
        &self,
        store: &dyn Store,
        queue: QueueId,
        name: &str,
    ) -> StoreResult<bool> {
        let Some(mut change) = self.pending(queue, name) else { return Ok(false) };
        change.row.pending = false;
        store.save_secret_change(change.row.clone()).await?;
        self.put(change);
        Ok(true)
    }

    /// It was surely not carried out.
    pub async fn withdraw(&self, store: &dyn Store, queue: QueueId, name: &str) -> StoreResult<()> {
        if self.pending(queue, name).is_none() {
            return Ok(());
        }
        store.forget_secret_change(queue, name, true).await?;
        if let Some(known) = self.lock().get_mut(&queue).and_then(|all| all.get_mut(name)) {
            known.pending = None;
        }
        Ok(())
    }

    /// Seals anew what is held here and may be written back, where it is sealed with a key whose
    /// values begin so. What the store has is resealed there.
    pub fn reseal(&self, vault: &Vault, begin: &[u8]) {
        for (queue, of_queue) in self.lock().iter_mut() {
            for (name, known) in of_queue {
                for change in known.certain.iter_mut().chain(&mut known.pending) {
                    if change.row.value.starts_with(begin) {
                        let clear = change.value.expose_secret().as_bytes();
                        let chain = vault.chain(&change.row.salt);
                        change.row.value = chain.seal(&aad(*queue, name), clear);
                    }
                }
            }
        }
    }

    fn pending(&self, queue: QueueId, name: &str) -> Option<Change> {
        self.lock().get(&queue)?.get(name)?.pending.clone()
    }

    /// What is not as it is configured.
    #[must_use]
    pub fn of(&self, queue: QueueId) -> Vec<Changed> {
        self.each(queue, |Change { row, .. }| Changed {
            secret: row.name.clone(),
            job: row.job,
            at: row.at,
            pending: row.pending,
        })
    }

    /// All values of an account that are not configured, so that they can be kept out of words.
    #[must_use]
    pub fn values(&self, queue: QueueId) -> Vec<SecretString> {
        self.each(queue, |change| change.value.clone())
    }

    fn each<T>(&self, queue: QueueId, of: impl FnMut(&Change) -> T) -> Vec<T> {
        let all = self.lock();
        let known = all.get(&queue).into_iter().flat_map(BTreeMap::values);
        known.flat_map(|known| known.certain.iter().chain(&known.pending)).map(of).collect()
    }
}

/// A secret that is about to be changed.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    pub name: &'a str,
    pub value: &'a SecretString,
    pub job: JobId,
    pub now: Timestamp,
}

/// Tells one configured secret from another.
fn configured(vault: &Vault, owner: &Owner<'_>, name: &str) -> Hash16 {
    let value = owner.secrets.get(name).map_or("", |value| value.expose_secret());
    vault.hash("configured secret", &[name.as_bytes(), value.as_bytes()])
}

/// The name of the place, under which a changed secret is sealed.
pub(crate) fn aad(queue: QueueId, name: &str) -> Vec<u8> {
    let mut aad = b"secret\0".to_vec();
    aad.extend_from_slice(&queue.to_be_bytes());
    aad.extend_from_slice(name.as_bytes());
    aad
}
