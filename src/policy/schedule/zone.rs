//! Local times of a zone, and the instants that they are.

use chrono::{
    DateTime, MappedLocalTime, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Utc,
};
use chrono_tz::Tz;

/// No zone is further from UTC, and none changes twice within so long.
const FAR: TimeDelta = TimeDelta::hours(30);

pub(super) fn local(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    at.naive_utc() + zone.offset_from_utc_datetime(&at.naive_utc()).fix()
}

/// The instants that have this local time, in order: none in a gap, two where it comes twice.
pub(super) fn instants(zone: Tz, local: NaiveDateTime) -> impl Iterator<Item = DateTime<Utc>> {
    let (one, other) = match zone.from_local_datetime(&local) {
        MappedLocalTime::None => (None, None),
        MappedLocalTime::Single(at) => (Some(at.to_utc()), None),
        MappedLocalTime::Ambiguous(a, b) => (Some(a.min(b).to_utc()), Some(a.max(b).to_utc())),
    };
    one.into_iter().chain(other)
}

/// The first instant that has this local time; for a skipped one, the end of the gap.
pub(super) fn first(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    instants(zone, local).next().or_else(|| after_gap(zone, local))
}

fn after_gap(zone: Tz, skipped: NaiveDateTime) -> Option<DateTime<Utc>> {
    let around = skipped.and_utc();
    let (low, high) = (around.checked_sub_signed(FAR)?, around.checked_add_signed(FAR)?);
    Some(boundary(low, high, |at| local(zone, at) >= skipped))
}

/// When the clock is put back next, if the local time of this instant comes again then.
pub(super) fn repeats(zone: Tz, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let again = instants(zone, local(zone, at)).nth(1).filter(|again| *again > at)?;
    let offset = zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let other = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix() != offset;
    Some(boundary(at, again, other))
}

/// The first whole second after `low`, and not after `high`, at which it is `so`.
fn boundary(
    low: DateTime<Utc>,
    high: DateTime<Utc>,
    so: impl Fn(DateTime<Utc>) -> bool,
) -> DateTime<Utc> {
    let (mut low, mut high) = (low.timestamp(), high.timestamp());
    let instant = |second| DateTime::from_timestamp(second, 0).unwrap_or_default();
    while high - low > 1 {
        let middle = low.midpoint(high);
        if so(instant(middle)) { high = middle } else { low = middle }
    }
    instant(high)
}
