//! The price of a poll, λ: how much expected waiting must have come together before it is paid.
//!
//! A poll of a follow whose hazard is constant should come when `∫ (1 / S − 1) dt` since the last
//! one reaches λ, S being the likelihood that it is not yet complete: that is the condition of
//! Barlow, Hunter and Proschan ("Optimum Checking Procedures", 1963) for the least waiting at a
//! given number of polls. While S is near 1 it is the expected waiting itself, `∫ (1 − S) dt`;
//! where a completion is likely it grows faster. For hazards that vary it is an approximation,
//! and a simulation says how good (`make bench-cadence`).

use super::model::{Model, Subject, after};
use crate::types::Timestamp;

/// The price of one budget, as a multiple of what an even share costs, so that it stays right when
/// there are suddenly twice as many follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    factor: f64,
}

impl Default for Price {
    fn default() -> Self {
        Self { factor: 1.0 }
    }
}

/// Far beyond what a budget needs, and near enough to come back from.
const BOUNDS: (f64, f64) = (1e-3, 1e3);
/// How fast it follows. Slow: it should stand still over nights and weekends, when what is not
/// spent will be worth more in the morning.
const GAIN: f64 = 0.05;
/// How much faster it rises while the budget is scarce,
const SCARCE: f64 = 6.0;
/// and the logarithm of how much dearer a poll is meanwhile.
const DEARER: f64 = 2.0;

impl Price {
    /// A persisted price; nonsense is taken for none.
    #[must_use]
    pub fn restored(factor: f64) -> Self {
        if factor.is_finite() {
            Self { factor: factor.clamp(BOUNDS.0, BOUNDS.1) }
        } else {
            Self::default()
        }
    }

    #[must_use]
    pub const fn factor(self) -> f64 {
        self.factor
    }

    /// λ in seconds of waiting, where an even share is a poll of each follow every `even_s`.
    #[must_use]
    /// While the budget is scarce (`scarcity`, from 0 to 1) it is dearer at once.
    pub fn lambda(self, level: f64, even_s: f64, scarcity: f64) -> f64 {
        let dearer = (DEARER * scarcity).exp();
        dearer * self.factor * level * even_s * even_s / 2.0
    }

    /// Moves the price after each poll so that intervals are on average those of an even share:
    /// the mean over polls of an interval is the number of follows by the rate of polls. Nothing
    /// in this reads a clock, so that downtime and clock steps do not mislead it. Others use
    /// the budget as well: where it is scarce, intervals become longer.
    pub fn settle(&mut self, interval_s: f64, even_s: f64, follows: f64, scarcity: f64) {
        let off = 1.0 - interval_s / even_s + SCARCE * scarcity;
        let by = (off * GAIN / (20.0 + follows)).clamp(-0.3, 0.3);
        self.factor = (self.factor * by.exp()).clamp(BOUNDS.0, BOUNDS.1);
    }
}

/// How many seconds after `now`, when it was polled, the expected waiting of a follow reaches
/// `lambda`; at most `most_s`.
#[must_use]
pub fn wait_s(model: &Model, of: &Subject, now: Timestamp, lambda: f64, most_s: f64) -> f64 {
    let level = model.level();
    let (mut passed, mut waiting, mut alive) = (0.0, 0.0, 1.0);
    while passed < most_s {
        let step = model.step(level, of, after(now, passed));
        let rate = step.worth.max(1e-12);
        let grown = |s: f64| (rate * s).exp_m1() / (rate * alive) - s;
        // An overflow to infinity is more than any price.
        if waiting + grown(step.seconds) < lambda {
            waiting += grown(step.seconds);
            alive *= (-rate * step.seconds).exp();
            passed += step.seconds;
        } else {
            return (passed + bisect(step.seconds, |s| waiting + grown(s) < lambda)).min(most_s);
        }
    }
    most_s
}

/// Where between 0 and `end` a growing condition ceases to hold.
fn bisect(end: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, end);
    for _ in 0..24 {
        let middle = f64::midpoint(low, high);
        if holds(middle) { low = middle } else { high = middle }
    }
    high
}
