use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp(1_800_000_000_000);
const DOWN: Code = Code::Http(503);

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

#[test]
fn a_night_is_a_handful_of_lines() {
    let mut watch = Watch::default();
    assert!(watch.failed(at(0), Line::Retry, DOWN));
    assert!(!watch.failed(at(1), Line::Retry, Code::Timeout));
    assert!(watch.failed(at(2), Line::Gate, DOWN));
    assert!(watch.failed(at(3), Line::Renewal, DOWN));
    let mut told = vec![];
    for second in (20..8 * 3_600).step_by(20) {
        if second % 300 == 0 {
            assert!(!watch.failed(at(second), Line::Retry, DOWN), "{second}");
        }
        if let Some(News::StillFailing(report)) = watch.look(at(second), true) {
            told.push((second / 60, report.failures, report.untold));
        }
    }
    let expected =
        [(5, 4, 2), (20, 7, 3), (50, 13, 6), (110, 25, 12), (230, 49, 24), (350, 73, 24)];
    assert_eq!(told[..6], expected);
    assert_eq!(told.len(), 7);
    watch.answered(at(8 * 3_600));
    watch.answered(at(8 * 3_600 + 1));
    assert_eq!(watch.look(at(8 * 3_600 + 20), true), None, "not yet sure");
    let Some(News::Recovered(report)) = watch.look(at(8 * 3_600 + 40), true) else {
        panic!("it is back");
    };
    assert_eq!((report.since, report.lasted), (at(0), Duration::from_hours(8)));
    assert_eq!(report.codes, [(DOWN, 97), (Code::Timeout, 1)]);
    assert_eq!(watch.look(at(8 * 3_600 + 60), true), None);
    // An hour later it is forgotten.
    assert_eq!(watch.look(at(9 * 3_600), false), None);
    assert_eq!(watch, Watch::default());
}

#[test]
fn one_failure_has_one_line() {
    let mut watch = Watch::default();
    assert!(watch.failed(at(0), Line::Retry, DOWN));
    watch.answered(at(1));
    for second in [20, 40, 600, 3_000] {
        assert_eq!(watch.look(at(second), false), None, "{second}");
    }
    assert!(watch.failed(at(3_100), Line::Retry, DOWN), "told anew, much later");
}

#[test]
fn one_that_nobody_tries_again_is_forgotten() {
    let mut watch = Watch::default();
    assert!(watch.failed(at(0), Line::Retry, DOWN));
    for second in (20..4_000).step_by(20) {
        assert_eq!(watch.look(at(second), false), None);
    }
    assert_eq!(watch, Watch::default());
}

#[test]
fn a_step_of_the_clock_changes_no_distance() {
    let (mut one, mut other) = (Watch::default(), Watch::default());
    let by_ms = 7_200_000;
    for watch in [&mut one, &mut other] {
        watch.failed(at(0), Line::Retry, DOWN);
        watch.failed(at(1), Line::Retry, DOWN);
    }
    other.step(by_ms);
    for second in (20..900).step_by(20) {
        let now = at(second);
        let later = Timestamp(now.0 + by_ms);
        let seen = (one.look(now, true), other.look(later, true));
        assert_eq!(seen.0.is_some(), seen.1.is_some(), "{second}");
    }
}

#[test]
fn what_is_a_providers() {
    for code in [Code::Http(500), Code::Http(408), Code::Connect, Code::RateLimited] {
        assert!(is_providers(code), "{code}");
    }
    // With consequences, or not its doing: these are told always.
    for code in
        [Code::Internal, Code::LoginRefused, Code::Lockout, Code::Http(404), Code::Definition]
    {
        assert!(!is_providers(code), "{code}");
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Fails(Line),
    Answers,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        4 => prop::sample::select(vec![Line::Retry, Line::Renewal, Line::Revocation, Line::Wait, Line::Gate])
            .prop_map(Step::Fails),
        1 => Just(Step::Answers),
    ];
    // A few seconds apart, or many minutes.
    prop::collection::vec((prop_oneof![3 => 0_u64..30, 1 => 0_u64..5_000], step), 1..400)
}

proptest! {
    /// Whatever a provider does in eight hours, its log is short; and each failure is told, or
    /// counted in a line that is.
    #[test]
    fn short_and_complete(steps in steps()) {
        let mut watch = Watch::default();
        let (mut now, mut looked, mut lines) = (0, 0, 0);
        let (mut failures, mut accounted) = (0_u64, 0_u64);
        let news = |watch: &mut Watch, second| match watch.look(at(second), false) {
            Some(News::StillFailing(report) | News::Recovered(report)) => (1, report.untold),
            None => (0, 0),
        };
        for (wait, step) in steps {
            now += wait;
            if now > 8 * 3_600 {
                break;
            }
            while looked + 20 <= now {
                looked += 20;
                let (line, untold) = news(&mut watch, looked);
                (lines, accounted) = (lines + line, accounted + untold);
            }
            match step {
                Step::Fails(line) => {
                    let told = watch.failed(at(now), line, DOWN);
                    lines += u32::from(told);
                    failures += u64::from(line != Line::Gate);
                    accounted += u64::from(told && line != Line::Gate);
                }
                Step::Answers => watch.answered(at(now)),
            }
        }
        prop_assert!(lines <= 60, "{} lines", lines);
        // All is told in the end, within the longest silence.
        for _ in 0..3 * 180 {
            looked += 20;
            let (_, untold) = news(&mut watch, looked);
            accounted += untold;
        }
        prop_assert_eq!(failures, accounted);
    }
}
