//! The budgets of all accounts: decided by [`crate::policy::budget`], kept in memory, persisted ahead.
//!
//! A permit is on disk before its request is sent, so a crash can only waste permits. Buckets are
//! kept with both clocks: within one boot their age is told by the one that does not step.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use super::catalog::Catalog;
use crate::{
    clock::{Clock, Now},
    policy::budget::{Budget, Class, Left, SpentBefore},
    policy::limit::Limit,
    store::{BucketRow, Store, StoreResult},
    types::Timestamp,
};

/// All budgets by name.
#[derive(Debug)]
pub struct Budgets {
    boot: String,
    clock: Clock,
    /// Counts the snapshots: what is written out of order is told apart by it.
    version: AtomicI64,
    inner: Mutex<HashMap<String, Budget>>,
}

/// Permits taken ahead of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub count: u32,
    /// On the clock since boot.
    pub at_ms: i64,
    /// Until when they may be used: then their bucket ends, and they count as spent.
    pub until_ms: i64,
}

impl Budgets {
    /// Restores what was spent before the restart.
    pub async fn load(
        store: &dyn Store,
        catalog: &Catalog,
        clock: Clock,
        (boot, sure): (String, Timestamp),
    ) -> StoreResult<Self> {
        let rows = store.buckets().await?;
        let now = clock.now();
        // A jump that is in doubt makes nothing older.
        let then = Now { wall: sure, ..now };
        let mut before: HashMap<&str, Vec<&BucketRow>> = HashMap::new();
        for row in &rows {
            before.entry(&row.budget).or_default().push(row);
        }
        let mut inner = HashMap::new();
        for account in catalog.accounts.values() {
            let rows = before.get(account.budget.as_str()).map_or(&[][..], Vec::as_slice);
            inner
                .entry(account.budget.clone())
                .or_insert_with(|| restore(&account.limits, rows, &boot, then));
        }
        let last = rows.iter().map(|row| row.version).max().unwrap_or_default();
        let version = AtomicI64::new(last.saturating_add(1));
        let budgets = Self { boot, clock, version, inner: Mutex::new(inner) };
        let rows = budgets.all_rows(now);
        store.save_buckets(rows).await?;
        budgets.tidy(store).await?;
        Ok(budgets)
    }

    /// Takes on the limits of a configuration. What was spent counts under the new ones too;
    /// budgets that no account has any more are kept, for requests on their way and for accounts
    /// that come back.
    pub async fn configure(
        &self,
        store: &dyn Store,
        catalog: &Catalog,
        sure: Timestamp,
    ) -> StoreResult<()> {
        let rows = store.buckets().await?;
        let now = self.clock.now();
        let then = Now { wall: sure, ..now };
        {
            let mut inner = self.lock();
            for account in catalog.accounts.values() {
                match inner.get_mut(&account.budget) {
                    Some(known) => known.limit(&account.limits, now.boot_ms),
                    None => {
                        let rows: Vec<&BucketRow> =
                            rows.iter().filter(|row| row.budget == account.budget).collect();
                        let budget = restore(&account.limits, &rows, &self.boot, then);
                        inner.insert(account.budget.clone(), budget);
                    }
                }
            }
        }
        self.settle(store).await
    }

    /// Writes what is really spent: permits that were taken ahead and given back are free again
    /// after a clean stop.
    pub async fn settle(&self, store: &dyn Store) -> StoreResult<()> {
        let rows = self.all_rows(self.clock.now());
        store.save_buckets(rows).await
    }

    /// Writes what was given back since it was taken, so that a crash does not waste it, and drops
    /// rows that count no more.
    pub async fn tidy(&self, store: &dyn Store) -> StoreResult<()> {
        let now = self.clock.now();
        let rows = self.all_rows(now);
        if !rows.is_empty()
            && let Err(error) = store.save_buckets(rows.clone()).await
        {
            self.not_written(&rows);
            return Err(error);
        }
        let names: Vec<String> = self.lock().keys().cloned().collect();
        store.drop_buckets(names, &self.boot, now.boot_ms).await
    }

    /// What the store did not take is written with the next.
    fn not_written(&self, rows: &[BucketRow]) {
        let mut budgets = self.lock();
        for row in rows {
            if let Some(one) = budgets.get_mut(&row.budget) {
                one.not_written(row.window_ms, row.start_ms);
            }
        }
    }

    fn all_rows(&self, now: Now) -> Vec<BucketRow> {
        let mut budgets = self.lock();
        budgets.iter_mut().flat_map(|(name, one)| self.rows(name, one, now)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Budget>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `class` may take of a budget now; `u32::MAX` where there are no limits.
    #[must_use]
    pub fn allowance(&self, budget: &str, class: Class) -> u32 {
        let now = self.clock.now().boot_ms;
        self.lock().get_mut(budget).map_or(u32::MAX, |one| one.allowance(now, class))
    }

    /// Takes `n` permits and says which rows must be durable before they are used; `None` if
    /// there are not so many.
    pub fn take(&self, budget: &str, n: u32) -> Option<(Taken, Vec<BucketRow>)> {
        let now = self.clock.now();
        let mut budgets = self.lock();
        let Some(one) = budgets.get_mut(budget) else {
            return Some((Taken { count: n, at_ms: now.boot_ms, until_ms: i64::MAX }, vec![]));
        };
        if !one.take(now.boot_ms, n) {
            return None;
        }
        let until_ms = one.good_until(now.boot_ms).unwrap_or(i64::MAX);
        Some((Taken { count: n, at_ms: now.boot_ms, until_ms }, self.rows(budget, one, now)))
    }

    /// Takes one permit that is not stored yet: the next that are stored bring it along.
    pub fn take_unsaved(&self, budget: &str) -> bool {
        let now = self.clock.now().boot_ms;
        self.lock().get_mut(budget).is_none_or(|one| one.take(now, 1))
    }

    /// Returns permits that were not used. The rows follow with the next that are persisted.
    pub fn give_back(&self, budget: &str, taken: Taken, n: u32) {
        let now = self.clock.now().boot_ms;
        if n > 0
            && let Some(one) = self.lock().get_mut(budget)
        {
            one.give_back(taken.at_ms, now, n);
        }
    }

    /// When `class` may take a permit again; `None` if it may now.
    #[must_use]
    pub fn next_free(&self, budget: &str, class: Class) -> Option<Timestamp> {
        let now = self.clock.now();
        let budgets = self.lock();
        let free = budgets.get(budget)?.next_free(now.boot_ms, class)?;
        Some(Timestamp(now.wall.0.saturating_add(free - now.boot_ms)))
    }

    /// How much of its tightest limit is used; from 0 to 1.
    #[must_use]
    pub fn used(&self, budget: &str) -> f64 {
        let now = self.clock.now().boot_ms;
        self.lock().get_mut(budget).map_or(0.0, |one| one.used(now))
    }

    /// What each limit has left.
    #[must_use]
    pub fn left(&self, budget: &str) -> Vec<Left> {
        let now = self.clock.now().boot_ms;
        self.lock().get_mut(budget).map(|one| one.left(now)).unwrap_or_default()
    }

    /// To be called with the budgets locked: versions are to have the order of the counts.
    fn rows(&self, name: &str, budget: &mut Budget, now: Now) -> Vec<BucketRow> {
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        let rows = budget.snapshot().into_iter().map(|row| BucketRow {
            budget: name.to_owned(),
            window_ms: row.window_ms,
            boot: self.boot.clone(),
            start_ms: row.start_ms,
            wall_ms: now.wall.0.saturating_sub(now.boot_ms.saturating_sub(row.start_ms)),
            spent: i64::from(row.spent),
            version,
        });
        rows.collect()
    }
}

fn restore(limits: &[Limit], rows: &[&BucketRow], boot: &str, now: Now) -> Budget {
    let before: Vec<SpentBefore> = rows
        .iter()
        .map(|row| SpentBefore {
            window_ms: row.window_ms,
            age_ms: if row.boot == boot && !boot.is_empty() {
                now.boot_ms.saturating_sub(row.start_ms)
            } else {
                now.wall.0.saturating_sub(row.wall_ms)
            },
            spent: u32::try_from(row.spent).unwrap_or(u32::MAX),
        })
        .collect();
    Budget::restore(limits, &before, now.boot_ms)
}
