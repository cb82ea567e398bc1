//! The lockout guard: what is held against each login, durable before the next try.
//!
//! A login is a host with the secrets that are sent to it, known by a keyed hash. Accounts with
//! one login share its tries, and a changed secret is another login, with none against it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    policy::lockout::{Strike, Tries},
    store::{Hash16, LoginRow, Store, StoreResult},
    types::Timestamp,
};

/// All logins that something is held against.
#[derive(Debug, Default)]
pub struct Guard {
    logins: Mutex<HashMap<Hash16, Tries>>,
    /// Those that are being tried now.
    busy: Mutex<HashSet<Hash16>>,
}

/// The right to try a login; nobody else does meanwhile.
#[derive(Debug)]
pub struct Turn<'a> {
    guard: &'a Guard,
    login: Hash16,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard.busy().remove(&self.login);
    }
}

impl Guard {
    pub async fn load(store: &dyn Store) -> StoreResult<Self> {
        let tries = |row: &LoginRow| Tries {
            refusals: row.refusals,
            doubts: row.doubts,
            distrust: row.distrust,
        };
        let rows = store.logins().await?;
        let logins = rows.iter().map(|row| (row.login, tries(row))).collect();
        Ok(Self { logins: Mutex::new(logins), busy: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hash16, Tries>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> MutexGuard<'_, HashSet<Hash16>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the right to try a login: many accounts with one wrong password must not try it all
    /// at once. `None` while somebody else does.
    #[must_use]
    pub fn enter(&self, login: Hash16) -> Option<Turn<'_>> {
        let free = self.busy().insert(login);
        free.then(|| Turn { guard: self, login })
    }

    #[must_use]
    pub fn tries(&self, login: &Hash16) -> Tries {
        self.lock().get(login).copied().unwrap_or_default()
    }

    /// Whether the login is to be left alone.
    #[must_use]
    pub fn is_locked(&self, login: &Hash16) -> bool {
        self.tries(login).exhausted()
    }

    /// Counts one more thing against a login.
    pub async fn strike(
        &self,
        store: &dyn Store,
        login: Hash16,
        strike: Strike,
        now: Timestamp,
    ) -> StoreResult<Tries> {
        let tries = {
            let mut logins = self.lock();
            let tries = logins.entry(login).or_default();
            *tries = tries.struck(strike);
            *tries
        };
        save(store, login, tries, now).await?;
        Ok(tries)
    }

    /// The login worked.
    pub async fn logged_in(
        &self,
        store: &dyn Store,
        login: Hash16,
        now: Timestamp,
    ) -> StoreResult<()> {
        self.change(store, login, Tries::logged_in, now).await
    }

    /// A request with what the login brought was answered as it should be.
    pub async fn trusted(
        &self,
        store: &dyn Store,
        login: Hash16,
        now: Timestamp,
    ) -> StoreResult<()> {
        self.change(store, login, |_| Tries::default(), now).await
    }

    /// A person's word: nothing is held against it any more.
    pub async fn forgive(&self, store: &dyn Store, login: Hash16) -> StoreResult<()> {
        self.lock().remove(&login);
        store.forget_login(login).await
    }

    /// Writes only where that changes something, which is rare.
    async fn change(
        &self,
        store: &dyn Store,
        login: Hash16,
        how: impl Fn(Tries) -> Tries,
        now: Timestamp,
    ) -> StoreResult<()> {
        let tries = {
            let mut logins = self.lock();
            let Some(tries) = logins.get_mut(&login) else { return Ok(()) };
            let changed = how(*tries);
            if changed == *tries {
                return Ok(());
            }
            *tries = changed;
            if changed == Tries::default() {
                logins.remove(&login);
            }
            changed
        };
        if tries == Tries::default() {
            return store.forget_login(login).await;
        }
        save(store, login, tries, now).await
    }
}

async fn save(store: &dyn Store, login: Hash16, tries: Tries, at: Timestamp) -> StoreResult<()> {
    let Tries { refusals, doubts, distrust } = tries;
    store.save_login(LoginRow { login, refusals, doubts, distrust, at }).await
}
