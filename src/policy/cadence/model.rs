//! How likely a follow is to complete in the next second, learned from those before it.
//!
//! Learning is online and from polls alone: each tells that for so long nothing happened, or that
//! in this interval something did. A follow that is cancelled has told how long it had not been
//! complete, and that is right. Memory is some kilobytes for each kind of each account.

use std::collections::BTreeMap;

use super::{
    ages::{self, Ages},
    week::{Slot, Week},
};
use crate::types::Timestamp;

/// A status as a keyed hash: what is kept for learning tells nothing of anybody.
pub type StatusKey = [u8; 16];

/// Statuses of one kind that are learned each by itself; further ones are known by their age only.
pub const MOST_STATUSES: usize = 32;

/// Completions per second before anything is known, for the first step only: everything is
/// relative to it.
const FIRST_GUESS: f64 = 1.0 / 86_400.0;

/// What seeing another status is worth, beside seeing the completion: little, but a status from
/// which nobody ever completes at once must be looked at all the same.
const CHANGE_WORTH: f64 = 0.1;

/// What is known of a follow when it has just been polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// When the follow began.
    pub began: Timestamp,
    /// When its status was first seen; `began` where none was.
    pub since: Timestamp,
    pub status: Option<StatusKey>,
}

/// What a poll found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Same,
    /// Another status.
    Changed,
    Complete,
}

/// The completion times of one kind of one account. Empty, it takes all follows for equal, which
/// makes the cadence an even share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    /// All follows, by the time since they began.
    pub(super) pool: Ages,
    /// By status, by the time since it was first seen.
    pub(super) statuses: BTreeMap<StatusKey, Ages>,
    pub(super) week: Week,
}

/// A stretch of time in which the hazard is taken for constant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) seconds: f64,
    /// Per second, of completion and, for a little, of another status.
    pub(super) worth: f64,
    /// Of completion alone.
    hazard: f64,
    /// By how much the hour and the day change it.
    factor: f64,
    slot: Slot,
    pool_bin: usize,
    status_bin: usize,
}

impl Model {
    /// Completions per second at risk, all ages together.
    #[must_use]
    pub fn level(&self) -> f64 {
        self.pool.level(FIRST_GUESS)
    }

    /// What comes after `at`: a step that is short for the follow's age.
    pub(super) fn step(&self, level: f64, of: &Subject, at: Timestamp) -> Step {
        let (age_s, status_s) = (seconds(of.began, at), seconds(of.since, at));
        let hour_s = if self.week.is_even() { f64::MAX } else { Week::left_s(at) };
        let seconds = (status_s * 0.2).max(15.0).min(hour_s);
        let slot = Week::slot(after(at, seconds / 2.0));
        let factor = self.week.factor(slot);
        let pool_bin = ages::bin(age_s + seconds / 2.0);
        let status_bin = ages::bin(status_s + seconds / 2.0);
        let pooled = self.pool.hazard(pool_bin, level);
        let known = of.status.and_then(|status| self.statuses.get(&status));
        let (hazard, change) = known.map_or((pooled, 0.0), |ages| {
            (ages.hazard(status_bin, pooled), ages.change_rate(status_bin))
        });
        let worth = (hazard + CHANGE_WORTH * change) * factor;
        Step { seconds, worth, hazard: hazard * factor, factor, slot, pool_bin, status_bin }
    }

    /// Learns from one poll at `to`, the one before having been at `from`. `false` where there is
    /// nothing to learn, as from a clock that went back.
    pub fn learn(&mut self, of: &Subject, from: Timestamp, to: Timestamp, found: Found) -> bool {
        let steps = self.between(of, from, to);
        let mass: f64 = steps.iter().map(|one| one.1).sum();
        if steps.is_empty() || mass <= 0.0 {
            return false;
        }
        let Self { pool, statuses, week } = self;
        let mut nowhere = Ages::default();
        let own = match of.status {
            Some(key) if statuses.len() < MOST_STATUSES => statuses.entry(key).or_default(),
            Some(key) => statuses.get_mut(&key).unwrap_or(&mut nowhere),
            None => &mut nowhere,
        };
        let mut before = 0.0;
        for (step, dies) in steps {
            // Where in the interval it happened is not known: everywhere by its likelihood.
            let part = if found == Found::Same { 0.0 } else { dies / mass };
            let watched = step.seconds * (1.0 - before - part / 2.0);
            before += part;
            pool.watched(step.pool_bin, watched * step.factor);
            own.watched(step.status_bin, watched * step.factor);
            let came = if found == Found::Complete { part } else { 0.0 };
            week.add(step.slot, came, watched * step.hazard / step.factor);
            pool.completed(step.pool_bin, came);
            own.completed(step.status_bin, came);
            own.changed(step.status_bin, part - came);
        }
        if found == Found::Complete {
            pool.forget();
            own.forget();
            week.forget();
        }
        true
    }

    /// The steps from one poll to the next, each with the likelihood that it completed there.
    fn between(&self, of: &Subject, from: Timestamp, to: Timestamp) -> Vec<(Step, f64)> {
        let level = self.level();
        let (mut at, mut alive) = (from, 1.0);
        let mut steps = vec![];
        while at < to {
            let mut step = self.step(level, of, at);
            step.seconds = step.seconds.min(seconds(at, to)).max(0.001);
            // Never quite nothing: what did happen must have had some chance.
            let dies = alive * -(-step.hazard * step.seconds).exp_m1() + 1e-12 * step.seconds;
            alive = (alive - dies).max(0.0);
            steps.push((step, dies));
            at = after(at, step.seconds);
        }
        steps
    }
}

/// Seconds from one time to another; none if the clock went back meanwhile.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.0.saturating_sub(from.0).max(0) as f64 / 1_000.0
}

/// So many seconds later, at least a millisecond.
pub(super) fn after(at: Timestamp, seconds: f64) -> Timestamp {
    Timestamp(at.0.saturating_add(((seconds * 1_000.0) as i64).max(1)))
}
