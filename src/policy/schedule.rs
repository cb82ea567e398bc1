//! When the occurrences of a cron expression are, and what becomes of those that passed while
//! nothing ran. `docs/schedules.md` says the same to people.

pub mod fields;
pub mod misfire;
mod zone;

#[cfg(test)]
mod tests;

use std::str::FromStr as _;

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;

pub use self::fields::CronError;
use self::fields::Fields;
use crate::types::Timestamp;

/// Why there is no such timetable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimetableError {
    #[error("{0}")]
    Cron(#[from] CronError),
    #[error("`{0}` is not a time zone: write a name such as Europe/Berlin, or UTC")]
    Zone(String),
}

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct Timetable {
    /// Local times; two where either field of days is enough.
    local: Vec<cron::Schedule>,
    /// Its hours begin with `*`: it goes by time that passes and not by the clock on the wall.
    by_the_hour: bool,
    zone: Tz,
}

impl Timetable {
    pub fn read(cron: &str, zone: &str) -> Result<Self, TimetableError> {
        let named = Tz::from_str(zone).map_err(|_| TimetableError::Zone(zone.to_owned()))?;
        let fields = Fields::read(cron)?;
        let local = fields.expressions().into_iter().map(|text| {
            cron::Schedule::from_str(&text).map_err(|error| CronError::whole(error.to_string()))
        });
        let local = local.collect::<Result<_, _>>()?;
        let timetable = Self { local, by_the_hour: fields.by_the_hour(), zone: named };
        let leap_day = DateTime::UNIX_EPOCH.naive_utc();
        if timetable.next_local(leap_day).is_none() {
            return Err(CronError::day("never comes: no such month has that day").into());
        }
        Ok(timetable)
    }

    /// The first occurrence after an instant; `None` where there is none before 2100.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = DateTime::<Utc>::from_timestamp_millis(after.0)?;
        let next = if self.by_the_hour { self.next_passing(after) } else { self.next_fixed(after) };
        Some(Timestamp(next?.timestamp_millis()))
    }

    /// The last occurrence after `from` and not after `until`.
    #[must_use]
    pub fn last(&self, from: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let within = |after: i64| self.next(Timestamp(after)).filter(|at| *at <= until);
        // What comes next only ever grows with the time it is asked for.
        let (mut low, mut high) = (from.0, until.0);
        let mut last = within(low)?;
        while low < high {
            let middle = low.midpoint(high).max(last.0);
            if middle >= high {
                break;
            }
            match within(middle) {
                Some(at) => (low, last) = (middle, at),
                None => high = middle,
            }
        }
        Some(last)
    }

    fn next_local(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let next = |one: &cron::Schedule| one.after(&after.and_utc()).next();
        Some(self.local.iter().filter_map(next).min()?.naive_utc())
    }

    /// Fixed times: each local time once. One that is skipped comes right after the gap, one that
    /// there is twice comes the first time.
    fn next_fixed(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut local = zone::local(self.zone, after);
        loop {
            local = self.next_local(local)?;
            let at = zone::first(self.zone, local)?;
            if at > after {
                return Some(at);
            }
        }
    }

    /// By the hour: every instant whose local time fits, so none in a gap, and those of a repeated
    /// hour twice.
    fn next_passing(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut local = zone::local(self.zone, after);
        let repeated = zone::repeats(self.zone, after);
        loop {
            local = self.next_local(local)?;
            if let Some(at) = zone::instants(self.zone, local).find(|at| *at > after) {
                // Before that the clock may have been put back to a time that fits too.
                let again = repeated.filter(|back| *back < at);
                return Some(again.and_then(|back| self.at_or_after(back, at)).unwrap_or(at));
            }
        }
    }

    /// The first that fits from the instant on at which the clock is put back, before `end`.
    fn at_or_after(&self, back: DateTime<Utc>, end: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let start = zone::local(self.zone, back) - chrono::TimeDelta::seconds(1);
        let local = self.next_local(start)?;
        zone::instants(self.zone, local).find(|at| *at >= back && *at < end)
    }
}
