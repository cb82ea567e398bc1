//! When follows are polled: decided by [`crate::policy::cadence`], learned from each poll that is
//! settled, kept in memory, and written down about once a minute. A crash loses what was learned
//! in the last minute, which costs a few polls.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    Engine,
    catalog::{Account, Catalog},
};
use crate::{
    credentials::vault::{self, Part},
    policy::{
        budget::Class,
        cadence::{
            self, PollState,
            model::{Found, Model, StatusKey, Subject},
            pace::Pace,
            price::Price,
        },
        limit::Limit,
    },
    store::{CadenceRow, ClaimedJob, KindId, PriceRow, QueueId, Store, StoreResult},
    types::{Timestamp, millis},
};

/// Between two writings.
const SAVE_EVERY: std::time::Duration = std::time::Duration::from_mins(1);
/// A price is kept in millionths.
const MILLIONTHS: f64 = 1e6;

/// What is learned, and the prices and paces of all budgets.
#[derive(Debug, Default)]
pub struct Cadence {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kinds: BTreeMap<(QueueId, KindId), Learned>,
    budgets: BTreeMap<String, Spending>,
    saved_ms: i64,
}

#[derive(Debug, Default)]
struct Learned {
    model: Model,
    /// Not yet written.
    changed: BTreeSet<Option<StatusKey>>,
}

#[derive(Debug, Default)]
struct Spending {
    price: Price,
    /// As it was last written.
    saved: i64,
    pace: Option<Pace>,
}

impl Spending {
    fn millionths(&self) -> i64 {
        #[allow(clippy::cast_possible_truncation)] // bounded by the policy
        let price = (self.price.factor() * MILLIONTHS) as i64;
        price
    }

    fn pace(&mut self, limits: &[Limit], now_ms: i64) -> &mut Pace {
        self.pace.get_or_insert_with(|| Pace::new(limits, now_ms))
    }
}

impl Cadence {
    /// What was learned before the restart. What cannot be read is learned anew.
    pub async fn load(store: &dyn Store) -> StoreResult<Self> {
        let mut inner = Inner::default();
        for row in store.cadence().await? {
            let learned = inner.kinds.entry((row.queue, row.kind)).or_default();
            learned.model.restore(row.status, &row.learned);
        }
        for row in store.prices().await? {
            #[allow(clippy::cast_precision_loss)] // an estimate
            let price = Price::restored(row.price as f64 / MILLIONTHS);
            inner.budgets.insert(row.budget, Spending { price, saved: row.price, pace: None });
        }
        Ok(Self { inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Budgets whose limits have changed get a new pace.
    pub(super) fn configure(&self, before: &Catalog, after: &Catalog) {
        let mut inner = self.lock();
        for account in after.accounts.values() {
            let old = before.account(&account.name);
            let same = old.is_some_and(|old| old.limits == account.limits);
            if !same && let Some(spending) = inner.budgets.get_mut(&account.budget) {
                spending.pace = None;
            }
        }
    }

    fn learn(&self, job: &ClaimedJob, of: &Subject, now: Timestamp, found: Found) {
        let mut inner = self.lock();
        let learned = inner.kinds.entry((job.queue, job.kind)).or_default();
        let from = job.polled_at.unwrap_or(job.created_at);
        if learned.model.learn(of, from, now, found) {
            learned.changed.insert(None);
            learned.changed.extend(of.status.map(Some));
        }
    }

    /// Writes what has changed, if the last time is long enough ago.
    pub async fn save_now_and_then(
        &self,
        store: &dyn Store,
        now: crate::clock::Now,
    ) -> StoreResult<()> {
        if now.boot_ms.saturating_sub(self.lock().saved_ms) < millis(SAVE_EVERY) {
            return Ok(());
        }
        self.lock().saved_ms = now.boot_ms;
        self.save(store, now.wall).await
    }

    /// Writes what has changed.
    pub async fn save(&self, store: &dyn Store, at: Timestamp) -> StoreResult<()> {
        let (rows, prices) = self.changed(at);
        for row in rows {
            let (kind, status) = ((row.queue, row.kind), row.status);
            if let Err(error) = store.save_cadence(row).await {
                // The others are written when they change again.
                self.lock().kinds.entry(kind).or_default().changed.insert(status);
                return Err(error);
            }
        }
        for row in prices {
            store.save_price(row).await?;
        }
        Ok(())
    }

    fn changed(&self, at: Timestamp) -> (Vec<CadenceRow>, Vec<PriceRow>) {
        let mut inner = self.lock();
        let mut rows = vec![];
        for (&(queue, kind), learned) in &mut inner.kinds {
            for status in std::mem::take(&mut learned.changed) {
                let packed = learned.model.packed(status.as_ref());
                rows.extend(packed.map(|learned| CadenceRow { queue, kind, status, learned, at }));
            }
        }
        let mut prices = vec![];
        for (budget, spending) in &mut inner.budgets {
            let price = spending.millionths();
            // A hundredth more or less is not worth a write.
            if (price - spending.saved).abs() > spending.saved / 100 {
                spending.saved = price;
                prices.push(PriceRow { budget: budget.clone(), price, at });
            }
        }
        (rows, prices)
    }

    /// How many follows of a budget may be started now.
    pub fn allowance(&self, account: &Account, now_ms: i64) -> u32 {
        self.with_pace(account, now_ms, |pace| pace.allowance(now_ms))
    }

    /// Counts follows that are started.
    pub fn started(&self, account: &Account, now_ms: i64, follows: u32) {
        self.with_pace(account, now_ms, |pace| pace.take(follows));
    }

    fn with_pace<T>(&self, account: &Account, now_ms: i64, with: impl FnOnce(&mut Pace) -> T) -> T {
        let mut inner = self.lock();
        if let Some(known) = inner.budgets.get_mut(&account.budget) {
            return with(known.pace(&account.limits, now_ms));
        }
        let spending = inner.budgets.entry(account.budget.clone()).or_default();
        with(spending.pace(&account.limits, now_ms))
    }
}

/// A follow that is to be polled again, or for the first time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next<'a> {
    pub(super) account: &'a Account,
    pub(super) kind: KindId,
    pub(super) min_interval: std::time::Duration,
    pub(super) subject: Subject,
    /// It was never polled.
    pub(super) first: bool,
}

impl Engine {
    /// When a follow is polled next.
    pub(super) fn poll_at(&self, now: Timestamp, next: &Next<'_>) -> Timestamp {
        let account = next.account;
        let state = PollState {
            subject: next.subject,
            live_follows: self.follows_sharing(account),
            min_interval: next.min_interval,
            used: self.budgets.used(&account.budget),
        };
        let mut inner = self.cadence.lock();
        let Inner { kinds, budgets, .. } = &mut *inner;
        let unknown = Model::default();
        let model = kinds.get(&(account.queue, next.kind)).map_or(&unknown, |one| &one.model);
        let price = &mut budgets.entry(account.budget.clone()).or_default().price;
        let poll = if next.first { cadence::first_poll } else { cadence::next_poll };
        poll(now, &state, model, price, &account.limits, self.chance())
    }

    /// Learns from a poll that is settled. What was enqueued by a client may have been complete
    /// for long, so its first poll tells nothing.
    pub(super) fn learn(
        &self,
        job: &ClaimedJob,
        last_status: Option<&str>,
        now: Timestamp,
        found: Found,
    ) {
        if job.polled_at.is_some() || job.parent.is_some() {
            let of = self.subject(job, last_status);
            self.cadence.learn(job, &of, now, found);
        }
    }

    /// A follow as it was before this poll.
    pub(super) fn subject(&self, job: &ClaimedJob, status: Option<&str>) -> Subject {
        Subject {
            began: job.created_at,
            since: job.status_at.unwrap_or(job.created_at),
            status: status.map(|status| self.status_key(status)),
        }
    }

    /// Case and blanks vary.
    pub(super) fn status_key(&self, status: &str) -> StatusKey {
        self.vault.hash("cadence", &[status.trim().to_uppercase().as_bytes()])
    }

    /// The status that was last observed.
    pub(super) fn last_status(&self, job: &ClaimedJob) -> Option<String> {
        let (n, sealed) = job.observation.as_ref()?;
        let chain = self.vault.chain(job.salt.as_ref()?);
        vault::open_text(&chain, job.id, Part::Status(*n), sealed)
    }

    /// When a job of this class may be started, if its budget or the pace of follows keeps it now.
    pub(super) fn next_start(&self, account: &Account, class: Class) -> Option<Timestamp> {
        let budget = self.budgets.next_free(&account.budget, class);
        if class != Class::Follow {
            return budget;
        }
        let now = self.clock.now();
        let free = self.cadence.with_pace(account, now.boot_ms, |pace| pace.next_free(now.boot_ms));
        let paced = free.map(|at| Timestamp(now.wall.0.saturating_add(at - now.boot_ms)));
        budget.max(paced)
    }

    /// Live follows whose polls count against one budget, by the last count; at least one.
    fn follows_sharing(&self, account: &Account) -> u32 {
        if account.shares_budget() {
            let catalog = self.catalog();
            let others = catalog.accounts.values().filter(|one| one.budget == account.budget);
            return others.fold(0, |sum: u32, one| sum.saturating_add(self.follows_in(one.queue)));
        }
        self.follows_in(account.queue)
    }
}
