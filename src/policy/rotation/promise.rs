//! How long a value that is handed out stays valid, so that it is never revoked earlier.
//!
//! Every value is published with a time until which it surely stays (its planned renewal and the
//! overlap) and with its overlap. A successor that comes later still leaves the overlap from then
//! on. So a reader can be promised the later of both without a word on disk; what the promise
//! rests on is on disk since the publication.

use std::time::Duration;

use crate::{policy::renewal::Life, types::Timestamp};

/// What a value in hand was published with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    pub expires_at: Option<Timestamp>,
    /// `None`: nobody revokes it.
    pub promised_until: Option<Timestamp>,
    pub overlap: Duration,
}

impl Promise {
    /// What is promised to whoever is handed the value now; `None`: it lasts until it is refused.
    #[must_use]
    pub fn valid_until(&self, now: Timestamp) -> Option<Timestamp> {
        earlier(self.expires_at, self.unrevoked_until(now))
    }

    /// When it is revoked if its successor is published now; `None`: never.
    #[must_use]
    pub fn revoke_at(&self, now: Timestamp) -> Option<Timestamp> {
        earlier(self.expires_at, Some(self.unrevoked_until(now)?))
    }

    fn unrevoked_until(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.promised_until?.max(now.plus(self.overlap)))
    }
}

/// Until when a value that is renewed at `renew_at` surely stays.
#[must_use]
pub fn planned_until(
    renew_at: Timestamp,
    overlap: Duration,
    expires_at: Option<Timestamp>,
) -> Timestamp {
    let until = renew_at.plus(overlap);
    expires_at.map_or(until, |expires_at| until.min(expires_at))
}

/// Whether a fresh value, renewed as early as it may be, could satisfy a `min_ttl`; if not, no
/// rotation helps.
#[must_use]
pub fn reaches(life: Life, overlap: Duration, min_ttl: Duration) -> bool {
    min_ttl < longest(life, overlap)
}

/// How long a fresh value, renewed as early as it may be, is good for.
#[must_use]
pub fn longest(life: Life, overlap: Duration) -> Duration {
    planned_until(life.renew_at(0.0), overlap, Some(life.usable_until())).since(life.sent_at)
}

/// The earlier of two times, of which one may never come.
#[must_use]
pub fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
