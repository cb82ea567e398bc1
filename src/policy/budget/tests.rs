use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;

use super::*;

fn limits(texts: &[&str]) -> Vec<Limit> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn spends_and_frees_at_the_end_of_the_bucket_plus_the_window() {
    let mut budget = Budget::new(&limits(&["3/1m"]));
    assert!(budget.take(10_500, 2));
    assert!(!budget.take(10_600, 2), "all or nothing");
    assert_eq!(budget.available(10_600), 1);
    assert!(budget.take(11_200, 1));
    assert_eq!(budget.next_free(12_000, Class::Renewal), Some(71_000));
    assert_eq!(budget.available(70_999), 0);
    assert_eq!(budget.available(71_000), 2);
    assert_eq!(budget.next_free(71_000, Class::Renewal), None);
    assert_eq!(budget.available(72_000), 3);
}

#[test]
fn all_limits_count() {
    let mut budget = Budget::new(&limits(&["100/24h", "3/1m", "5/1m"]));
    assert!(budget.take(0, 3));
    assert!(!budget.take(0, 1));
    let left: Vec<_> = budget.left(62_000).iter().map(|row| (row.used, row.left)).collect();
    assert_eq!(left, [(0, 3), (3, 97)], "one limit a window, the smaller");
}

#[test]
fn without_limits_everything_goes() {
    let mut budget = Budget::new(&[]);
    assert!(budget.take(5, u32::MAX) && budget.take(5, u32::MAX));
    assert_eq!(budget.next_free(5, Class::Follow), None);
    assert_eq!(budget.good_until(5), None);
    assert!(budget.snapshot().is_empty());
}

#[test]
fn unused_permits_return_only_within_their_bucket() {
    let mut budget = Budget::new(&limits(&["10/1m", "100/24h"]));
    assert!(budget.take(10_100, 6));
    assert_eq!(budget.good_until(10_100), Some(11_000));
    budget.give_back(10_100, 10_900, 2);
    assert_eq!(budget.available(10_900), 6);
    budget.give_back(10_100, 11_000, 4);
    let left: Vec<_> = budget.left(11_000).iter().map(|row| row.left).collect();
    assert_eq!(left, [6, 100], "the minute's bucket has passed, the day's has not");
}

#[test]
fn only_changed_buckets_are_persisted() {
    let mut budget = Budget::new(&limits(&["10/1m"]));
    assert!(budget.take(10_100, 2));
    let row = |start_ms, spent| BucketRow { window_ms: 60_000, start_ms, spent };
    assert_eq!(budget.snapshot(), [row(10_000, 2)]);
    assert_eq!(budget.snapshot(), []);
    assert!(budget.take(10_200, 1) && budget.take(11_000, 1));
    assert_eq!(budget.snapshot(), [row(10_000, 3), row(11_000, 1)]);
}

#[test]
fn a_clock_that_goes_back_frees_nothing() {
    let mut budget = Budget::new(&limits(&["2/1m"]));
    assert!(budget.take(100_000, 2));
    assert!(!budget.take(0, 1));
    assert_eq!(budget.next_free(0, Class::Renewal), Some(161_000));
}

#[test]
fn reserves() {
    // (limits, for renewals, for calls, for follows)
    let table: &[(&[&str], u32, u32, u32)] = &[
        (&["1/1m"], 1, 1, 1),
        (&["2/1m"], 2, 1, 1),
        (&["10/1m"], 10, 9, 8),
        (&["240/1m"], 240, 236, 212),
        (&["240/1m", "14400/24h"], 240, 236, 212),
        (&[], u32::MAX, u32::MAX, u32::MAX),
    ];
    for (texts, renewal, call, follow) in table {
        let mut budget = Budget::new(&limits(texts));
        let got = [Class::Renewal, Class::Call, Class::Follow].map(|c| budget.allowance(0, c));
        assert_eq!(got, [*renewal, *call, *follow], "{texts:?}");
    }
}

#[test]
fn follows_leave_a_tenth_of_the_day() {
    let mut budget = Budget::new(&limits(&["240/1m", "14400/24h"]));
    for minute in 0..60 {
        assert!(budget.take(minute * 62_000, 216));
    }
    let hour = 60 * 62_000;
    // 12,960 of 14,400 are spent: exactly a tenth is left.
    assert_eq!(budget.allowance(hour, Class::Follow), 0);
    assert_eq!(budget.allowance(hour, Class::Call), 236);
    // The first 15 minutes are forgotten 24 hours after the end of their bucket.
    assert_eq!(budget.next_free(hour, Class::Follow), Some(87_300_000));
    assert_eq!(budget.next_free(hour, Class::Call), None);
}

#[test]
fn absurd_rows_do_no_harm() {
    for (age_ms, spent) in [(i64::MAX, 3), (i64::MIN, u32::MAX), (i64::MIN, u32::MAX)] {
        let row = SpentBefore { window_ms: 60_000, age_ms, spent };
        let mut budget = Budget::restore(&limits(&["9/1m"]), &[row, row], 1_000);
        assert_eq!(budget.available(1_000), if age_ms > 0 { 9 } else { 0 }, "{age_ms}");
        assert_eq!(budget.available(70_000), 9);
    }
}

#[test]
fn restored_counts_outlive_changed_limits() {
    let before = [
        SpentBefore { window_ms: 60_000, age_ms: 30_000, spent: 5 },
        SpentBefore { window_ms: 86_400_000, age_ms: 5_000_000, spent: 70 },
        SpentBefore { window_ms: 86_400_000, age_ms: 30_000, spent: 5 },
    ];
    // (new limit, spent in it)
    for (text, used) in
        [("10/1m", 5), ("100/24h", 75), ("100/1h", 5), ("100/2h", 75), ("9/48h", 75), ("10/30s", 5)]
    {
        let mut budget = Budget::restore(&limits(&[text]), &before, 1_000);
        assert_eq!(budget.left(1_000)[0].used, used, "{text}");
        let count = budget.left(1_000)[0].limit.count;
        assert_eq!(budget.available(1_000), count.saturating_sub(used), "{text}");
    }
}

/// What a database would hold.
#[derive(Default)]
struct Rows(HashMap<(i64, i64), u32>);

impl Rows {
    fn write(&mut self, rows: Vec<BucketRow>) {
        self.0.extend(rows.into_iter().map(|row| ((row.window_ms, row.start_ms), row.spent)));
    }

    fn read(&self, now: i64) -> Vec<SpentBefore> {
        let row = |(&(window_ms, start), &spent): (&(i64, i64), &u32)| SpentBefore {
            window_ms,
            age_ms: now - start,
            spent,
        };
        self.0.iter().map(row).collect()
    }
}

fn some_limits() -> impl Strategy<Value = Vec<Limit>> {
    let limit = (
        1_u32..20,
        prop::sample::select(vec![1_000_u64, 1_037, 10_000, 60_000, 600_000, 7_200_000]),
    )
        .prop_map(|(count, ms)| Limit { count, window: Duration::from_millis(ms) });
    prop::collection::vec(limit, 1..4)
}

fn assert_no_window_is_exceeded(
    limits: &[Limit],
    sent: &[(i64, u32)],
) -> Result<(), TestCaseError> {
    for limit in limits {
        for (first, (from, _)) in sent.iter().enumerate() {
            let window = sent[first..].iter().take_while(|(at, _)| at - from <= limit.window_ms());
            let total: u32 = window.map(|(_, n)| n).sum();
            prop_assert!(total <= limit.count, "{total} in {limit} from {from}: {sent:?}");
        }
    }
    Ok(())
}

/// Milliseconds between requests: bursts, seconds, minutes, and exact multiples of buckets.
fn pause() -> impl Strategy<Value = i64> {
    prop_oneof![0_i64..20, 0_i64..2_000, 0_i64..120_000, (0_i64..70).prop_map(|n| n * 1_000)]
}

proptest! {
    #[test]
    fn no_rolling_window_is_ever_exceeded(
        limits in some_limits(), start in 0_i64..100_000_000,
        steps in prop::collection::vec((pause(), 1_u32..4, 0_u32..3), 1..200),
    ) {
        let (mut budget, mut now, mut sent) = (Budget::new(&limits), start, Vec::new());
        for (pause, n, unused) in steps {
            now += pause;
            if budget.take(now, n) {
                let unused = unused.min(n);
                budget.give_back(now, now, unused);
                sent.push((now, n - unused));
            }
        }
        assert_no_window_is_exceeded(&limits, &sent)?;
    }

    #[test]
    fn nor_across_restarts_and_reboots(
        limits in some_limits(), other in some_limits(), start in 0_i64..100_000_000,
        steps in prop::collection::vec((pause(), 1_u32..4, 0_u8..20), 1..150),
    ) {
        // `now` is true time; the boot clock runs `offset` behind it.
        let (mut now, mut offset, mut sent) = (start, 0, Vec::new());
        let (mut budget, mut rows) = (Budget::new(&limits), Rows::default());
        for (pause, n, event) in steps {
            now += pause;
            if event < 3 {
                let read = rows.read(now - offset);
                offset = if event == 1 { now - 777 } else { offset };
                budget = Budget::restore(&limits, &read, now - offset);
                rows = Rows::default();
            } else if budget.take(now - offset, n) {
                sent.push((now, n));
            }
            rows.write(budget.snapshot());
        }
        assert_no_window_is_exceeded(&limits, &sent)?;
        // Changed limits hold for what was sent before, as far as it was counted.
        let boot = now - offset;
        let mut changed = Budget::restore(&other, &rows.read(boot), boot);
        let longest = limits.iter().map(|limit| limit.window_ms()).max().unwrap();
        for left in changed.left(boot) {
            let reach = left.limit.window_ms().min(longest);
            let recent: u32 = sent.iter().filter(|(at, _)| now - at <= reach).map(|(_, n)| n).sum();
            prop_assert!(left.used >= recent, "{} of {recent} in {}", left.used, left.limit);
        }
    }

    #[test]
    fn next_free_is_the_very_instant(
        limits in some_limits(), steps in prop::collection::vec((pause(), 1_u32..4), 1..100),
        class in prop::sample::select(vec![Class::Renewal, Class::Call, Class::Follow]),
    ) {
        let (mut budget, mut now) = (Budget::new(&limits), 0);
        for (pause, n) in steps {
            now += pause;
            budget.take(now, n);
            match budget.next_free(now, class) {
                None => prop_assert!(budget.allowance(now, class) > 0),
                Some(at) => {
                    prop_assert!(at > now);
                    prop_assert_eq!(budget.clone().allowance(at - 1, class), 0);
                    prop_assert!(budget.clone().allowance(at, class) > 0);
                }
            }
        }
        let longest = limits.iter().map(|limit| limit.window_ms()).max().unwrap();
        prop_assert_eq!(budget.available(now + longest + width_ms(longest)), limits.iter().map(|l| l.count).min().unwrap());
    }
}

#[test]
fn other_limits_take_what_was_spent_with_them() {
    let mut budget = Budget::new(&limits(&["10/1m"]));
    assert!(budget.take(1_000, 7));
    budget.limit(&limits(&["10/1m"]), 2_000);
    assert_eq!(budget.available(2_000), 3);
    // A smaller one is overspent already, and a longer one remembers as well.
    budget.limit(&limits(&["5/1m", "100/1h"]), 2_000);
    let used: Vec<(u32, u32)> = budget.left(2_000).iter().map(|one| (one.used, one.left)).collect();
    assert_eq!(used, [(7, 0), (7, 93)]);
    assert_eq!(budget.available(120_000), 5);
    budget.limit(&[], 120_000);
    assert_eq!(budget.available(120_000), u32::MAX);
}
