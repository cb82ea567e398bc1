//! The buckets of one limit.

use std::collections::BTreeMap;

use super::{super::limit::Limit, BucketRow, SpentBefore};

const HOUR_MS: i64 = 3_600_000;

/// The width of a window's buckets in milliseconds: a 60th of it, or a 96th of one longer than an
/// hour, and at least 250 ms, which a request's own way through the network takes.
#[must_use]
pub const fn width_ms(window_ms: i64) -> i64 {
    let width = if window_ms <= HOUR_MS { window_ms / 60 } else { window_ms / 96 };
    if width < 250 { 250 } else { width }
}

/// A bucket counts until its end plus the window.
pub(super) const fn expiry(start_ms: i64, window_ms: i64) -> i64 {
    start_ms.saturating_add(width_ms(window_ms)).saturating_add(window_ms)
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    spent: u32,
    dirty: bool,
}

/// Spent permits by the start of their bucket; empty buckets are left out, so that a quiet
/// account costs nothing.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    limit: Limit,
    used: u32,
    buckets: BTreeMap<i64, Bucket>,
}

impl Ring {
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, used: 0, buckets: BTreeMap::new() }
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    pub(super) fn window_ms(&self) -> i64 {
        self.limit.window_ms()
    }

    pub(super) fn used(&self) -> u32 {
        self.used
    }

    pub(super) fn left(&self) -> u32 {
        self.limit.count.saturating_sub(self.used)
    }

    fn start(&self, at_ms: i64) -> i64 {
        at_ms - at_ms.rem_euclid(width_ms(self.window_ms()))
    }

    pub(super) fn bucket_end(&self, at_ms: i64) -> i64 {
        self.start(at_ms).saturating_add(width_ms(self.window_ms()))
    }

    /// All that counts, as after a restart.
    pub(super) fn spent(&self, now_ms: i64) -> impl Iterator<Item = SpentBefore> {
        let window_ms = self.window_ms();
        self.buckets.iter().map(move |(start, bucket)| SpentBefore {
            window_ms,
            age_ms: now_ms.saturating_sub(*start),
            spent: bucket.spent,
        })
    }

    pub(super) fn expire(&mut self, now_ms: i64) {
        let window_ms = self.window_ms();
        while let Some(oldest) = self.buckets.first_entry() {
            if expiry(*oldest.key(), window_ms) > now_ms {
                break;
            }
            oldest.remove();
            self.recount();
        }
    }

    pub(super) fn spend(&mut self, at_ms: i64, n: u32) {
        if n == 0 {
            return;
        }
        let start = self.start(at_ms);
        let bucket = self.buckets.entry(start).or_insert(Bucket { spent: 0, dirty: true });
        *bucket = Bucket { spent: bucket.spent.saturating_add(n), dirty: true };
        self.used = self.used.saturating_add(n);
    }

    pub(super) fn unspend(&mut self, at_ms: i64, n: u32) {
        let start = self.start(at_ms);
        if let Some(bucket) = self.buckets.get_mut(&start) {
            *bucket = Bucket { spent: bucket.spent.saturating_sub(n), dirty: true };
            self.recount();
        }
    }

    pub(super) fn not_written(&mut self, start_ms: i64) {
        if let Some(bucket) = self.buckets.get_mut(&start_ms) {
            bucket.dirty = true;
        }
    }

    /// Saturating, so it is counted anew rather than subtracted from.
    fn recount(&mut self) {
        self.used = self.buckets.values().fold(0, |sum, bucket| sum.saturating_add(bucket.spent));
    }

    /// When more than `kept` permits are left, if that is not now.
    pub(super) fn next_free(&self, now_ms: i64, kept: u32) -> Option<i64> {
        let most = u64::from(self.limit.count.saturating_sub(kept).saturating_sub(1));
        let live = || {
            let expiries =
                self.buckets.iter().map(|(start, b)| (expiry(*start, self.window_ms()), b));
            expiries.filter(|(expiry, _)| *expiry > now_ms)
        };
        let mut used: u64 = live().map(|(_, bucket)| u64::from(bucket.spent)).sum();
        if used <= most {
            return None;
        }
        live().find_map(|(expiry, bucket)| {
            used -= u64::from(bucket.spent);
            (used <= most).then_some(expiry)
        })
    }

    /// The buckets that changed since the last call.
    pub(super) fn changed(&mut self) -> Vec<BucketRow> {
        let window_ms = self.window_ms();
        let dirty = self.buckets.iter_mut().filter(|(_, bucket)| bucket.dirty);
        dirty
            .map(|(start, bucket)| {
                bucket.dirty = false;
                BucketRow { window_ms, start_ms: *start, spent: bucket.spent }
            })
            .collect()
    }
}
