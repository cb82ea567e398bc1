//! What was seen of one condition (a kind, or a status of it), by age.

/// Half octaves from a minute to some sixty days; the first bin is all that is younger.
pub const BINS: usize = 34;
const FIRST_S: f64 = 60.0;

/// After so many events, what was seen before them counts about a third.
const MEMORY: f32 = 3_000.0;

/// Time at risk and what happened in it, by age.
#[derive(Debug, Clone, PartialEq)]
pub struct Ages {
    /// Seconds that follows were watched in this bin, also those of follows that never came to
    /// an event: they were cancelled, or are still live.
    pub(super) exposure: [f32; BINS],
    /// Completions; in fractions where it is not known in which bin one was.
    pub(super) events: [f32; BINS],
    /// Changes to another status.
    pub(super) changes: [f32; BINS],
}

impl Default for Ages {
    fn default() -> Self {
        Self { exposure: [0.0; BINS], events: [0.0; BINS], changes: [0.0; BINS] }
    }
}

/// The bin of an age in seconds.
pub(super) fn bin(age_s: f64) -> usize {
    if age_s < FIRST_S {
        return 0;
    }
    ((age_s / FIRST_S).log2() * 2.0) as usize + 1
}

impl Ages {
    pub(super) fn watched(&mut self, bin: usize, seconds: f64) {
        self.exposure[bin.min(BINS - 1)] += seconds as f32;
    }

    pub(super) fn completed(&mut self, bin: usize, share: f64) {
        self.events[bin.min(BINS - 1)] += share as f32;
    }

    pub(super) fn changed(&mut self, bin: usize, share: f64) {
        self.changes[bin.min(BINS - 1)] += share as f32;
    }

    /// With each completion: what was long ago counts less and less.
    pub(super) fn forget(&mut self) {
        let keep = 1.0 - 1.0 / MEMORY;
        for one in self.exposure.iter_mut().chain(&mut self.events).chain(&mut self.changes) {
            *one *= keep;
        }
    }

    /// Completions per second at risk, of all ages together, drawn towards `guess` by as much as
    /// one event is worth.
    pub(super) fn level(&self, guess: f64) -> f64 {
        let sum = |values: &[f32; BINS]| values.iter().map(|one| f64::from(*one)).sum::<f64>();
        (sum(&self.events) + 1.0) / (sum(&self.exposure) + 1.0 / guess)
    }

    /// Completions per second at risk in a bin, drawn towards `prior` in the same way.
    pub(super) fn hazard(&self, bin: usize, prior: f64) -> f64 {
        (around(&self.events, bin) + 1.0) / (around(&self.exposure, bin) + 1.0 / prior)
    }

    /// Changes of the status per second. Ten minutes more keep one change from being everything.
    pub(super) fn change_rate(&self, bin: usize) -> f64 {
        around(&self.changes, bin) / (around(&self.exposure, bin) + 600.0)
    }
}

/// A bin and, with half the weight, its neighbours: hazards vary slowly over the logarithm of the
/// age, and a bin that happens to be empty should not mean that nothing happens there.
fn around(values: &[f32; BINS], bin: usize) -> f64 {
    let bin = bin.min(BINS - 1);
    let at = |bin: usize| values.get(bin).map_or(0.0, |one| f64::from(*one));
    at(bin) + 0.5 * (bin.checked_sub(1).map_or(0.0, at) + at(bin + 1))
}
