//! A new configuration for the running engine.
//!
//! Everything is read and checked before anything is changed, so that a bad configuration leaves
//! the old one in force. [`Engine::take_on`] is the one place where one takes the place of another.
//! Attempts that run end with the configuration that they began with. Jobs of accounts and kinds
//! that are gone wait, and say so.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use serde::Serialize;

use super::{
    Engine,
    catalog::{Account, Catalog},
    credential_names,
    plan::{self, Plan, Visibility},
    sinks::Sinks,
};
use crate::{
    config::{Config, Env, Inputs, NeedsRestart, Override},
    definition::{Provider, Registry},
    diagnostic::{Diagnostic, Diagnostics},
    store::{StoreError, StoreResult},
    telemetry::{
        events::{Event, Name, emit},
        notify,
    },
    types::opaque,
};

/// Where the configuration is read from, and what came of it.
pub struct Source {
    file: Option<PathBuf>,
    env: Env,
    overrides: Vec<Override>,
    /// What the process was started with: some of it cannot be changed any more.
    started: Arc<Config>,
    current: RwLock<Arc<Config>>,
    /// Held while it is read anew: one reload after the other.
    turn: tokio::sync::Mutex<()>,
}

// The environment may hold secrets.
opaque!(Source);

impl Source {
    #[must_use]
    pub fn new(
        file: Option<PathBuf>,
        env: Env,
        overrides: Vec<Override>,
        started: Arc<Config>,
    ) -> Self {
        let current = RwLock::new(Arc::clone(&started));
        Self { file, env, overrides, started, current, turn: tokio::sync::Mutex::default() }
    }

    /// The configuration in force.
    #[must_use]
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything that can be known without the database.
    fn read(&self) -> Result<(Config, Plan), Diagnostics> {
        let inputs =
            Inputs { file: self.file.as_deref(), env: &self.env, overrides: &self.overrides };
        let config = Config::load(&inputs)?;
        if let (Some(file), None) = (&self.started.file, &config.file) {
            let words = "is not there any more: put it back, or restart to run without it";
            return Err(Diagnostics(vec![Diagnostic::new(file, "", words)]));
        }
        let registry = Registry::load(config.jobs_dir.as_deref())?;
        let plan = plan::plan(&config, registry, &self.env, Visibility::Service)?;
        Ok((config, plan))
    }
}

/// Why the old configuration stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("{0}")]
    Bad(#[from] Diagnostics),
    #[error("{0}")]
    Store(#[from] StoreError),
    /// As in tests.
    #[error("this daemon was not made from a configuration that could be read again")]
    NoSource,
    #[error("the daemon is stopping")]
    Draining,
    /// It is in force, but the database did not take all that follows from it.
    #[error("it is in force, but what follows from it could not all be stored: reload again ({0})")]
    Unfinished(StoreError),
}

/// What a reload changed.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    pub accounts: usize,
    pub added: BTreeSet<String>,
    pub removed: BTreeSet<String>,
    pub changed: BTreeSet<String>,
    /// Providers whose definition is another than before.
    pub definitions: BTreeSet<String>,
    /// What was changed in the configuration but takes a restart.
    pub needs_restart: Vec<NeedsRestart>,
    pub warnings: Vec<String>,
}

impl Reloaded {
    fn between(before: &Catalog, after: &Catalog) -> Self {
        let mut told = Self { accounts: after.accounts.len(), ..Self::default() };
        for (name, account) in &after.accounts {
            match before.account(name) {
                None => drop(told.added.insert(name.clone())),
                Some(old) if !is_same(old, account) => drop(told.changed.insert(name.clone())),
                Some(_) => {}
            }
        }
        let gone = before.accounts.keys().filter(|name| after.account(name).is_none());
        told.removed = gone.cloned().collect();
        told.definitions = changed_definitions(before, after);
        told
    }

    /// One line, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let lists = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("changed", &self.changed),
            ("other definitions", &self.definitions),
        ];
        let mut parts: Vec<String> = lists
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                format!("{what}: {}", names.join(", "))
            })
            .collect();
        if parts.is_empty() {
            parts.push("accounts and definitions are as before".to_owned());
        }
        parts.extend(self.needs_restart.iter().map(ToString::to_string));
        parts.join("; ")
    }
}

fn is_same(old: &Account, new: &Account) -> bool {
    old.provider.name == new.provider.name
        && old.base_url == new.base_url
        && old.budget == new.budget
        && old.limits == new.limits
        && old.is_default == new.is_default
        && old.params == new.params
        && old.fingerprint == new.fingerprint
        && old.expiries == new.expiries
        && old.overlap == new.overlap
        && old.sinks == new.sinks
}

fn changed_definitions(before: &Catalog, after: &Catalog) -> BTreeSet<String> {
    let text = |provider: &Provider| provider.source_toml.clone();
    let other = |provider: &&Arc<Provider>| {
        before.registry.provider(&provider.name).map(|old| text(old)) != Some(text(provider))
    };
    let gone =
        before.registry.providers().filter(|one| after.registry.provider(&one.name).is_none());
    after.registry.providers().filter(other).chain(gone).map(|one| one.name.clone()).collect()
}

impl Engine {
    /// Says where configurations come from. Only the first word counts.
    pub fn reloads_from(&self, source: Source) {
        let _ = self.source.set(source);
    }

    /// The configuration in force; `None` where the engine was not made from one, as in tests.
    #[must_use]
    pub fn config(&self) -> Option<Arc<Config>> {
        self.source.get().map(Source::current)
    }

    /// Reads configuration, definitions and secrets anew and takes them on, or keeps the old ones.
    /// It goes on to its end if whoever asked goes away.
    pub async fn reload(self: &Arc<Self>, who: &str) -> Result<Reloaded, ReloadError> {
        let (engine, who) = (Arc::clone(self), who.to_owned());
        let done = tokio::spawn(async move { engine.reload_to_its_end(&who).await });
        done.await.unwrap_or(Err(ReloadError::Draining))
    }

    async fn reload_to_its_end(&self, who: &str) -> Result<Reloaded, ReloadError> {
        let source = self.source.get().ok_or(ReloadError::NoSource)?;
        let _turn = source.turn.lock().await;
        if self.is_draining() {
            return Err(ReloadError::Draining);
        }
        notify::reloading();
        let done = self.reload_in_turn(source).await;
        notify::ready();
        match &done {
            Ok(reloaded) => tell(Name::DaemonReloaded, who, &reloaded.words()),
            Err(error) => {
                let words = error.to_string().replace('\n', "; ");
                let detail = match error {
                    ReloadError::Unfinished(_) => words,
                    _ => format!("the configuration before stays in force: {words}"),
                };
                tell(Name::DaemonReloadRefused, who, &detail);
            }
        }
        done
    }

    async fn reload_in_turn(&self, source: &Source) -> Result<Reloaded, ReloadError> {
        let (config, plan) = source.read()?;
        let before = self.catalog();
        let catalog = Catalog::register(plan, &*self.store, &self.vault).await?;
        let mut reloaded = Reloaded::between(&before, &catalog);
        reloaded.needs_restart = source.started.needs_restart(&config);
        reloaded.warnings = catalog.warnings.iter().map(ToString::to_string).collect();
        let mut in_force = false;
        let taken = self.take_on_with(catalog, || {
            *source.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
            in_force = true;
        });
        match taken.await {
            Ok(()) => Ok(reloaded),
            Err(error) if in_force => Err(ReloadError::Unfinished(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts accounts and definitions in the place of those in force. Doing it twice does nothing
    /// more; where the store fails in the middle, doing it again mends it.
    pub async fn take_on(&self, catalog: Catalog) -> StoreResult<()> {
        self.take_on_with(catalog, || {}).await
    }

    /// The same; `swapped` is called when they are in force, before what follows from it is stored.
    async fn take_on_with(&self, catalog: Catalog, swapped: impl FnOnce()) -> StoreResult<()> {
        let (before, sure) = (self.catalog(), self.time.sure(self.clock.now()));
        let sinks = Sinks::stored(&*self.store).await?;
        let names = credential_names(&catalog);
        // Before anything of a new account may run.
        self.budgets.configure(&*self.store, &catalog, sure).await?;
        self.cadence.configure(&before, &catalog);
        self.credentials.configure(&*self.store, &self.vault, names.into_iter()).await?;
        let owners: Vec<_> = catalog.accounts.values().map(|account| account.owner()).collect();
        let known = |queue| before.by_queue(queue).is_some();
        self.changes.configure(&*self.store, &self.vault, &owners, known).await?;
        let catalog = Arc::new(catalog);
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&catalog);
        swapped();
        self.sinks.configure(&catalog, sinks);
        self.schedules.changed();
        self.settle_in().await?;
        self.wake_returned_kinds(&before).await?;
        // Whatever waited for an account, a limit or a definition is looked at again.
        for queue in self.store.ready_queues().await? {
            self.wake.ready(queue);
        }
        Ok(())
    }

    /// What follows from the accounts and definitions that are in force, at the start and after
    /// each reload.
    pub(super) async fn settle_in(&self) -> StoreResult<()> {
        self.ensure_renewals().await?;
        self.forgive_changed_secrets().await?;
        self.disown_strangers().await?;
        self.resume_withdrawals().await?;
        self.open_mended_kinds().await
    }

    /// Jobs that were sent away for want of a definition of their kind.
    async fn wake_returned_kinds(&self, before: &Catalog) -> StoreResult<()> {
        for account in self.catalog().accounts.values() {
            self.wake_kinds(account, |name| before.kind_id(name).is_none()).await?;
        }
        Ok(())
    }

    async fn wake_kinds(&self, account: &Account, which: impl Fn(&str) -> bool) -> StoreResult<()> {
        let (catalog, now) = (self.catalog(), self.clock.wall());
        let credentials = account.provider.credentials.keys();
        let renewals = credentials.map(|name| format!("{}.{name}", account.provider.name));
        let kinds = account.provider.kinds.values().map(|kind| kind.name.clone());
        for name in kinds.chain(renewals).filter(|name| which(name)) {
            if let Some(kind) = catalog.kind_id(&name) {
                self.store.wake_kind(account.queue, kind, now).await?;
            }
        }
        self.wake.ready(account.queue);
        Ok(())
    }

    /// A provider that seemed to have changed is tried again with another definition.
    async fn open_mended_kinds(&self) -> StoreResult<()> {
        let catalog = self.catalog();
        for provider in catalog.registry.providers() {
            let meta = format!("definition.{}", provider.name);
            let hash = self.vault.hash("definition", &[provider.source_toml.as_bytes()]);
            let seen = self.store.meta(&meta).await?;
            if seen.as_deref() == Some(&hash[..]) {
                continue;
            }
            for account in catalog.accounts.values() {
                if seen.is_some() && account.provider.name == provider.name {
                    self.open_kinds(account.queue).await?;
                    self.wake_kinds(account, |_| true).await?;
                }
            }
            self.store.set_meta(&meta, hash.to_vec()).await?;
        }
        Ok(())
    }
}

fn tell(name: Name, who: &str, detail: &str) {
    emit(name, &Event { actor: Some(who), detail: Some(detail), ..Event::default() });
}
