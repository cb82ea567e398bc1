//! The engine: takes due jobs within each account's allowance, runs one attempt of each, and
//! stores what it came to.
//!
//! [`dispatcher`] claims, [`backend`] hands the claimed jobs to an apalis worker, [`attempt`] runs
//! one of them through its shape ([`shapes`]) and settles it, [`reaper`] looks after leases.
//! [`sinks`] hands fresh credentials to other programs.
//! [`actions`] is what the API may ask of all this. [`catalog`] is what to do, as configured.

pub mod actions;
mod answer;
pub mod attempt;
pub mod backend;
mod backup;
pub mod budgets;
pub mod cadence;
pub mod catalog;
mod children;
#[cfg(test)]
mod debug_tests;
pub mod dispatcher;
pub mod enqueue;
pub mod erase;
pub mod expiring;
pub mod gates;
mod holding;
pub mod holds;
mod lifeline;
mod logins;
pub mod outages;
pub mod plan;
pub mod reaper;
mod redact;
pub mod rekey;
pub mod reload;
mod resolve;
pub mod retention;
pub mod running;
pub mod scheduler;
pub mod schedules;
pub mod sender;
mod settling;
pub mod shapes;
pub mod sinks;
pub mod steps;
mod submit;
mod supply;
mod telling;
pub mod time;
pub mod turns;
pub mod waiters;
pub mod wake;
mod withdraw;

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use self::withdraw::Told;
use self::{
    budgets::Budgets, cadence::Cadence, catalog::Catalog, gates::Gates, lifeline::Lifeline,
    outages::Outages, reload::Source, running::Running, scheduler::Scheduler, sinks::Sinks,
    time::Time, turns::Turns, waiters::Waiters, wake::Wake,
};
use crate::{
    chance::Chance,
    clock::{self, Clock, Now},
    credentials::{
        all::Credentials,
        changes::Changes,
        guard::Guard,
        seal,
        vault::{self, Part, Payload, Vault},
    },
    outbound::Outbound,
    policy::backoff::Backoff,
    store::{
        ActorId, NewJob, QueueDepth, QueueId, Store, StoreError, StoreResult, health::Trouble,
    },
    telemetry::metrics::Metrics,
};

/// `created_by` of the daemon's own jobs.
pub const DAEMON: &str = r#"{"user":"attendant"}"#;

/// How the engine runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Attempts at once, in all accounts together.
    pub concurrency: usize,
    pub lease: Duration,
    pub shutdown_timeout: Duration,
    pub backoff: Backoff,
    pub chance: Chance,
}

/// The last count of what waits.
#[derive(Debug, Clone, Default)]
struct Counted {
    at: Option<Now>,
    took_ms: i64,
    depths: Arc<Vec<QueueDepth>>,
}

impl Counted {
    /// Whether it is worth no new one yet.
    fn holds(&self, now: Now) -> bool {
        let Some(at) = self.at else { return false };
        let age = now.boot_ms.saturating_sub(at.boot_ms);
        now.wall >= at.wall
            && (0..self.took_ms.saturating_mul(50).clamp(1_000, 20_000)).contains(&age)
    }
}

/// Everything that attempts, the API and the daemon's own tasks share.
#[derive(Debug)]
pub struct Engine {
    pub store: Arc<dyn Store>,
    pub vault: Arc<Vault>,
    pub clock: Clock,
    pub settings: Settings,
    pub budgets: Budgets,
    pub cadence: Cadence,
    pub gates: Gates,
    pub outages: Outages,
    pub metrics: Metrics,
    pub credentials: Credentials,
    pub sinks: Sinks,
    /// What is held against the accounts' logins.
    pub guard: Guard,
    /// Secrets that jobs changed.
    pub changes: Changes,
    pub outbound: Outbound,
    pub(in crate::engine) time: Time,
    pub running: Running,
    /// Renewals that the store knows nothing of.
    pub(in crate::engine) lifeline: Lifeline,
    pub wake: Wake,
    pub waiters: Waiters,
    pub schedules: Scheduler,
    /// The daemon as `created_by`.
    pub actor: ActorId,
    catalog: RwLock<Arc<Catalog>>,
    /// What the catalogue was made from, where it can be read again.
    source: OnceLock<Source>,
    /// That the parts of the daemon turn, for the watchdog.
    pub turns: Turns,
    depths: Mutex<Counted>,
    /// Held while ended jobs are revived (shared) or erased (alone): an erased one never is.
    reviving: tokio::sync::RwLock<()>,
    /// Held while a backup is made: one at a time.
    backing_up: tokio::sync::Mutex<()>,
    rekeying: AtomicBool,
    draining: AtomicBool,
}

impl Engine {
    /// Restores credentials, budgets, gates and what was learned, and makes sure that each credential has its job.
    pub async fn new(
        store: Arc<dyn Store>,
        vault: Arc<Vault>,
        clock: Clock,
        settings: Settings,
        catalog: Catalog,
        outbound: Outbound,
    ) -> StoreResult<Arc<Self>> {
        vault.mark(&*store).await?;
        let (boot, now) = (clock.boot_id(), clock.wall());
        let time = Time::load(&*store, boot.clone(), clock.now()).await?;
        let sure = time.sure(clock.now());
        erase::finish(&*store, &vault, now).await?;
        let names = credential_names(&catalog);
        let engine = Self {
            budgets: Budgets::load(&*store, &catalog, clock.clone(), (boot, sure)).await?,
            cadence: Cadence::load(&*store).await?,
            time,
            gates: Gates::load(&*store, now, sure).await?,
            outages: Outages::default(),
            metrics: Metrics::default(),
            credentials: Credentials::load(&*store, &vault, names.into_iter()).await?,
            sinks: Sinks::load(&*store, &catalog).await?,
            guard: Guard::load(&*store).await?,
            changes: Changes::load(
                &*store,
                &vault,
                catalog.accounts.values().map(|account| account.owner()),
            )
            .await?,
            actor: store.actor_id(DAEMON).await?,
            running: Running::default(),
            lifeline: Lifeline::default(),
            wake: Wake::default(),
            waiters: Waiters::default(),
            schedules: Scheduler::default(),
            catalog: RwLock::new(Arc::new(catalog)),
            source: OnceLock::new(),
            turns: Turns::default(),
            depths: Mutex::default(),
            reviving: tokio::sync::RwLock::default(),
            backing_up: tokio::sync::Mutex::default(),
            rekeying: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            store,
            vault,
            clock,
            settings,
            outbound,
        };
        engine.settle_in().await?;
        engine.mind_clock().await?;
        engine.renew_after_set_back().await?;
        engine.tell_what_waits_for_people();
        Ok(Arc::new(engine))
    }

    /// Secrets that failed and have been changed since are tried at once.
    async fn forgive_changed_secrets(&self) -> StoreResult<()> {
        let catalog = self.catalog();
        for cell in self.credentials.all() {
            let Some(account) = catalog.account(&cell.account) else { continue };
            if cell.failed_with_others(&account.fingerprint) {
                cell.forgive(&*self.store).await?;
                self.wake_renewal(cell.queue, &cell.name).await?;
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A draw for jitter, from 0 to below 1.
    pub(in crate::engine) fn chance(&self) -> f64 {
        self.settings.chance.unit()
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// From now on nothing new is begun.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.wake.notify();
    }

    /// What the store last failed with; `None` while it works.
    #[must_use]
    pub fn store_trouble(&self) -> Option<Trouble> {
        self.store.health().trouble()
    }

    /// Remembers how the store does; the first failure and the recovery are told.
    pub fn store_works(&self, trouble: Option<String>) {
        match trouble {
            Some(words) => self.store.health().set(Trouble::Odd(words)),
            None => self.store.health().works(),
        }
    }

    /// Whether the store can be relied on. Where it failed it is asked again: nothing is begun that
    /// could not be ended.
    pub(in crate::engine) async fn store_holds(&self) -> bool {
        match self.store_trouble() {
            None | Some(Trouble::Odd(_)) => true,
            Some(Trouble::Damaged(_)) => false,
            Some(_) => self.store.probe().await.is_ok() && self.save_held().await.is_ok(),
        }
    }

    /// What is to be stored must not be lost: waits until it is worth another try. Only a closed
    /// store ends that.
    pub(in crate::engine) async fn wait_for_store(&self, error: StoreError) -> StoreResult<()> {
        if matches!(error, StoreError::Closed) {
            return Err(error);
        }
        self.store_works(Some(error.to_string()));
        self.clock.sleep(Duration::from_millis(250)).await;
        Ok(())
    }

    /// Values that were obtained at another host, or for other parameters, or that were given and
    /// are not given any more, are not used.
    async fn disown_strangers(&self) -> StoreResult<()> {
        let catalog = self.catalog();
        for cell in self.credentials.all() {
            let Some(account) = catalog.account(&cell.account) else { continue };
            let Some(origin) = cell.origin() else { continue };
            let elsewhere = origin.place.is_some_and(|place| place != self.place_of(account));
            let changed = origin.given && !self.is_given(account, &cell.name, origin.login);
            if elsewhere || changed {
                cell.disown(&*self.store, &self.vault).await?;
                self.wake_renewal(cell.queue, &cell.name).await?;
            }
        }
        Ok(())
    }

    /// How many jobs wait in each queue. With a million waiting jobs that reads as many index
    /// entries: it is counted anew at most once a second, and for at most a fiftieth of the time.
    pub async fn depths(&self) -> StoreResult<Arc<Vec<QueueDepth>>> {
        let now = self.clock.now();
        let last = self.depths.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if last.holds(now) {
            return Ok(last.depths);
        }
        let depths = Arc::new(self.store.depths().await?);
        let took_ms = self.clock.now().boot_ms.saturating_sub(now.boot_ms);
        let counted = Counted { at: Some(now), took_ms, depths: Arc::clone(&depths) };
        *self.depths.lock().unwrap_or_else(PoisonError::into_inner) = counted;
        Ok(depths)
    }

    /// How many jobs wait, by the last count.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        let depths = self.depths.lock().unwrap_or_else(PoisonError::into_inner);
        depths.depths.iter().map(|one| one.due + one.later).sum()
    }

    /// How many follows of a queue there are, by the last count; at least one.
    fn follows_in(&self, queue: QueueId) -> u32 {
        let depths = self.depths.lock().unwrap_or_else(PoisonError::into_inner);
        let one = depths.depths.iter().find(|one| one.queue == queue);
        let follows = one.map_or(0, |one| one.follows);
        u32::try_from(follows).unwrap_or(u32::MAX).max(1)
    }

    /// How many jobs of a queue are due, by the last count.
    fn due_in(&self, queue: QueueId) -> i64 {
        let depths = self.depths.lock().unwrap_or_else(PoisonError::into_inner);
        depths.depths.iter().find(|one| one.queue == queue).map_or(0, |one| one.due)
    }

    /// One renewal job per credential, known by an internal key. One that exists is left alone.
    async fn ensure_renewals(&self) -> StoreResult<()> {
        let catalog = self.catalog();
        let now = self.clock.wall();
        let mut jobs = vec![];
        for (queue, account, name) in credential_names(&catalog) {
            let Some(owner) = catalog.account(&account) else { continue };
            let kind_name = format!("{}.{name}", owner.provider.name);
            let Some(kind) = catalog.kind_id(&kind_name) else { continue };
            let salt = seal::new_salt();
            let id = clock::new_job_id(now);
            let chain = self.vault.chain(&salt);
            jobs.push(NewJob {
                id,
                queue,
                kind,
                priority: holds::RENEWALS,
                run_at: now,
                ready: true,
                max_errors: u32::MAX,
                deadline: None,
                created_at: now,
                created_by: self.actor,
                salt: Some(salt),
                family: None,
                args: vault::seal_json(&chain, id, Part::Args, &Payload::default()),
                uniq: Some(self.renewal_key(&name)),
                key: None,
                tags: vec![],
            });
        }
        self.store.enqueue(jobs).await.map(drop)
    }

    /// The internal key of a credential's job within its queue.
    fn renewal_key(&self, credential: &str) -> [u8; 16] {
        self.vault.hash("renewal", &[credential.as_bytes()])
    }

    /// Makes a credential's job due now, if it waits. Whether it does or runs already.
    pub async fn wake_renewal(&self, queue: QueueId, credential: &str) -> StoreResult<bool> {
        let Some(job) = self.store.live_job(queue, self.renewal_key(credential)).await? else {
            return Ok(false);
        };
        self.store.reschedule(job.seq, self.clock.wall(), true).await?;
        self.wake.ready(queue);
        Ok(true)
    }
}

fn credential_names(catalog: &Catalog) -> Vec<(QueueId, String, String)> {
    catalog
        .accounts
        .values()
        .flat_map(|account| {
            account
                .provider
                .credentials
                .keys()
                .map(|name| (account.queue, account.name.clone(), name.clone()))
        })
        .collect()
}
