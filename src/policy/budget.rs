//! A provider's request budget: never more than `count` requests in any rolling window.
//!
//! Each limit keeps a ring of buckets of spent permits. A bucket counts until its **end** plus
//! the window, so that whatever instant of the bucket a request went out at, no window of that
//! length holds more than `count`. The price is one bucket's width per window: at most a 60th
//! (windows up to an hour), a 96th (longer ones: 15 min for 24 h) or 250 ms.
//!
//! Times are milliseconds of a clock that does not step (`CLOCK_BOOTTIME`).

mod ring;

use ring::Ring;
pub use ring::width_ms;

use super::limit::Limit;
use crate::types::millis;

/// Who asks for a permit, by how much of the budget is kept from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Exchanges and rotations: may use everything.
    Renewal,
    /// Calls and downloads: leave a reserve for renewals.
    Call,
    /// Follows: leave a share for calls as well, so that they never eat the last of a budget.
    Follow,
}

/// One bucket to be persisted; `(window_ms, start_ms)` names it within its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketRow {
    pub window_ms: i64,
    /// On the clock of this boot; may be negative for what was restored from before it.
    pub start_ms: i64,
    pub spent: u32,
}

/// One persisted bucket as found after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpentBefore {
    pub window_ms: i64,
    /// How long ago the bucket started: by `CLOCK_BOOTTIME` within one boot, else by the wall
    /// clock. A negative age is taken as now.
    pub age_ms: i64,
    pub spent: u32,
}

/// What a limit has left, for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub limit: Limit,
    pub used: u32,
    pub left: u32,
}

/// The permits of one account (or of one quota that several accounts share).
#[derive(Debug, Clone, Default)]
pub struct Budget {
    rings: Vec<Ring>,
    /// Kept from calls and follows for renewals.
    reserve: u32,
    /// The latest time seen: earlier ones are taken for it.
    latest_ms: i64,
}

impl Budget {
    /// An unspent budget. Without limits everything is allowed; of two limits with one window
    /// the smaller holds.
    #[must_use]
    pub fn new(limits: &[Limit]) -> Self {
        let mut limits = limits.to_vec();
        limits.sort_by_key(|limit| (limit.window, limit.count));
        limits.dedup_by_key(|limit| limit.window);
        let reserve = limits.iter().map(|limit| limit.count).min().map_or(0, reserve);
        let rings = limits.into_iter().map(Ring::new).collect();
        Self { rings, reserve, latest_ms: i64::MIN }
    }

    /// The budget after a restart. Limits may have changed meanwhile: a new window takes its
    /// history from the next longer one that was counted, else from the longest; and what was
    /// spent in a bucket counts as spent at the latest instant possible. All buckets are dirty
    /// afterwards: replace the account's persisted rows by the first [`Self::snapshot`].
    #[must_use]
    pub fn restore(limits: &[Limit], rows: &[SpentBefore], boot_ms: i64) -> Self {
        let mut budget = Self::new(limits);
        budget.latest_ms = boot_ms;
        for ring in &mut budget.rings {
            let source = source_window(ring.window_ms(), rows);
            for row in rows.iter().filter(|row| Some(row.window_ms) == source) {
                let end = boot_ms
                    .saturating_sub(row.age_ms.min(AGES))
                    .saturating_add(width_ms(row.window_ms));
                ring.spend((end - 1).min(boot_ms), row.spent);
            }
            ring.expire(boot_ms);
        }
        budget
    }

    /// Puts other limits in place of these, where they differ; what was spent counts on.
    pub fn limit(&mut self, limits: &[Limit], boot_ms: i64) {
        let new = Self::new(limits);
        if new.rings.iter().map(Ring::limit).eq(self.rings.iter().map(Ring::limit)) {
            return;
        }
        self.advance(boot_ms);
        let now = self.latest_ms;
        let spent: Vec<SpentBefore> = self.rings.iter().flat_map(|ring| ring.spent(now)).collect();
        *self = Self::restore(limits, &spent, now);
    }

    /// Permits left in the tightest limit; `u32::MAX` without limits.
    pub fn available(&mut self, boot_ms: i64) -> u32 {
        self.allowance(boot_ms, Class::Renewal)
    }

    /// Permits that `class` may take now.
    pub fn allowance(&mut self, boot_ms: i64, class: Class) -> u32 {
        self.advance(boot_ms);
        let reserve = self.reserve;
        let left = |ring: &Ring| ring.left().saturating_sub(kept(ring.limit(), reserve, class));
        self.rings.iter().map(left).min().unwrap_or(u32::MAX)
    }

    /// Takes `n` permits of every limit, or none at all. Persist [`Self::snapshot`] before they are
    /// used, so that after a crash they count as spent. They are good until the end of their
    /// bucket ([`Self::good_until`]); one that was not sent by then is simply spent.
    pub fn take(&mut self, boot_ms: i64, n: u32) -> bool {
        if self.available(boot_ms) < n {
            return false;
        }
        let now = self.latest_ms;
        self.rings.iter_mut().for_each(|ring| ring.spend(now, n));
        true
    }

    /// Until when permits taken at `boot_ms` may be used; `None` where there are no limits.
    #[must_use]
    pub fn good_until(&self, boot_ms: i64) -> Option<i64> {
        self.rings.iter().map(|ring| ring.bucket_end(boot_ms)).min()
    }

    /// Returns `n` permits that were taken at `taken_ms` and will not be used. Only limits whose
    /// bucket of then is still the current one get them back; elsewhere they are spent.
    pub fn give_back(&mut self, taken_ms: i64, boot_ms: i64, n: u32) {
        self.advance(boot_ms);
        let now = self.latest_ms;
        for ring in &mut self.rings {
            if ring.bucket_end(taken_ms) == ring.bucket_end(now) {
                ring.unspend(now, n);
            }
        }
    }

    /// When `class` may take at least one permit, if nothing else is taken; `None` if now.
    #[must_use]
    pub fn next_free(&self, boot_ms: i64, class: Class) -> Option<i64> {
        let now = boot_ms.max(self.latest_ms);
        let free = |ring: &Ring| ring.next_free(now, kept(ring.limit(), self.reserve, class));
        self.rings.iter().filter_map(free).max()
    }

    /// The buckets that changed since the last snapshot, to be persisted.
    #[must_use = "the buckets are marked as persisted"]
    pub fn snapshot(&mut self) -> Vec<BucketRow> {
        self.rings.iter_mut().flat_map(Ring::changed).collect()
    }

    /// A bucket of the last [`Self::snapshot`] was not persisted after all.
    pub fn not_written(&mut self, window_ms: i64, start_ms: i64) {
        let of_window = self.rings.iter_mut().filter(|ring| ring.window_ms() == window_ms);
        of_window.for_each(|ring| ring.not_written(start_ms));
    }

    /// What each limit has left, shortest window first.
    pub fn left(&mut self, boot_ms: i64) -> Vec<Left> {
        self.advance(boot_ms);
        let row = |ring: &Ring| Left { limit: ring.limit(), used: ring.used(), left: ring.left() };
        self.rings.iter().map(row).collect()
    }

    /// How much is used of the limit that allows the fewest requests in the long run; from 0 to 1.
    pub fn used(&mut self, boot_ms: i64) -> f64 {
        self.advance(boot_ms);
        let rate = |ring: &&Ring| f64::from(ring.limit().count) / ring.limit().window.as_secs_f64();
        let tightest = self.rings.iter().min_by(|a, b| rate(a).total_cmp(&rate(b)));
        let used = |ring: &Ring| f64::from(ring.used()) / f64::from(ring.limit().count.max(1));
        tightest.map_or(0.0, used).min(1.0)
    }

    fn advance(&mut self, boot_ms: i64) {
        self.latest_ms = self.latest_ms.max(boot_ms);
        let now = self.latest_ms;
        self.rings.iter_mut().for_each(|ring| ring.expire(now));
    }
}

/// What calls leave to renewals: 2 % of the smallest limit and at least one request, except of a
/// limit of one, where somebody must be able to send.
fn reserve(smallest: u32) -> u32 {
    (smallest / 50).max(1).min(smallest.saturating_sub(1))
}

/// What `class` leaves of `limit` to others; follows leave a tenth of each limit.
fn kept(limit: Limit, reserve: u32, class: Class) -> u32 {
    match class {
        Class::Renewal => 0,
        Class::Call => reserve,
        Class::Follow => reserve + limit.count / 10,
    }
}

/// Longer ago than any window, and far from overflowing.
const AGES: i64 = i64::MAX / 4;

fn source_window(window_ms: i64, rows: &[SpentBefore]) -> Option<i64> {
    let windows = || rows.iter().map(|row| row.window_ms);
    windows().filter(|old| *old >= window_ms).min().or_else(|| windows().max())
}

impl Limit {
    fn window_ms(self) -> i64 {
        millis(self.window).max(1)
    }
}

#[cfg(test)]
mod tests;
