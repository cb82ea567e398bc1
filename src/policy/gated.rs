//! How long a queue, or one kind of it, was held shut: that time does not use up a deadline.

use std::time::Duration;

use crate::types::{Timestamp, millis};

/// Shorter than this is not worth remembering: deadlines are given in hours and days.
pub const SHORTEST: Duration = Duration::from_mins(1);
/// Longer ago than any live job.
pub const FORGOTTEN: Duration = Duration::from_hours(24 * 400);

/// One stretch of time in which a gate was shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shut {
    pub since: Timestamp,
    /// `None`: it still is.
    pub until: Option<Timestamp>,
}

/// What is to be kept of a gate's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was found shut: from now on.
    Began(Shut),
    /// It was found open again.
    Ended(Shut),
    /// It was open again so soon that nothing is kept of it.
    Forgot(Shut),
}

/// The times of one gate, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times(Vec<Shut>);

impl Times {
    /// As they were kept. Only the last can be shut still: of an earlier one the end was lost, and
    /// then it ended when the next began at the latest.
    #[must_use]
    pub fn of(mut kept: Vec<Shut>) -> Self {
        kept.sort();
        let next: Vec<Timestamp> = kept.iter().skip(1).map(|one| one.since).collect();
        for (one, next) in kept.iter_mut().zip(next) {
            one.until = Some(one.until.unwrap_or(next));
        }
        Self(kept)
    }

    /// The wall clock was stepped, and says `now`: what is shut still keeps its distance, and
    /// nothing lasted longer than until now. Each that changed, as it was and as it is.
    pub fn step(&mut self, by_ms: i64, now: Timestamp) -> Vec<(Shut, Shut)> {
        let mut changed = vec![];
        for one in &mut self.0 {
            let before = *one;
            match one.until {
                None => one.since = Timestamp(one.since.0.saturating_add(by_ms)).min(now),
                Some(until) => one.until = Some(until.min(now.max(one.since))),
            }
            if *one != before {
                changed.push((before, *one));
            }
        }
        changed
    }

    /// Sees whether the gate is shut now; what is to be kept of that, if it changed.
    pub fn see(&mut self, shut: bool, now: Timestamp) -> Option<Change> {
        let open = self.0.last_mut().filter(|last| last.until.is_none());
        match (open, shut) {
            (None, true) => {
                let began = Shut { since: now, until: None };
                self.0.push(began);
                Some(Change::Began(began))
            }
            (Some(last), false) => {
                let ended = Shut { until: Some(now.max(last.since)), ..*last };
                if now.since(last.since) < SHORTEST {
                    self.0.pop();
                    return Some(Change::Forgot(ended));
                }
                *last = ended;
                Some(Change::Ended(ended))
            }
            _ => None,
        }
    }

    fn within(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = (i64, i64)> {
        let cut = move |one: &Shut| {
            let (since, until) = (one.since.max(from), one.until.unwrap_or(to).min(to));
            (since < until).then_some((since.0, until.0))
        };
        self.0.iter().filter_map(cut)
    }
}

/// How much of the time between two instants at least one of these gates was shut.
#[must_use]
pub fn shut_between(gates: &[&Times], from: Timestamp, to: Timestamp) -> Duration {
    let mut stretches: Vec<(i64, i64)> =
        gates.iter().flat_map(|times| times.within(from, to)).collect();
    stretches.sort_unstable();
    let (mut total, mut counted) = (0_u64, i64::MIN);
    for (since, until) in stretches {
        let since = since.max(counted);
        total = total.saturating_add(until.saturating_sub(since).max(0).unsigned_abs());
        counted = counted.max(until);
    }
    Duration::from_millis(total)
}

/// Whether a stretch is so long ago that no live job can have been held by it.
#[must_use]
pub fn is_forgotten(shut: &Shut, now: Timestamp) -> bool {
    shut.until.is_some_and(|until| now.0.saturating_sub(until.0) > millis(FORGOTTEN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp(minutes * 60_000)
    }

    fn shut(since: i64, until: i64) -> Shut {
        Shut { since: at(since), until: Some(at(until)) }
    }

    #[test]
    fn a_gate_is_timed_from_shut_to_open() {
        let mut times = Times::default();
        assert_eq!(times.see(false, at(1)), None);
        let began = Shut { since: at(2), until: None };
        assert_eq!(times.see(true, at(2)), Some(Change::Began(began)));
        assert_eq!(times.see(true, at(3)), None);
        assert_eq!(times.see(false, at(9)), Some(Change::Ended(shut(2, 9))));
        assert_eq!(times.see(false, at(10)), None);
        assert_eq!(times, Times::of(vec![shut(2, 9)]));
        times.see(true, at(20));
        let brief = Shut { since: at(20), until: Some(at(20).plus(Duration::from_secs(59))) };
        assert_eq!(times.see(false, brief.until.unwrap()), Some(Change::Forgot(brief)));
        assert_eq!(times, Times::of(vec![shut(2, 9)]));
    }

    #[test]
    fn a_lost_end_does_not_hold_for_ever() {
        let open = |since| Shut { since: at(since), until: None };
        let times = Times::of(vec![open(30), open(10), shut(20, 25)]);
        assert_eq!(times, Times::of(vec![shut(10, 20), shut(20, 25), open(30)]));
    }

    #[test]
    fn a_wrong_clock_makes_no_long_times() {
        let mut times = Times::of(vec![shut(1, 2), shut(10, 9_000)]);
        assert_eq!(times.step(-8_900 * 60_000, at(100)), [(shut(10, 9_000), shut(10, 100))]);
        let open = |since| Shut { since: at(since), until: None };
        let mut times = Times::of(vec![open(9_000)]);
        assert_eq!(times.step(-8_900 * 60_000, at(101)), [(open(9_000), open(100))]);
        assert_eq!(times.step(8_900 * 60_000, at(9_001)), [(open(100), open(9_000))]);
        assert_eq!(times.step(0, at(9_001)), []);
    }

    #[test]
    fn time_is_counted_once_and_only_within() {
        let queue = Times::of(vec![shut(60, 120), shut(10, 20)]);
        let kind = Times::of(vec![shut(15, 30), Shut { since: at(110), until: None }]);
        let table = [(0, 200, 20 + 60 + 80), (12, 18, 6), (25, 26, 1), (30, 60, 0), (130, 100, 0)];
        for (from, to, minutes) in table {
            let shut = shut_between(&[&queue, &kind], at(from), at(to));
            assert_eq!(shut, Duration::from_mins(minutes), "{from} to {to}");
        }
        assert!(is_forgotten(&shut(0, 1), at(400 * 24 * 60 + 2)));
        assert!(!is_forgotten(&shut(0, 1), at(400 * 24 * 60)));
        assert!(!is_forgotten(&Shut { since: at(0), until: None }, at(i64::from(u32::MAX))));
    }

    proptest! {
        #[test]
        fn never_more_than_the_time_itself(
            kept in prop::collection::vec((-50_i64..50, 0_i64..50), 0..9), from in -90_i64..90,
            length in 0_i64..90,
        ) {
            let times = Times::of(kept.into_iter().map(|(since, n)| shut(since, since + n)).collect());
            let total = shut_between(&[&times, &times], at(from), at(from + length));
            prop_assert!(total <= at(from + length).since(at(from)));
            prop_assert_eq!(total, shut_between(&[&times], at(from), at(from + length)));
        }
    }
}
