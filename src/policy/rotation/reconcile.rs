//! What a create with a lost reply made, told from the provider's list.

use std::{cmp::Reverse, time::Duration};

use crate::types::Timestamp;

/// How far a provider's clock may be from ours.
const SKEW: Duration = Duration::from_hours(1);

/// A value by its keyed hash: enough to know it again, and of no use to anybody.
pub type Mark = u64;

/// One entry of a provider's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub mark: Mark,
    pub created_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

/// The creates that may have been carried out.
#[derive(Debug, Clone, Copy)]
pub struct Doubt<'a> {
    pub first_sent: Timestamp,
    pub last_sent: Timestamp,
    /// What the list showed before the first.
    pub known: &'a [Mark],
}

/// Where in the list that stands which the creates may have made, the newest first: neither known
/// from before nor `ours` already, not expired, and of their time where the provider tells it.
#[must_use]
pub fn newcomers(entries: &[Entry], ours: &[Mark], doubt: Doubt<'_>, now: Timestamp) -> Vec<usize> {
    let (from, to) = (doubt.first_sent.minus(SKEW), doubt.last_sent.plus(SKEW));
    let new = |entry: &Entry| {
        !doubt.known.contains(&entry.mark)
            && !ours.contains(&entry.mark)
            && entry.expires_at.is_none_or(|at| now < at)
            && entry.created_at.is_none_or(|at| from <= at && at <= to)
    };
    let mut found: Vec<usize> = (0..entries.len()).filter(|at| new(&entries[*at])).collect();
    found.sort_by_key(|at| Reverse((entries[*at].created_at, entries[*at].expires_at)));
    found
}
