//! Whose secrets are used, and what is held against them.

use secrecy::ExposeSecret as _;

use super::{Engine, catalog::Account, shapes::exchange::Trouble};
use crate::{
    credentials::{
        cell::{Cell, Held},
        changes::{Intent, Secrets},
        seal::canonical_json,
    },
    definition::{CredentialShape, EvalError, Kind, Need, Source, Vars, Way},
    policy::{codes::Code, lockout::Strike},
    store::{Hash16, StoreError, StoreResult},
    telemetry::events::{Event, Name, emit},
    types::{JobId, JobState, Timestamp},
};

/// A secret that a job is about to change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'k> {
    pub secret: &'k str,
    /// This job cannot have sent it before.
    pub first: bool,
}

/// Why the change of a secret was not begun.
#[derive(Debug)]
pub(super) enum Unintended {
    Definition(String),
    /// Another job is changing it.
    After(JobId),
    Store(StoreError),
}

impl From<EvalError> for Unintended {
    fn from(error: EvalError) -> Self {
        Self::Definition(error.to_string())
    }
}

impl From<StoreError> for Unintended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Engine {
    /// Variables that every template of an account may use, but for credentials.
    #[must_use]
    pub fn vars(&self, account: &Account) -> Vars {
        let secrets = self.changes.current(account.owner());
        account.vars().secrets(secrets.iter().map(|(name, value)| (name.as_str(), value)))
    }

    /// The login that a way goes with: where, and with which secrets. It is the same for all
    /// accounts that are configured alike.
    #[must_use]
    pub fn login_of(&self, account: &Account, way: &Way, secrets: Option<&Secrets>) -> Hash16 {
        let current = self.changes.current(account.owner());
        let secrets = secrets.unwrap_or(&current);
        let mut parts: Vec<&[u8]> = vec![account.base_url.as_str().as_bytes()];
        for name in way.secrets() {
            parts.push(name.as_bytes());
            parts.push(secrets.get(name).map_or(&[], |value| value.expose_secret().as_bytes()));
        }
        self.vault.hash("login", &parts)
    }

    /// Where values of an account are valid: its host and its parameters.
    #[must_use]
    pub fn place_of(&self, account: &Account) -> Hash16 {
        let params = canonical_json(&account.params.clone().into());
        self.vault.hash("place", &[account.base_url.as_str().as_bytes(), &params])
    }

    /// Whether a given value of this login is still configured.
    #[must_use]
    pub fn is_given(&self, account: &Account, credential: &str, login: Option<Hash16>) -> bool {
        let Some(spec) = account.provider.credentials.get(credential) else { return false };
        let CredentialShape::Exchange(exchange) = &spec.shape else { return false };
        let given = exchange.ways.iter().filter(|way| matches!(way.source, Source::Given(_)));
        let there = |way: &&Way| way.secrets().all(|name| account.secrets.contains_key(name));
        given.filter(there).any(|way| Some(self.login_of(account, way, None)) == login)
    }

    /// A request with this value was answered as it should be.
    pub(super) async fn trust(
        &self,
        account: &Account,
        name: &str,
        held: &Held,
    ) -> StoreResult<()> {
        let login = self.blamed(account, name, held);
        self.guard.trusted(&*self.store, login, self.clock.wall()).await
    }

    /// Against whom a refused value counts. A given value is a secret itself: it was the secret
    /// that was refused. Any other was obtained by a login that worked, so it counts against the
    /// credential.
    fn blamed(&self, account: &Account, name: &str, held: &Held) -> Hash16 {
        match held.origin.login {
            Some(login) if held.origin.given => login,
            _ => self.itself(account, name),
        }
    }

    /// A credential with the account's secrets as they are, in the place of a login.
    pub(super) fn itself(&self, account: &Account, name: &str) -> Hash16 {
        let parts = [&account.fingerprint[..], account.name.as_bytes(), name.as_bytes()];
        self.vault.hash("credential", &parts)
    }

    /// A fresh value was refused too: how often that happened in a row, and whether nothing more
    /// is tried.
    pub(super) async fn distrust(
        &self,
        account: &Account,
        name: &str,
        held: &Held,
    ) -> StoreResult<(u32, bool)> {
        let login = self.blamed(account, name, held);
        let strike = if held.origin.given { Strike::Refused } else { Strike::Distrusted };
        let tries = self.guard.strike(&*self.store, login, strike, self.clock.wall()).await?;
        Ok((tries.refusals + tries.distrust, self.all_locked(account, name)))
    }

    /// Whether no way is left to come by a credential.
    pub(super) fn all_locked(&self, account: &Account, name: &str) -> bool {
        let logins = self.logins(account, name);
        self.guard.is_locked(&self.itself(account, name))
            || (!logins.is_empty() && logins.iter().all(|login| self.guard.is_locked(login)))
    }

    /// A person's word: the logins of a credential may be tried again, and so may everything that
    /// waits for them.
    pub(super) async fn forgive_logins(&self, cell: &Cell) -> StoreResult<()> {
        let catalog = self.catalog();
        let Some(account) = catalog.account(&cell.account) else { return Ok(()) };
        for login in self.logins(account, &cell.name) {
            self.guard.forgive(&*self.store, login).await?;
        }
        self.guard.forgive(&*self.store, self.itself(account, &cell.name)).await?;
        for other in self.credentials.all().iter().filter(|other| other.is_locked_out()) {
            let Some(owner) = catalog.account(&other.account) else { continue };
            if !self.all_locked(owner, &other.name) {
                other.forgive(&*self.store).await?;
                self.wake_renewal(other.queue, &other.name).await?;
            }
        }
        Ok(())
    }

    /// The logins that may bring a credential.
    fn logins(&self, account: &Account, credential: &str) -> Vec<Hash16> {
        let Some(spec) = account.provider.credentials.get(credential) else { return vec![] };
        let CredentialShape::Exchange(exchange) = &spec.shape else { return vec![] };
        let there = |need: &Need| match need {
            Need::Secret(name) => account.secrets.contains_key(name),
            _ => false,
        };
        let by_secrets = exchange.ways.iter().filter(|way| way.needs.iter().all(there));
        by_secrets.map(|way| self.login_of(account, way, None)).collect()
    }

    /// Makes the renewals due that need a credential which has just come.
    pub(super) async fn wake_dependents(&self, account: &Account, name: &str) -> StoreResult<()> {
        let now = self.clock.wall();
        for (dependent, spec) in &account.provider.credentials {
            let Some(cell) = self.credentials.cell(account.queue, dependent) else { continue };
            let missing = cell.held(now, std::time::Duration::ZERO).is_none();
            // One that failed by itself has a time of its own.
            let waits = cell.failing(now).is_none_or(|trouble| trouble.code == Code::Held);
            if missing && waits && !cell.is_locked_out() && spec.needs_credential(name) {
                self.wake_renewal(account.queue, dependent).await?;
            }
        }
        Ok(())
    }

    /// A job is about to change one of its account's secrets: the new one is durable before it is
    /// sent. The secret's name, if it is so.
    pub(super) async fn intend_secret<'k>(
        &self,
        account: &Account,
        kind: &'k Kind,
        vars: &Vars,
        (job, now): (JobId, Timestamp),
    ) -> Result<Option<Setting<'k>>, Unintended> {
        let Some(sets) = &kind.sets else { return Ok(None) };
        if !sets.when.as_ref().map_or(Ok(true), |when| when.test(vars))? {
            return Ok(None);
        }
        let value = sets.to.eval_defined(vars)?;
        let Some(text) = value.as_str().filter(|text| !text.is_empty()) else {
            return Err(Unintended::Definition(format!("`{}` is no text", sets.to.text())));
        };
        let pending = self.changes.pending_of(account.queue, &sets.secret);
        if let Some(other) = pending.filter(|other| *other != job)
            && self
                .store
                .job(other)
                .await?
                .is_some_and(|row| matches!(row.state, JobState::Queued | JobState::Running))
        {
            // Which of two new secrets is the last one could not be told.
            return Err(Unintended::After(other));
        }
        let value = text.to_owned().into();
        let intent = Intent { name: &sets.secret, value: &value, job, now };
        self.changes.intend(&*self.store, &self.vault, account.owner(), intent).await?;
        Ok(Some(Setting { secret: &sets.secret, first: pending != Some(job) }))
    }

    /// A changed secret is the current one from now on.
    pub(super) async fn confirm_secret(&self, account: &Account, name: &str) -> StoreResult<()> {
        if self.changes.confirm(&*self.store, account.queue, name).await? {
            self.tell_changed_secret(account, name);
        }
        Ok(())
    }

    fn tell_changed_secret(&self, account: &Account, name: &str) {
        let changed = self.changes.of(account.queue);
        let Some(one) = changed.iter().find(|one| one.secret == name) else { return };
        let detail = format!("{}: {}", account.name, one.advice(&account.name));
        let event = Event {
            account: Some(&account.name),
            job_id: Some(one.job),
            detail: Some(&detail),
            ..Event::default()
        };
        emit(Name::SecretChanged, &event);
    }

    /// Tells at the start what has been waiting for a person.
    pub(super) fn tell_what_waits_for_people(&self) {
        for account in self.catalog().accounts.values() {
            for one in self.changes.of(account.queue) {
                self.tell_changed_secret(account, &one.secret);
            }
        }
        let now = self.clock.wall();
        for cell in self.credentials.all().iter().filter(|cell| cell.is_locked_out()) {
            let words = cell.view(now).last_error.and_then(|error| error.message);
            let trouble = Trouble::new(Code::Lockout, words.unwrap_or_default());
            self.tell_not_obtained(cell, &trouble, (now, now));
        }
    }

    /// The code of a refusal: the last try of a login, or one of several.
    pub(super) const fn refusal_code(exhausted: bool) -> Code {
        if exhausted { Code::Lockout } else { Code::Unauthorized }
    }
}
