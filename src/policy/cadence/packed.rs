//! A model as it is kept: numbers of four bytes, little end first, behind a version.

use super::{
    ages::{Ages, BINS},
    model::{MOST_STATUSES, Model, StatusKey},
    week::{SLOTS, Week},
};

const VERSION: u8 = 1;

impl Model {
    /// What is learned of all follows together, or of one status; `None` of one that is unknown.
    #[must_use]
    pub fn packed(&self, status: Option<&StatusKey>) -> Option<Vec<u8>> {
        let ages = status.map_or(Some(&self.pool), |key| self.statuses.get(key))?;
        let week = [self.week.came, self.week.expected];
        let week = if status.is_none() { week.as_flattened() } else { &[] };
        let numbers = [ages.exposure, ages.events, ages.changes];
        let all = numbers.as_flattened().iter().chain(week);
        Some(std::iter::once(VERSION).chain(all.flat_map(|one| one.to_le_bytes())).collect())
    }

    /// Takes back what was packed. `false` where it cannot be read: then it is learned anew.
    pub fn restore(&mut self, status: Option<StatusKey>, packed: &[u8]) -> bool {
        let Some(numbers) = numbers(packed) else { return false };
        let (ages, week) = numbers.split_at(numbers.len().min(3 * BINS));
        let Some(ages) = ages_of(ages) else { return false };
        match status {
            None => {
                let Some(week) = week_of(week) else { return false };
                (self.pool, self.week) = (ages, week);
            }
            Some(_) if self.statuses.len() >= MOST_STATUSES || !week.is_empty() => return false,
            Some(key) => drop(self.statuses.insert(key, ages)),
        }
        true
    }
}

fn numbers(packed: &[u8]) -> Option<Vec<f32>> {
    let (version, bytes) = packed.split_first()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|one| f32::from_le_bytes(*one)).collect();
    let sound = numbers.iter().all(|one| one.is_finite() && *one >= 0.0);
    (*version == VERSION && rest.is_empty() && sound).then_some(numbers)
}

fn ages_of(numbers: &[f32]) -> Option<Ages> {
    let ([exposure, events, changes], []) = numbers.as_chunks::<BINS>() else { return None };
    Some(Ages { exposure: *exposure, events: *events, changes: *changes })
}

fn week_of(numbers: &[f32]) -> Option<Week> {
    let ([came, expected], []) = numbers.as_chunks::<SLOTS>() else { return None };
    let mut week = Week::default();
    (week.came, week.expected) = (*came, *expected);
    week.weigh();
    Some(week)
}
