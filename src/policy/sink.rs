//! When a sink's file is written, removed or left alone.

use std::time::Duration;

use crate::types::Timestamp;

/// The longest wait between two tries of a file that cannot be written.
const LONGEST: Duration = Duration::from_mins(1);

/// A try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// What was to be handed over.
    pub generation: i64,
    pub retry_at: Timestamp,
}

/// What is known of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// The generation that may be used now.
    pub usable: Option<i64>,
    /// Of the last value, usable or not.
    pub expires_at: Option<Timestamp>,
    pub remove_on_expiry: bool,
    /// The generation that is known to be in the file; `None` until somebody looked.
    pub in_file: Option<i64>,
    /// The generation whose writing and command were stored as given.
    pub handed: Option<i64>,
    /// The file was removed since it was written last.
    pub removed: bool,
    pub failed: Option<Failed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Bring this generation into the file and its command under way.
    HandOver(i64),
    Remove,
    /// Look again then, or when there is a new value.
    Wait(Option<Timestamp>),
}

/// What to do now. A new generation is tried at once, whatever became of the one before.
#[must_use]
pub fn next(facts: &Facts, now: Timestamp) -> Step {
    let held_back = |generation: i64| {
        let failed = facts.failed.filter(|failed| failed.generation == generation);
        // A wait that is longer was counted by a clock that was put back.
        failed.map(|failed| failed.retry_at).filter(|at| now < *at && at.since(now) <= LONGEST)
    };
    let expiry = facts.expires_at.filter(|_| facts.remove_on_expiry && !facts.removed);
    if let Some(generation) = facts.usable {
        if facts.in_file == Some(generation) && facts.handed == Some(generation) {
            return Step::Wait(expiry);
        }
        return held_back(generation).map_or(Step::HandOver(generation), |at| Step::Wait(Some(at)));
    }
    match expiry {
        Some(at) if now < at => Step::Wait(Some(at)),
        Some(_) => held_back(REMOVAL).map_or(Step::Remove, |at| Step::Wait(Some(at))),
        None => Step::Wait(None),
    }
}

/// Stands for a removal where [`Failed`] names a generation.
pub const REMOVAL: i64 = -1;

/// How long to wait after so many failures in a row: doubling from a second to a minute.
#[must_use]
pub fn wait(failures: u32) -> Duration {
    let doubled = 1_u32 << failures.saturating_sub(1).min(16);
    Duration::from_secs(1).saturating_mul(doubled).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp(NOW.0 + seconds * 1_000)
    }

    fn fresh() -> Facts {
        Facts {
            usable: Some(3),
            expires_at: Some(at(60)),
            in_file: Some(3),
            handed: Some(3),
            ..Facts::default()
        }
    }

    #[test]
    fn a_usable_value_is_handed_over_once() {
        let failed = |generation, seconds| Some(Failed { generation, retry_at: at(seconds) });
        let table = [
            (fresh(), Step::Wait(None)),
            (Facts { remove_on_expiry: true, ..fresh() }, Step::Wait(Some(at(60)))),
            (Facts { in_file: None, ..fresh() }, Step::HandOver(3)),
            (Facts { in_file: Some(2), ..fresh() }, Step::HandOver(3)),
            // Written, and killed before the command was on its way.
            (Facts { handed: Some(2), ..fresh() }, Step::HandOver(3)),
            (Facts { handed: None, ..fresh() }, Step::HandOver(3)),
            (Facts { in_file: None, failed: failed(3, 5), ..fresh() }, Step::Wait(Some(at(5)))),
            (Facts { in_file: None, failed: failed(3, 0), ..fresh() }, Step::HandOver(3)),
            (Facts { in_file: None, failed: failed(2, 5), ..fresh() }, Step::HandOver(3)),
        ];
        for (facts, step) in table {
            assert_eq!(next(&facts, NOW), step, "{facts:?}");
        }
    }

    #[test]
    fn an_expired_value_goes_where_it_shall() {
        let expired =
            Facts { usable: None, expires_at: Some(at(-1)), remove_on_expiry: true, ..fresh() };
        let failed = Some(Failed { generation: REMOVAL, retry_at: at(5) });
        let table = [
            (expired, Step::Remove),
            // Also after a restart.
            (Facts { in_file: None, ..expired }, Step::Remove),
            (Facts { removed: true, ..expired }, Step::Wait(None)),
            (Facts { remove_on_expiry: false, ..expired }, Step::Wait(None)),
            // Dropped by a 401, or in the leeway before its end.
            (Facts { expires_at: Some(at(9)), ..expired }, Step::Wait(Some(at(9)))),
            (Facts { expires_at: None, ..expired }, Step::Wait(None)),
            (Facts { failed, ..expired }, Step::Wait(Some(at(5)))),
            (Facts { usable: Some(4), ..expired }, Step::HandOver(4)),
        ];
        for (facts, step) in table {
            assert_eq!(next(&facts, NOW), step, "{facts:?}");
        }
    }

    #[test]
    fn waits_grow_to_a_minute() {
        let waits: Vec<u64> = (1..=8).map(|n| wait(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(wait(u32::MAX), LONGEST);
    }

    #[test]
    fn a_clock_that_was_put_back_holds_nothing_up() {
        let failed = Some(Failed { generation: 3, retry_at: at(365 * 86_400) });
        let facts = Facts { in_file: None, failed, ..fresh() };
        assert_eq!(next(&facts, NOW), Step::HandOver(3));
    }
}
