//! Whether the wall clock can be believed.
//!
//! The clock since boot tells how much time has passed; the wall clock, what time that makes. What
//! they agree on is sure. After a jump of more than an hour that nothing explains, a machine that
//! was off included, the time is in doubt: until the clock is put back, a provider tells the same
//! time, or a person says that it is right.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Now,
    types::{Timestamp, millis},
};

/// Less is adjusted, or passes while a machine starts again.
const JUMP: Duration = Duration::from_hours(1);
/// A provider's clock may differ by so much from one that is right.
const AGREES: Duration = Duration::from_mins(5);
/// 2026-01-01: a clock that says less was never set.
const FLOOR: Timestamp = Timestamp(1_767_225_600_000);

/// What is kept of the time across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The time as far as it was sure.
    pub sure: Timestamp,
    /// What the wall clock said.
    pub wall: Timestamp,
    /// What the clock since boot said, of which boot.
    pub boot_ms: i64,
    pub boot: String,
    /// Since when by the wall clock the time was in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Kept {
    /// What the wall clock would say if nobody had touched it; of another boot, at least.
    #[must_use]
    pub fn expected(&self, boot: &str, now: Now) -> Timestamp {
        Timestamp(self.wall.0.saturating_add(self.passed(boot, now)))
    }

    /// Of another boot nothing is known but that it was earlier.
    fn passed(&self, boot: &str, now: Now) -> i64 {
        if self.is_of(boot) { now.boot_ms.saturating_sub(self.boot_ms).max(0) } else { 0 }
    }

    #[must_use]
    pub fn is_of(&self, boot: &str) -> bool {
        self.boot == boot && !boot.is_empty()
    }
}

/// What a look at the clock changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Doubtful,
    /// It is right again; by the wall clock it was wrong from then on.
    Right {
        since: Timestamp,
    },
}

/// What is known of the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The last time that was sure, by both clocks.
    sure: Now,
    /// No time was ever sure: any from here on is as good as another.
    at_least: bool,
    since: Option<Timestamp>,
}

impl Doubt {
    #[must_use]
    pub fn restored(kept: Option<&Kept>, boot: &str, now: Now) -> Self {
        let Some(kept) = kept else {
            let sure = Now { wall: FLOOR, ..now };
            return Self { sure, at_least: true, since: None };
        };
        let wall = Timestamp(kept.sure.0.saturating_add(kept.passed(boot, now)));
        Self { sure: Now { wall, ..now }, at_least: false, since: kept.since }
    }

    /// Looks at the clock.
    pub fn look(&mut self, now: Now) -> Option<Change> {
        let jump = now.wall.0.saturating_sub(self.at(now).0);
        if jump.saturating_abs() <= millis(JUMP) || (self.at_least && jump > 0) {
            return self.confirm(now);
        }
        let news = self.since.is_none();
        self.since.get_or_insert(now.wall);
        news.then_some(Change::Doubtful)
    }

    /// Somebody who knows says that the clock is right.
    pub fn confirm(&mut self, now: Now) -> Option<Change> {
        (self.sure, self.at_least) = (now, false);
        self.since.take().map(|since| Change::Right { since })
    }

    /// A provider told this time.
    pub fn hear(&mut self, now: Now, told: Timestamp) -> Option<Change> {
        let apart = now.wall.0.saturating_sub(told.0).saturating_abs();
        if self.since.is_some() && apart <= millis(AGREES) { self.confirm(now) } else { None }
    }

    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.since.is_some()
    }

    /// The time without any jump that is in doubt. Where a machine was off, at least so late.
    #[must_use]
    pub fn at(&self, now: Now) -> Timestamp {
        let passed = now.boot_ms.saturating_sub(self.sure.boot_ms).max(0);
        Timestamp(self.sure.wall.0.saturating_add(passed))
    }

    #[must_use]
    pub fn kept(&self, now: Now, boot: &str) -> Kept {
        let sure = if self.is_doubtful() { self.at(now) } else { now.wall };
        let (boot, since) = (boot.to_owned(), self.since);
        Kept { sure, wall: now.wall, boot_ms: now.boot_ms, boot, since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const YEAR: i64 = 365 * 24 * HOUR;
    const START: i64 = 1_800_000_000_000;

    fn at(wall: i64, boot_ms: i64) -> Now {
        Now { wall: Timestamp(wall), boot_ms }
    }

    fn sure() -> Doubt {
        let mut doubt = Doubt::restored(None, "a", at(START, 0));
        assert_eq!(doubt.look(at(START, 0)), None);
        doubt
    }

    #[test]
    fn time_suspends_and_small_steps_are_believed() {
        let mut doubt = sure();
        for (wall, boot_ms) in [
            (20_000, 20_000),
            (9 * HOUR, 9 * HOUR),
            (9 * HOUR + 50 * 60_000, 9 * HOUR),
            (8 * HOUR + 50 * 60_000, 9 * HOUR),
        ] {
            assert_eq!(doubt.look(at(START + wall, boot_ms)), None);
            assert!(!doubt.is_doubtful());
        }
    }

    #[test]
    fn a_jump_either_way_is_in_doubt_until_it_is_put_back() {
        for by in [2 * HOUR, -2 * HOUR, 10 * YEAR, -50 * YEAR] {
            let mut doubt = sure();
            let wrong = at(START + by + 1_000, 1_000);
            assert_eq!(doubt.look(wrong), Some(Change::Doubtful));
            assert_eq!(doubt.at(wrong), Timestamp(START + 1_000));
            assert_eq!(doubt.look(at(START + by + HOUR, HOUR)), None, "told once");
            assert_eq!(doubt.at(at(START + by + HOUR, HOUR)), Timestamp(START + HOUR));
            let right = at(START + HOUR + 5, HOUR);
            assert_eq!(doubt.look(right), Some(Change::Right { since: wrong.wall }));
            assert!(!doubt.is_doubtful());
        }
    }

    #[test]
    fn who_knows_ends_it() {
        let jumped = at(START + 3 * HOUR, 0);
        let mut doubt = sure();
        doubt.look(jumped);
        assert_eq!(doubt.hear(jumped, Timestamp(START)), None, "it tells another time");
        assert!(doubt.is_doubtful());
        let told = Timestamp(jumped.wall.0 - 4 * 60_000);
        assert!(matches!(doubt.hear(jumped, told), Some(Change::Right { .. })));
        assert_eq!(doubt.look(at(START + 3 * HOUR + 10, 10)), None);
        assert!(!doubt.is_doubtful());
        doubt.look(at(START, 20));
        assert!(doubt.confirm(at(START, 20)).is_some() && !doubt.is_doubtful());
    }

    #[test]
    fn a_restart_goes_on_with_what_was_sure() {
        let kept = sure().kept(at(START, 0), "a");
        let restored = |boot: &str, now: Now| {
            let mut doubt = Doubt::restored(Some(&kept), boot, now);
            doubt.look(now);
            doubt.is_doubtful()
        };
        // Of one boot the time that has passed is known.
        assert!(!restored("a", at(START + 30 * HOUR, 30 * HOUR)));
        assert!(restored("a", at(START + 30 * HOUR, HOUR)));
        // Of another it is not: a short pause is nothing, a week off is in doubt until confirmed.
        assert!(!restored("b", at(START + 10 * 60_000, 500)));
        assert!(restored("b", at(START + 7 * 24 * HOUR, 500)));
        assert!(restored("b", at(0, 500)));
        assert!(restored("b", at(START + 10 * YEAR, 500)));
        // In doubt it stays, and what is sure goes on.
        let mut doubt = Doubt::restored(Some(&kept), "b", at(0, 500));
        doubt.look(at(0, 500));
        let again = doubt.kept(at(HOUR, HOUR + 500), "b");
        assert_eq!((again.sure, again.since), (Timestamp(START + HOUR), Some(Timestamp(0))));
        let text = serde_json::to_string(&again).unwrap();
        assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), again);
    }

    #[test]
    fn a_clock_that_was_never_set_is_not_believed() {
        let mut doubt = Doubt::restored(None, "a", at(1_000, 0));
        assert_eq!(doubt.look(at(1_000, 0)), Some(Change::Doubtful));
        assert!(doubt.look(at(START, 10_000)).is_some(), "now it was set");
        assert!(!doubt.is_doubtful());
        assert_eq!(doubt.look(at(START + 2 * HOUR, 10_000)), Some(Change::Doubtful));
    }
}
