use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Timelike as _};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::{misfire::decide, *};
use crate::config::Misfire;

const VANCOUVER: &str = "America/Vancouver";
const BERLIN: &str = "Europe/Berlin";
/// Half an hour of daylight saving.
const LORD_HOWE: &str = "Australia/Lord_Howe";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn of(cron: &str, zone: &str) -> Timetable {
    Timetable::read(cron, zone).unwrap()
}

/// The next ones, as the clock on the wall there shows them, with the offset.
fn shown(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let timetable = of(cron, zone);
    let mut last = at(after);
    let mut shown = vec![];
    for _ in 0..count {
        last = timetable.next(last).unwrap();
        let utc = DateTime::<Utc>::from_timestamp_millis(last.0).unwrap();
        let local = utc.with_timezone(&timetable.zone);
        shown.push(local.format("%a %m-%d %H:%M:%S %:z").to_string());
    }
    shown
}

fn wrong(cron: &str) -> String {
    Timetable::read(cron, "UTC").unwrap_err().to_string()
}

#[test]
fn fields_are_those_of_vixie_cron() {
    let next = |cron| shown(cron, "UTC", "2026-01-01T00:00:00Z", 3); // a Thursday
    let table = [
        ("0 3 * * *", ["Thu 01-01 03:00:00", "Fri 01-02 03:00:00", "Sat 01-03 03:00:00"]),
        ("0 3 * * 0", ["Sun 01-04 03:00:00", "Sun 01-11 03:00:00", "Sun 01-18 03:00:00"]),
        ("0 3 * * 7", ["Sun 01-04 03:00:00", "Sun 01-11 03:00:00", "Sun 01-18 03:00:00"]),
        ("0 3 * * 1", ["Mon 01-05 03:00:00", "Mon 01-12 03:00:00", "Mon 01-19 03:00:00"]),
        ("0 3 * * 5-7", ["Fri 01-02 03:00:00", "Sat 01-03 03:00:00", "Sun 01-04 03:00:00"]),
        ("0 3 * * sat-SUN", ["Sat 01-03 03:00:00", "Sun 01-04 03:00:00", "Sat 01-10 03:00:00"]),
        ("0 3 * feb mon", ["Mon 02-02 03:00:00", "Mon 02-09 03:00:00", "Mon 02-16 03:00:00"]),
        // Both days: either is enough.
        ("0 3 13 * 5", ["Fri 01-02 03:00:00", "Fri 01-09 03:00:00", "Tue 01-13 03:00:00"]),
        // A field that begins with a star does not count as given.
        ("0 3 */2 * 5", ["Fri 01-09 03:00:00", "Fri 01-23 03:00:00", "Fri 02-13 03:00:00"]),
        ("*/20 1-5/4 * * *", ["Thu 01-01 01:00:00", "Thu 01-01 01:20:00", "Thu 01-01 01:40:00"]),
        ("15,45 30 3 * * *", ["Thu 01-01 03:30:15", "Thu 01-01 03:30:45", "Fri 01-02 03:30:15"]),
        ("@daily", ["Fri 01-02 00:00:00", "Sat 01-03 00:00:00", "Sun 01-04 00:00:00"]),
        ("0 0 31 * *", ["Sat 01-31 00:00:00", "Tue 03-31 00:00:00", "Sun 05-31 00:00:00"]),
    ];
    for (cron, expected) in table {
        assert_eq!(next(cron), expected.map(|one| format!("{one} +00:00")), "{cron}");
    }
    assert_eq!(
        shown("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1),
        ["Tue 02-29 00:00:00 +00:00"]
    );
}

#[test]
fn mistakes_name_the_field_and_why() {
    let table = [
        ("60 3 * * *", "minute (`60`): `60` is not a number from 0 to 59"),
        ("0 24 * * *", "hour (`24`): `24` is not a number from 0 to 23"),
        ("0 3 0 * *", "day of month (`0`): `0` is not a number from 1 to 31"),
        ("0 3 * 13 *", "month (`13`): `13` is not a number from 1 to 12, or jan to dec"),
        ("0 3 * * 8", "weekday (`8`): `8` is not a number from 0 to 7, or sun to sat"),
        ("0 3 * * fry", "weekday (`fry`): `fry` is not a number from 0 to 7, or sun to sat"),
        ("61 0 3 * * *", "second (`61`): `61` is not a number from 0 to 59"),
        ("5/15 3 * * *", "minute (`5/15`): a step needs a range: write 5-59/… or */…"),
        ("*/0 3 * * *", "minute (`*/0`): `0` is not a step: write a number from 1 on"),
        ("0 22-2 * * *", "hour (`22-2`): the range ends before it begins: write 22-23,0-2"),
        ("0 3 ? * 1", "day of month (`?`): `?` is not a number from 1 to 31"),
        ("0 3 L * *", "day of month (`L`): `L` is not a number from 1 to 31"),
        ("0 3 1, * *", "day of month (`1,`): `` is not a number from 1 to 31"),
        ("+5 3 * * *", "minute (`+5`): `+5` is not a number from 0 to 59"),
        ("0 3 * *", "has 4 fields: write five, or six with the seconds first"),
        ("0 3 30 2 *", "never comes: no such month has that day"),
        (
            "@reboot",
            "`@reboot` is no such word; known: @yearly, @annually, @monthly, @weekly, @daily, \
             @midnight, @hourly",
        ),
    ];
    for (cron, expected) in table {
        assert_eq!(wrong(cron), expected, "{cron}");
    }
    let zone = Timetable::read("0 3 * * *", "Europe/Bern").unwrap_err().to_string();
    assert_eq!(
        zone,
        "`Europe/Bern` is not a time zone: write a name such as Europe/Berlin, or UTC"
    );
}

#[test]
fn a_skipped_time_comes_once_right_after_the_gap() {
    // Vancouver, 8 March 2026: 02:00 is 03:00.
    let next = |cron| shown(cron, VANCOUVER, "2026-03-08T09:00:00Z", 3);
    assert_eq!(
        next("30 2 * * *"),
        ["Sun 03-08 03:00:00 -07:00", "Mon 03-09 02:30:00 -07:00", "Tue 03-10 02:30:00 -07:00"]
    );
    assert_eq!(
        next("*/10 2 * * *"),
        ["Sun 03-08 03:00:00 -07:00", "Mon 03-09 02:00:00 -07:00", "Mon 03-09 02:10:00 -07:00"],
        "all that was skipped is one"
    );
    assert_eq!(
        next("0 2,3 * * *"),
        ["Sun 03-08 03:00:00 -07:00", "Mon 03-09 02:00:00 -07:00", "Mon 03-09 03:00:00 -07:00"]
    );
    // Berlin, 29 March 2026; Lord Howe, 4 October 2026: 02:00 is 02:30.
    assert_eq!(
        shown("15 2 * * *", BERLIN, "2026-03-28T12:00:00Z", 2),
        ["Sun 03-29 03:00:00 +02:00", "Mon 03-30 02:15:00 +02:00"]
    );
    assert_eq!(
        shown("15 2 * * *", LORD_HOWE, "2026-10-03T00:00:00Z", 2),
        ["Sun 10-04 02:30:00 +11:00", "Mon 10-05 02:15:00 +11:00"]
    );
    // A day that never was: Samoa went over the date line after 29 December 2011.
    assert_eq!(
        shown("0 3 * * *", "Pacific/Apia", "2011-12-29T13:30:00Z", 2),
        ["Sat 12-31 00:00:00 +14:00", "Sat 12-31 03:00:00 +14:00"]
    );
}

#[test]
fn a_repeated_time_comes_once() {
    // Vancouver, 1 November 2026: 02:00 is 01:00 again.
    assert_eq!(
        shown("30 1 * * *", VANCOUVER, "2026-11-01T07:30:00Z", 2),
        ["Sun 11-01 01:30:00 -07:00", "Mon 11-02 01:30:00 -08:00"]
    );
    assert_eq!(
        shown("*/30 1 * * *", VANCOUVER, "2026-11-01T07:30:00Z", 3),
        ["Sun 11-01 01:00:00 -07:00", "Sun 11-01 01:30:00 -07:00", "Mon 11-02 01:00:00 -08:00"]
    );
    // Asked in the midst of the second time.
    assert_eq!(
        shown("30 1 * * *", VANCOUVER, "2026-11-01T09:10:00Z", 1),
        ["Mon 11-02 01:30:00 -08:00"]
    );
    assert_eq!(
        shown("30 2 * * *", BERLIN, "2026-10-24T22:30:00Z", 2),
        ["Sun 10-25 02:30:00 +02:00", "Mon 10-26 02:30:00 +01:00"]
    );
    // Lord Howe, 5 April 2026: 02:00 is 01:30 again.
    assert_eq!(
        shown("45 1 * * *", LORD_HOWE, "2026-04-04T12:00:00Z", 2),
        ["Sun 04-05 01:45:00 +11:00", "Mon 04-06 01:45:00 +10:30"]
    );
}

#[test]
fn what_goes_by_the_hour_goes_by_time_that_passes() {
    assert_eq!(
        shown("30 * * * *", VANCOUVER, "2026-03-08T09:00:00Z", 2),
        ["Sun 03-08 01:30:00 -08:00", "Sun 03-08 03:30:00 -07:00"],
        "nothing is made up for in the gap"
    );
    assert_eq!(
        shown("30 * * * *", VANCOUVER, "2026-11-01T08:00:00Z", 3),
        ["Sun 11-01 01:30:00 -07:00", "Sun 11-01 01:30:00 -08:00", "Sun 11-01 02:30:00 -08:00"]
    );
    assert_eq!(
        shown("0 */2 * * *", BERLIN, "2026-10-24T22:30:00Z", 3),
        ["Sun 10-25 02:00:00 +02:00", "Sun 10-25 02:00:00 +01:00", "Sun 10-25 04:00:00 +01:00"]
    );
    assert_eq!(
        shown("*/20 * * * *", LORD_HOWE, "2026-04-04T14:35:00Z", 5),
        [
            "Sun 04-05 01:40:00 +11:00",
            "Sun 04-05 01:40:00 +10:30",
            "Sun 04-05 02:00:00 +10:30",
            "Sun 04-05 02:20:00 +10:30",
            "Sun 04-05 02:40:00 +10:30",
        ]
    );
    // Not found again a year later, but an hour.
    assert_eq!(
        shown("30 */24 1 11 *", "America/Havana", "2026-11-01T04:00:00Z", 2),
        ["Sun 11-01 00:30:00 -04:00", "Sun 11-01 00:30:00 -05:00"]
    );
}

/// Every instant of a zone between two, minute by minute, that fits by the words of the
/// documentation: what [`Timetable`] must find, found the slow way.
fn slowly(timetable: &Timetable, from: NaiveDateTime, minutes: i64) -> BTreeSet<i64> {
    let zone: Tz = timetable.zone;
    let fits = |local: NaiveDateTime| {
        let before = local - TimeDelta::seconds(1);
        timetable.next_local(before) == Some(local)
    };
    let each = (0..minutes).map(|minute| from + TimeDelta::minutes(minute));
    if timetable.by_the_hour {
        let utc = each.map(|one| one.and_utc());
        return utc
            .filter(|at| fits(zone::local(zone, *at).with_second(0).unwrap()))
            .map(|at| at.timestamp_millis())
            .collect();
    }
    // A day more on both sides, for local times are of other instants.
    let (first, last) = (from.and_utc(), (from + TimeDelta::minutes(minutes)).and_utc());
    let wide = (-1_500..minutes + 1_500).map(|minute| from + TimeDelta::minutes(minute));
    wide.filter(|local| fits(*local))
        .filter_map(|local| zone::first(zone, local))
        .filter(|at| (first..last).contains(at))
        .map(|at| at.timestamp_millis())
        .collect()
}

/// Around a change of the clock.
fn changes() -> impl Strategy<Value = (&'static str, NaiveDate)> {
    let day = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap();
    prop_oneof![
        Just((VANCOUVER, day(2026, 3, 8))),
        Just((VANCOUVER, day(2026, 11, 1))),
        Just((BERLIN, day(2026, 3, 29))),
        Just((BERLIN, day(2026, 10, 25))),
        Just((LORD_HOWE, day(2026, 4, 4))),
        Just((LORD_HOWE, day(2026, 10, 3))),
        Just(("America/Havana", day(2026, 11, 1))),
        Just(("Asia/Kathmandu", day(2026, 5, 5))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_occurrence_is_left_out_and_none_comes_twice(
        (zone, day) in changes(),
        minute in prop_oneof![Just("0"), Just("30"), Just("*/20"), Just("15,45"), Just("10-50/7")],
        hour in prop_oneof![Just("*"), Just("2"), Just("*/2"), Just("0-3"), Just("1,2"), Just("23")],
        days in prop_oneof![Just("* * *"), Just("* * 0"), Just("1-7 * *"), Just("8 * 0")],
    ) {
        let timetable = of(&format!("{minute} {hour} {days}"), zone);
        let from = day.and_hms_opt(0, 0, 0).unwrap() - TimeDelta::hours(20);
        let minutes = 60 * 60;
        let expected = slowly(&timetable, from, minutes);
        let end = Timestamp((from + TimeDelta::minutes(minutes)).and_utc().timestamp_millis());
        let mut found = BTreeSet::new();
        let mut last = Timestamp(from.and_utc().timestamp_millis() - 1);
        while let Some(next) = timetable.next(last).filter(|next| *next < end) {
            prop_assert!(next > last);
            // Whenever it is asked before that, the answer is the same.
            let middle = Timestamp(last.0.midpoint(next.0));
            prop_assert_eq!(timetable.next(middle), Some(next));
            prop_assert_eq!(timetable.next(Timestamp(next.0 - 1)), Some(next));
            prop_assert_eq!(timetable.last(Timestamp(last.0), next), Some(next));
            found.insert(next.0);
            last = next;
        }
        prop_assert_eq!(found, expected);
    }

    /// Whatever was down for however long, looking again and again never runs one twice.
    #[test]
    fn deciding_goes_on_where_it_stopped(
        pauses in proptest::collection::vec(1_u64..20_000, 1..12),
        rule in prop_oneof![Just(Misfire::Skip), Just(Misfire::Coalesce), Just(Misfire::CatchUp)],
    ) {
        let timetable = of("*/7 * * * *", BERLIN);
        let mut now = at("2026-10-24T20:00:00Z");
        let mut next = timetable.next(now);
        let mut fired = vec![];
        let mut passed = 0;
        for pause in pauses {
            now = now.plus(Duration::from_secs(pause));
            let decision = decide(&timetable, rule, None, next.unwrap(), now);
            prop_assert!(decision.fire.iter().all(|at| *at <= now));
            passed += decision.fire.len() + decision.skipped;
            fired.extend(decision.fire);
            prop_assert!(decision.next > Some(now));
            next = decision.next;
        }
        prop_assert!(fired.is_sorted_by(|one, other| one < other));
        let start = at("2026-10-24T20:00:00Z");
        let all = std::iter::successors(timetable.next(start), |at| timetable.next(*at));
        prop_assert_eq!(all.take_while(|at| *at <= now).count(), passed);
    }
}

#[test]
fn missed_ones_are_skipped_folded_or_caught_up_with() {
    let timetable = of("0 * * * *", "UTC");
    let first = at("2026-05-01T01:00:00Z");
    let hour = |hour: u32| at(&format!("2026-05-01T{hour:02}:00:00Z"));
    let decide = |rule, now: &str| decide(&timetable, rule, None, first, at(now));
    // Four missed, the next is to come.
    let later = "2026-05-01T04:30:00Z";
    let skip = decide(Misfire::Skip, later);
    assert_eq!((skip.fire, skip.missed, skip.skipped, skip.next), (vec![], 4, 4, Some(hour(5))));
    let one = decide(Misfire::Coalesce, later);
    assert_eq!((one.fire, one.missed, one.skipped), (vec![hour(4)], 4, 3));
    let all = decide(Misfire::CatchUp, later);
    assert_eq!((all.fire, all.missed, all.skipped), ([1, 2, 3, 4].map(hour).to_vec(), 4, 0));
    // Three missed, and one that is on time.
    let now = "2026-05-01T04:00:20Z";
    assert_eq!(decide(Misfire::Skip, now).fire, [hour(4)]);
    let one = decide(Misfire::Coalesce, now);
    assert_eq!((one.fire, one.skipped), (vec![hour(4)], 3), "it stands for the others too");
    assert_eq!(decide(Misfire::CatchUp, now).fire, [1, 2, 3, 4].map(hour));
    // On time, and not yet.
    let now = decide(Misfire::Skip, "2026-05-01T01:00:00Z");
    assert_eq!((now.fire, now.missed, now.next), (vec![hour(1)], 0, Some(hour(2))));
    let early = decide(Misfire::CatchUp, "2026-05-01T00:59:59Z");
    assert_eq!((early.fire, early.missed, early.next), (vec![], 0, Some(hour(1))));
}

#[test]
fn catching_up_is_bounded_and_counts_no_further_than_it_must() {
    let timetable = of("* * * * * *", "UTC");
    let (first, now) = (at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"));
    let decision = decide(&timetable, Misfire::CatchUp, None, first, now);
    let missed = |at: &&Timestamp| now.since(**at) > misfire::ON_TIME;
    let missed: Vec<&Timestamp> = decision.fire.iter().filter(missed).collect();
    assert_eq!(missed.len(), misfire::MOST_CAUGHT_UP);
    assert_eq!(missed.last().unwrap().to_string(), "2026-12-30T23:58:59.000Z", "the newest");
    assert_eq!(decision.fire.last(), Some(&now));
    assert!(decision.more);
}

#[test]
fn what_is_over_when_it_would_be_run_is_not_run() {
    let timetable = of("0 * * * *", "UTC");
    let (first, now) = (at("2026-05-01T01:00:00Z"), at("2026-05-01T04:30:00Z"));
    let deadline = Some(Duration::from_mins(100));
    let decision = decide(&timetable, Misfire::CatchUp, deadline, first, now);
    assert_eq!(decision.fire, [at("2026-05-01T03:00:00Z"), at("2026-05-01T04:00:00Z")]);
    assert_eq!((decision.missed, decision.skipped), (4, 2));
}
