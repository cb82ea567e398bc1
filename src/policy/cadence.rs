//! How often a follow asks "done yet?".
//!
//! What is scarce is the provider's budget, and this is where it is shared out. Today every
//! follow gets an even share of it; [`next_poll`] is the one seam behind which a better rule (the
//! follow with the greatest expected waiting first) can take its place.

use std::time::Duration;

use super::{between, limit::Limit};
use crate::types::{Timestamp, millis};

/// Polls together use at most this share of the tightest limit, in tenths. The rest is for
/// calls, renewals, the pages and repeats of polls, and for the jitter's luck.
const SHARE_TENTHS: u128 = 8;

/// The shortest time between two polls of one follow where nothing else is configured.
pub const MIN_INTERVAL: Duration = Duration::from_secs(15);

/// The first poll of a follow comes within this time (or its minimal interval, if shorter): what
/// is followed may have been complete for long.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// What there is to know when a poll has been answered, or a follow begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollState {
    /// Polls of this follow so far; 0 for a new one.
    pub polls: u32,
    /// Live follows that share this one's budget, itself included.
    pub live_follows: u32,
    pub min_interval: Duration,
}

/// When to poll next: an even share of the budget, never more often than `min_interval`, ±10 %
/// by `jitter` so that follows that began together drift apart. A new follow is polled soon.
#[must_use]
pub fn next_poll(now: Timestamp, state: &PollState, limits: &[Limit], jitter: f64) -> Timestamp {
    if state.polls == 0 {
        return now.plus(between(Duration::ZERO, FIRST_WITHIN.min(state.min_interval), jitter));
    }
    let even = state.min_interval.max(even_share(state.live_follows, limits));
    // The minimal interval is a promise to the provider: jitter lengthens it only.
    let low = (even / 10 * 9).max(state.min_interval);
    now.plus(between(low, even.saturating_add(even / 10), jitter))
}

/// The interval at which `follows` polls in turn use 80 % of the tightest limit; zero without any.
#[must_use]
pub fn even_share(follows: u32, limits: &[Limit]) -> Duration {
    let interval = |limit: &Limit| {
        let window = u128::from(millis(limit.window).unsigned_abs());
        let ms =
            u128::from(follows) * window * 10 / (u128::from(limit.count.max(1)) * SHARE_TENTHS);
        // A century is long enough, and leaves room to add.
        Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX).min(3_200_000_000_000))
    };
    limits.iter().map(interval).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(texts: &[&str]) -> Vec<Limit> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_tightest_limit_decides() {
        let certn = limits(&["240/1m", "14400/24h"]);
        // One call in 6 s is the account's whole budget, so one in 7.5 s is 80 % of it.
        for (follows, seconds) in [(0, 0.0), (1, 7.5), (2, 15.0), (100, 750.0)] {
            let expected = Duration::from_secs_f64(seconds);
            assert_eq!(even_share(follows, &certn), expected, "{follows}");
        }
        assert_eq!(even_share(1000, &[]), Duration::ZERO);
    }

    #[test]
    fn an_interval_is_jittered_and_has_a_floor() {
        let certn = limits(&["14400/24h"]);
        let state =
            |polls, live_follows| PollState { polls, live_follows, min_interval: MIN_INTERVAL };
        let table = [
            (state(0, 100), 0, 5_000),
            (state(1, 1), 15_000, 16_500),
            (state(1, 2), 15_000, 16_500),
            (state(9, 100), 675_000, 825_000),
        ];
        for (state, earliest, latest) in table {
            assert_eq!(next_poll(Timestamp(0), &state, &certn, 0.0).0, earliest, "{state:?}");
            assert_eq!(next_poll(Timestamp(0), &state, &certn, 1.0).0, latest, "{state:?}");
        }
    }

    proptest! {
        #[test]
        fn together_they_stay_within_every_limit(
            follows in 1_u32.., counts in prop::collection::vec((1_u32.., 1_u64..10_000_000), 0..4),
            jitter: f64,
        ) {
            let limits: Vec<Limit> = counts.into_iter()
                .map(|(count, secs)| Limit { count, window: Duration::from_secs(secs) }).collect();
            let state = PollState { polls: 1, live_follows: follows, min_interval: MIN_INTERVAL };
            let interval = next_poll(Timestamp(0), &state, &limits, jitter).0;
            prop_assert!(interval >= millis(MIN_INTERVAL));
            prop_assume!(interval < 2_000_000_000_000);
            for limit in limits {
                let per_window = i128::from(follows) * i128::from(millis(limit.window)) / i128::from(interval);
                prop_assert!(per_window <= i128::from(limit.count));
            }
        }
    }
}
