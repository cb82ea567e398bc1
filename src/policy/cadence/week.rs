//! Offices have hours: how much likelier than on average a completion is in one hour of the day
//! and on one day of the week. All in UTC: what is learned needs no time zone.

use crate::types::Timestamp;

const HOUR_MS: i64 = 3_600_000;
const HOURS: usize = 24;
pub(super) const SLOTS: usize = HOURS + 7;

/// After so many completions, what was seen before them counts about a third.
const MEMORY: f32 = 2_000.0;
/// So many expected completions draw a factor towards 1.
const WEIGHT: f64 = 3.0;

/// An hour of the day and a day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    hour: usize,
    day: usize,
}

/// Completions that came, and those that were expected without any rhythm: 24 hours, then 7 days.
#[derive(Debug, Clone, PartialEq)]
pub struct Week {
    pub(super) came: [f32; SLOTS],
    pub(super) expected: [f32; SLOTS],
    /// How far the rhythm of hours and that of days are believed; from 0 to 1.
    trust: [f64; 2],
}

impl Default for Week {
    fn default() -> Self {
        Self { came: [0.0; SLOTS], expected: [0.0; SLOTS], trust: [0.0; 2] }
    }
}

impl Week {
    pub(super) fn slot(at: Timestamp) -> Slot {
        let hours = at.0.div_euclid(HOUR_MS);
        let hour = hours.rem_euclid(24) as usize;
        let day = hours.div_euclid(24).rem_euclid(7) as usize;
        Slot { hour, day }
    }

    /// Seconds until the next hour begins; at least 15.
    pub(super) fn left_s(at: Timestamp) -> f64 {
        ((HOUR_MS - at.0.rem_euclid(HOUR_MS)) as f64 / 1_000.0).max(15.0)
    }

    /// Whether hours differ at all, as far as is known.
    pub(super) fn is_even(&self) -> bool {
        self.trust.iter().all(|one| *one <= 0.0)
    }

    pub(super) fn factor(&self, slot: Slot) -> f64 {
        self.one(slot.hour) * self.one(HOURS + slot.day)
    }

    fn one(&self, index: usize) -> f64 {
        let trust = self.trust[usize::from(index >= HOURS)];
        if trust <= 0.0 { 1.0 } else { self.ratio(index).powf(trust) }
    }

    fn ratio(&self, index: usize) -> f64 {
        (f64::from(self.came[index]) + WEIGHT) / (f64::from(self.expected[index]) + WEIGHT)
    }

    /// `base`: completions that were expected without a rhythm.
    pub(super) fn add(&mut self, slot: Slot, came: f64, base: f64) {
        let (hour, day) = (self.one(slot.hour), self.one(HOURS + slot.day));
        self.came[slot.hour] += came as f32;
        self.expected[slot.hour] += (base * day) as f32;
        self.came[HOURS + slot.day] += came as f32;
        self.expected[HOURS + slot.day] += (base * hour) as f32;
    }

    pub(super) fn forget(&mut self) {
        let keep = 1.0 - 1.0 / MEMORY;
        self.came.iter_mut().chain(&mut self.expected).for_each(|one| *one *= keep);
        self.weigh();
    }

    /// Decides how far the rhythms are believed: not at all where they are no larger than chance
    /// would make them (James and Stein's shrinkage).
    pub(super) fn weigh(&mut self) {
        self.trust = [self.beyond_chance(0..HOURS), self.beyond_chance(HOURS..SLOTS)];
    }

    fn beyond_chance(&self, slots: std::ops::Range<usize>) -> f64 {
        let freedom = (slots.len() - 1) as f64;
        let off = |index: usize| {
            let (came, expected) = (f64::from(self.came[index]), f64::from(self.expected[index]));
            (came - expected).powi(2) / (expected + 1.0)
        };
        let seen: f64 = slots.map(off).sum();
        (1.0 - freedom / seen.max(freedom)).max(0.0)
    }
}
