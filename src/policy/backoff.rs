//! How long to wait after errors.
//!
//! Full jitter (a wait anywhere below a doubling ceiling) spreads the calls of many clients best;
//! see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

use super::{between, renewal::Life};
use crate::types::Timestamp;

/// No job retries faster than this, unless its own base is shorter.
const FLOOR: Duration = Duration::from_secs(1);

/// The ceiling of the first wait, and of every wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub base: Duration,
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(5), cap: Duration::from_hours(1) }
    }
}

/// The wait after the `errors`-th consecutive error (1 is the first; 0 is taken as 1): somewhere
/// between the floor and `base × 2^(errors − 1)`, at most `cap`; never zero.
#[must_use]
pub fn delay(errors: u32, jitter: f64, backoff: &Backoff) -> Duration {
    let floor = FLOOR.min(backoff.base).max(Duration::from_millis(1));
    between(floor, ceiling(errors, backoff).max(floor), jitter)
}

fn ceiling(errors: u32, backoff: &Backoff) -> Duration {
    let doubled = 1_u32 << errors.saturating_sub(1).min(31);
    backoff.base.saturating_mul(doubled).min(backoff.cap)
}

/// Between two tries of a renewal there are never more than 5 minutes,
const RENEWAL: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_mins(5) };
/// and never more than 30 seconds once there is nothing left to use.
const EXPIRED: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(30) };

/// When to try a failed renewal again.
///
/// `life` is that of the credential in hand, or `None` where there is none or it has no known
/// expiry. While it lives, waits double up to 5 minutes but never exceed an eighth of what is
/// left of it, so that tries come faster towards the expiry. Afterwards they stay within 30
/// seconds, or an eighth of the whole life if that is shorter (but then up to 1 s). The floor is
/// 1 s, or a 64th of the life if that is shorter, so that lives of seconds work as well. Each wait
/// is jittered over its upper half: a renewal's tries should be spread, not bunched.
#[must_use]
pub fn renewal_retry(now: Timestamp, life: Option<Life>, errors: u32, jitter: f64) -> Timestamp {
    let Some(life) = life else {
        let longest = ceiling(errors, &EXPIRED);
        return now.plus(between(longest / 2, longest, jitter));
    };
    let floor = (life.length() / 64).clamp(Duration::from_millis(20), FLOOR);
    let left = life.expires_at.since(now);
    let longest = if left.is_zero() {
        (life.length() / 8).clamp(FLOOR, EXPIRED.cap)
    } else {
        ceiling(errors, &RENEWAL).min(left / 8)
    };
    now.plus(between(longest / 2, longest, jitter).max(floor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn life(seconds: u64) -> Life {
        Life { sent_at: Timestamp(0), expires_at: Timestamp(0).plus(secs(seconds)) }
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let backoff = Backoff::default();
        for (errors, seconds) in [(0, 5), (1, 5), (2, 10), (3, 20), (10, 2560), (11, 3600)] {
            assert_eq!(delay(errors, 1.0, &backoff), secs(seconds), "{errors} errors");
            assert_eq!(delay(errors, 0.0, &backoff), secs(1));
        }
    }

    #[test]
    fn renewals_grow_more_urgent() {
        // (life, now, errors) → the longest wait, in seconds
        let table = [
            (36_000, 24_000, 1, 5.0),
            (36_000, 24_000, 20, 300.0),
            (36_000, 35_200, 20, 100.0),
            (36_000, 35_998, 20, 1.0),
            (36_000, 36_001, 20, 30.0),
            (60, 40, 20, 2.5),
            (60, 61, 1, 7.5),
            (4, 3, 9, 0.125),
            (4, 9, 9, 1.0),
        ];
        for (length, now, errors, longest) in table {
            let now = Timestamp(0).plus(secs(now));
            let got = renewal_retry(now, Some(life(length)), errors, 1.0).since(now);
            assert_eq!(got, Duration::from_secs_f64(longest), "{length} {now} {errors}");
        }
    }

    #[test]
    fn without_a_life_the_wait_grows_to_half_a_minute() {
        let now = Timestamp(1_000);
        assert_eq!(renewal_retry(now, None, 1, 1.0), now.plus(secs(2)));
        assert_eq!(renewal_retry(now, None, 99, 1.0), now.plus(secs(30)));
    }

    proptest! {
        #[test]
        fn any_wait_is_within_its_bounds(
            errors: u32, jitter: f64, base in 0_u64..u64::MAX, cap in 0_u64..u64::MAX,
        ) {
            let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            let wait = delay(errors, jitter, &backoff);
            prop_assert!(!wait.is_zero());
            prop_assert!(wait <= backoff.cap.max(secs(1)));
        }

        #[test]
        fn a_renewal_waits_forward_and_never_long(
            length in 1_i64..10_000_000_000, now in 0_i64..20_000_000_000, errors: u32, jitter: f64,
        ) {
            let life = Life { sent_at: Timestamp(0), expires_at: Timestamp(length) };
            let at = renewal_retry(Timestamp(now), Some(life), errors, jitter);
            prop_assert!(at > Timestamp(now));
            let longest = if now < length { 300_000.min((length - now) / 8).max(1_000) } else { 30_000 };
            prop_assert!(at.0 - now <= longest);
        }
    }
}
