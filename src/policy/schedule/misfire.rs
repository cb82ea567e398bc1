//! What becomes of occurrences that have come.

use std::time::Duration;

use super::Timetable;
use crate::{config::Misfire, types::Timestamp};

/// An occurrence that is not later than this is on time: a restart misses none.
pub const ON_TIME: Duration = Duration::from_mins(1);
/// The most that `catch_up` makes up for; of more, the newest.
pub const MOST_CAUGHT_UP: usize = 100;
/// Missed ones are counted up to here.
const MOST_COUNTED: usize = 1_000;

/// What is to be done, all at once or one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Occurrences to be run, in their order.
    pub fire: Vec<Timestamp>,
    /// How many passed while nothing ran.
    pub missed: usize,
    /// Of which so many are not run themselves.
    pub skipped: usize,
    /// There were more than were counted.
    pub more: bool,
    /// The first occurrence that is not decided yet; `None` where none comes any more.
    pub next: Option<Timestamp>,
}

/// Decides over everything from `first` (an occurrence) until now. `deadline` is counted from the
/// occurrence: one that is over when it would be run is not.
#[must_use]
pub fn decide(
    timetable: &Timetable,
    rule: Misfire,
    deadline: Option<Duration>,
    first: Timestamp,
    now: Timestamp,
) -> Decision {
    if first > now {
        return Decision { next: Some(first), ..Decision::default() };
    }
    let on_time_from = now.minus(ON_TIME);
    let mut fire = on_time(timetable, first, now);
    let before = Timestamp(first.0.saturating_sub(1));
    let last_missed = Timestamp(on_time_from.0.saturating_sub(1));
    let (missed, more) = count(timetable, before, last_missed);
    let made_up = match rule {
        Misfire::Skip => vec![],
        // One run stands for all: one that is on time does too.
        Misfire::Coalesce if !fire.is_empty() => vec![],
        Misfire::Coalesce => timetable.last(before, last_missed).into_iter().collect(),
        Misfire::CatchUp => newest(timetable, before, last_missed),
    };
    let over = |at: &Timestamp| deadline.is_some_and(|deadline| at.plus(deadline) <= now);
    let made_up: Vec<Timestamp> = made_up.into_iter().filter(|at| !over(at)).collect();
    let skipped = missed.saturating_sub(made_up.len());
    fire.splice(0..0, made_up);
    Decision { fire, missed, skipped, more, next: timetable.next(now) }
}

/// What has come and is on time: what is to be run while nothing may be said of the others.
#[must_use]
pub fn on_time(timetable: &Timetable, first: Timestamp, now: Timestamp) -> Vec<Timestamp> {
    let from = first.max(now.minus(ON_TIME));
    between(timetable, Timestamp(from.0.saturating_sub(1)), now).collect()
}

/// The occurrences after `after` and not after `until`.
fn between(
    timetable: &Timetable,
    after: Timestamp,
    until: Timestamp,
) -> impl Iterator<Item = Timestamp> {
    let next = move |at: &Timestamp| timetable.next(*at).filter(|at| *at <= until);
    std::iter::successors(next(&after), next)
}

fn count(timetable: &Timetable, after: Timestamp, until: Timestamp) -> (usize, bool) {
    let count = between(timetable, after, until).take(MOST_COUNTED + 1).count();
    (count.min(MOST_COUNTED), count > MOST_COUNTED)
}

/// The newest of them, oldest first.
fn newest(timetable: &Timetable, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let previous = |at: &Timestamp| timetable.last(after, Timestamp(at.0.saturating_sub(1)));
    let last = timetable.last(after, until);
    let mut newest: Vec<Timestamp> =
        std::iter::successors(last, previous).take(MOST_CAUGHT_UP).collect();
    newest.reverse();
    newest
}
