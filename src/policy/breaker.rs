//! The circuit breaker of a queue: when a provider is down, one probe at a time instead of
//! everybody's retries, and nothing is counted against the jobs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{backoff::Backoff, classify::Health};
use crate::types::{JobId, Timestamp};

/// So many failures in a row open it.
const FAILURES: u32 = 5;

/// How long it stays open: doubling with each probe that fails.
const OPEN: Backoff = Backoff { base: Duration::from_secs(10), cap: Duration::from_mins(5) };

/// A probe of which nothing is heard for so long (its process died) is replaced by another.
const PROBE_LOST: Duration = Duration::from_mins(2);

/// The state, to be persisted with the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Breaker {
    /// Requests go through. `shared` says that it is not the fault of one job: the failures are
    /// of more than one, or the provider could not be reached at all.
    Closed { failures: u32, last_job: Option<JobId>, shared: bool },
    /// None go through until then; `opened` counts the openings in a row.
    Open { until: Timestamp, opened: u32 },
    /// One is on its way to see.
    HalfOpen { probe_sent: Timestamp, opened: u32 },
}

/// Whether a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Go,
    /// This one alone, and its end must be recorded.
    Probe,
    Wait {
        until: Timestamp,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0, last_job: None, shared: false }
    }
}

impl Breaker {
    /// Asks to send one request; in the half-open state the caller becomes the probe.
    pub fn admit(&mut self, now: Timestamp) -> Admission {
        let (until, opened) = match *self {
            Self::Closed { .. } => return Admission::Go,
            Self::Open { until, opened } => (until, opened),
            Self::HalfOpen { probe_sent, opened } => (probe_sent.plus(PROBE_LOST), opened),
        };
        if now < until {
            return Admission::Wait { until };
        }
        *self = Self::HalfOpen { probe_sent: now, opened };
        Admission::Probe
    }

    /// Hears how a request of `job` ended. Any sign of life closes it; the failures of requests
    /// that were on their way when it opened change nothing.
    pub fn record(&mut self, now: Timestamp, job: JobId, health: Health) {
        *self = match (*self, health) {
            (_, Health::Up) => Self::default(),
            (open @ Self::Open { .. }, _) => open,
            (Self::HalfOpen { opened, .. }, _) => Self::opened(now, opened.saturating_add(1)),
            (Self::Closed { failures, last_job, shared }, _) => {
                let failures = failures.saturating_add(1);
                let shared = shared
                    || health == Health::Unreachable
                    || last_job.is_some_and(|last| last != job);
                if shared && failures >= FAILURES {
                    Self::opened(now, 1)
                } else {
                    Self::Closed { failures, last_job: Some(job), shared }
                }
            }
        };
    }

    /// The wall clock was stepped.
    pub fn step(&mut self, by_ms: i64) {
        if let Self::Open { until: at, .. } | Self::HalfOpen { probe_sent: at, .. } = self {
            *at = Timestamp(at.0.saturating_add(by_ms));
        }
    }

    /// As it is after a restart: its probe is gone, and a clock that was stepped back does not keep
    /// it open for longer than it ever is.
    #[must_use]
    pub fn restored(self, now: Timestamp) -> Self {
        match self {
            Self::Closed { .. } => Self::default(),
            Self::Open { until, opened } => {
                Self::Open { until: until.min(now.plus(OPEN.cap)), opened }
            }
            Self::HalfOpen { opened, .. } => Self::Open { until: now, opened },
        }
    }

    fn opened(now: Timestamp, opened: u32) -> Self {
        let doubled = 1_u32 << opened.saturating_sub(1).min(31);
        Self::Open { until: now.plus(OPEN.base.saturating_mul(doubled).min(OPEN.cap)), opened }
    }

    /// Open or half-open: nothing counts as an error (`Asked::breaker_open`).
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self, Self::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn job(n: u128) -> JobId {
        JobId(Uuid::from_u128(n))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    fn after(failures: &[(u128, Health)]) -> Breaker {
        let mut breaker = Breaker::default();
        for (n, health) in failures {
            breaker.record(at(0), job(*n), *health);
        }
        breaker
    }

    #[test]
    fn what_opens_it() {
        use Health::{Failing, Unreachable, Up};
        let table: &[(&[(u128, Health)], bool)] = &[
            (&[(1, Failing), (2, Failing), (1, Failing), (2, Failing)], false),
            (&[(1, Failing), (2, Failing), (1, Failing), (2, Failing), (1, Failing)], true),
            (&[(1, Failing); 50], false),
            (&[(1, Unreachable); 5], true),
            (
                &[(1, Failing), (2, Failing), (1, Failing), (2, Failing), (3, Up), (1, Failing)],
                false,
            ),
        ];
        for (failures, open) in table {
            assert_eq!(after(failures).is_open(), *open, "{failures:?}");
        }
        let mut one_then_another = after(&[(1, Failing); 50]);
        one_then_another.record(at(0), job(2), Failing);
        assert!(one_then_another.is_open());
    }

    #[test]
    fn one_probe_at_a_time_and_longer_each_time() {
        let mut breaker = after(&[(1, Health::Unreachable); 5]);
        let (mut now, mut waits) = (at(0), Vec::new());
        for _ in 0..8 {
            let Admission::Wait { until } = breaker.admit(now) else { panic!("{breaker:?}") };
            waits.push(until.since(now).as_secs());
            now = until;
            assert_eq!(breaker.admit(now), Admission::Probe);
            assert!(matches!(breaker.admit(now), Admission::Wait { .. }));
            breaker.record(now, job(1), Health::Failing);
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn it_outlives_a_restart() {
        let open = |seconds| Breaker::Open { until: at(seconds), opened: 3 };
        let probing = Breaker::HalfOpen { probe_sent: at(1), opened: 3 };
        let table = [
            (open(40), open(40)),
            (open(100_000), open(302)),
            (probing, open(2)),
            (after(&[(1, Health::Failing); 3]), Breaker::default()),
        ];
        for (before, expected) in table {
            assert_eq!(before.restored(at(2)), expected, "{before:?}");
        }
    }

    #[test]
    fn a_sign_of_life_closes_it() {
        let mut breaker = after(&[(1, Health::Unreachable); 5]);
        assert_eq!(breaker.admit(at(10)), Admission::Probe);
        breaker.record(at(11), job(1), Health::Up);
        assert_eq!(breaker, Breaker::default());
        assert_eq!(breaker.admit(at(11)), Admission::Go);
    }

    #[test]
    fn a_step_of_the_clock_changes_no_wait() {
        for by in [-3_600_000 * 24 * 365, 3_600_000 * 24 * 365] {
            let stepped = |ms: i64| Timestamp(ms + by);
            let mut breaker = after(&[(1, Health::Unreachable); 5]);
            breaker.step(by);
            assert!(matches!(breaker.admit(stepped(9_999)), Admission::Wait { .. }));
            assert_eq!(breaker.admit(stepped(10_000)), Admission::Probe);
            breaker.step(-by);
            assert!(matches!(breaker.admit(at(129)), Admission::Wait { .. }));
            assert_eq!(breaker.admit(at(130)), Admission::Probe);
        }
    }

    #[test]
    fn a_lost_probe_is_replaced() {
        let mut breaker = after(&[(1, Health::Unreachable); 5]);
        assert_eq!(breaker.admit(at(10)), Admission::Probe);
        assert_eq!(breaker.admit(at(129)), Admission::Wait { until: at(130) });
        assert_eq!(breaker.admit(at(130)), Admission::Probe);
    }

    proptest! {
        #[test]
        fn it_always_lets_somebody_through_in_the_end(
            events in prop::collection::vec((0_i64..400, 0_u128..3, 0_u8..4), 0..100),
        ) {
            let (mut breaker, mut now) = (Breaker::default(), at(0));
            for (pause, n, event) in events {
                now = now.plus(Duration::from_secs(pause.unsigned_abs()));
                match event {
                    0 => { breaker.admit(now); }
                    1 => breaker.record(now, job(n), Health::Up),
                    2 => breaker.record(now, job(n), Health::Failing),
                    _ => breaker.record(now, job(n), Health::Unreachable),
                }
                let text = serde_json::to_string(&breaker).unwrap();
                prop_assert_eq!(serde_json::from_str::<Breaker>(&text).unwrap(), breaker);
            }
            let later = now.plus(OPEN.cap);
            let waits = matches!(breaker.admit(later), Admission::Wait { .. });
            prop_assert!(!waits);
        }
    }
}
