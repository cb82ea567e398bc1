use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};

use super::{model::Found, *};
use crate::types::millis;

const HOUR_MS: i64 = 3_600_000;

fn limits(texts: &[&str]) -> Vec<Limit> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn certn() -> Vec<Limit> {
    limits(&["240/1m", "14400/24h"])
}

fn subject(began: Timestamp, status: Option<u8>) -> Subject {
    Subject { began, since: began, status: status.map(|one| [one; 16]) }
}

fn state(live_follows: u32, used: f64) -> PollState {
    let subject = subject(Timestamp(0), None);
    PollState { subject, live_follows, min_interval: MIN_INTERVAL, used }
}

/// A model of follows that complete after `hours`, with a status of their own.
fn learned(hours: impl Fn(&mut StdRng) -> f64) -> Model {
    let (mut model, mut rng) = (Model::default(), StdRng::seed_from_u64(3));
    for n in 0..300_i64 {
        let began = Timestamp(n * HOUR_MS);
        let complete = began.plus(Duration::from_secs_f64(hours(&mut rng) * 3_600.0));
        let mut polled = began;
        loop {
            let now = polled.plus(Duration::from_mins(30));
            let found = if complete <= now { Found::Complete } else { Found::Same };
            assert!(model.learn(&subject(began, Some(1)), polled, now, found));
            polled = now;
            if found == Found::Complete {
                break;
            }
        }
    }
    model
}

#[test]
fn the_tightest_limit_decides() {
    // One call in 6 s is the account's whole budget, so one in 7.5 s is 80 % of it.
    for (follows, seconds) in [(0, 0.0), (1, 7.5), (2, 15.0), (100, 750.0)] {
        let expected = Duration::from_secs_f64(seconds);
        assert_eq!(even_share(follows, &certn()), expected, "{follows}");
    }
    assert_eq!(even_share(1000, &[]), Duration::ZERO);
}

#[test]
fn without_history_a_share_is_even_and_jittered() {
    let table = [
        (state(1, 0.0), 15_000, 16_500),
        (state(2, 0.0), 15_000, 16_500),
        (state(100, 0.0), 675_000, 825_000),
        // A follow of a week is no other than a new one.
        (
            PollState { subject: subject(Timestamp(-168 * HOUR_MS), None), ..state(100, 0.0) },
            675_000,
            825_000,
        ),
    ];
    for (state, earliest, latest) in table {
        let at = |jitter| {
            let mut price = Price::default();
            next_poll(Timestamp(0), &state, &Model::default(), &mut price, &certn(), jitter).0
        };
        // To a hundredth: nearly constant is how the shares of so small a hazard are.
        assert!((at(0.0) - earliest).abs() <= earliest / 100, "{} {state:?}", at(0.0));
        assert!((at(1.0) - latest).abs() <= latest / 100, "{} {state:?}", at(1.0));
    }
}

#[test]
fn a_follow_is_polled_when_it_may_complete() {
    // Everything completes between the tenth and the twelfth hour.
    let model = learned(|rng| 10.0 + 2.0 * rng.random::<f64>());
    let wait = |age_h: i64| {
        let of = subject(Timestamp(0), Some(1));
        let lambda = Price::default().lambda(model.level(), 3_600.0, 0.0);
        price::wait_s(&model, &of, Timestamp(age_h * HOUR_MS), lambda, 1e6)
    };
    assert!(wait(1) > 4.0 * 3_600.0, "{}", wait(1));
    assert!(wait(11) < 2_700.0, "{}", wait(11));
}

#[test]
fn chance_is_not_taken_for_office_hours() {
    let even = learned(|rng| -(1.0 - rng.random::<f64>()).ln() * 12.0);
    let level = even.level();
    let hazards = (0..24).map(|hour| {
        let at = Timestamp(hour * HOUR_MS);
        even.step(level, &subject(at, None), at).worth
    });
    let (least, most) = hazards.fold((f64::MAX, 0.0_f64), |(a, b), h| (a.min(h), b.max(h)));
    assert!(most / least < 1.7, "{least} to {most}");
}

#[test]
fn what_is_packed_comes_back_and_nonsense_does_not() {
    let model = learned(|rng| 3.0 * rng.random::<f64>());
    let mut back = Model::default();
    for status in [None, Some([1; 16])] {
        let packed = model.packed(status.as_ref()).unwrap();
        assert!(back.restore(status, &packed));
        for broken in [&[][..], &packed[1..], &packed[..packed.len() - 1], &packed[..41]] {
            assert!(!Model::default().restore(status, broken));
        }
        let mut infinite = packed.clone();
        infinite[1..5].copy_from_slice(&f32::INFINITY.to_le_bytes());
        assert!(!Model::default().restore(status, &infinite));
    }
    assert_eq!(back, model);
    assert_eq!(model.packed(Some(&[9; 16])), None);
}

#[test]
fn statuses_are_bounded() {
    let mut model = Model::default();
    for n in 0..=255_u8 {
        model.learn(&subject(Timestamp(0), Some(n)), Timestamp(0), Timestamp(HOUR_MS), Found::Same);
    }
    assert_eq!(model.statuses.len(), model::MOST_STATUSES);
}

#[test]
fn a_clock_that_went_back_teaches_nothing() {
    let mut model = Model::default();
    let (of, now) = (subject(Timestamp(HOUR_MS), Some(1)), Timestamp(HOUR_MS));
    assert!(!model.learn(&of, now, Timestamp(0), Found::Complete));
    assert_eq!(model, Model::default());
    // A follow that began in the future, as it seems now, is polled like any new one.
    let later = PollState { subject: subject(Timestamp(99 * HOUR_MS), None), ..state(100, 0.0) };
    let at = next_poll(now, &later, &model, &mut Price::default(), &certn(), 0.5);
    assert!((700_000..800_000).contains(&(at.0 - now.0)), "{at}");
}

/// A day of polls of `follows` that are all alike; how many there were.
fn polls_of_a_day(follows: u32, model: &Model, price: &mut Price) -> usize {
    let mut rng = StdRng::seed_from_u64(5);
    let mut due: std::collections::BTreeSet<(Timestamp, u32)> =
        (0..follows).map(|id| (Timestamp(i64::from(id) * 60_000), id)).collect();
    let mut polls = 0;
    while let Some((now, id)) = due.pop_first().filter(|one| one.0.0 < 24 * HOUR_MS) {
        polls += 1;
        // Four hours old at each poll, as if each had just taken another's place.
        let subject = subject(Timestamp(now.0 - 4 * HOUR_MS), Some(1));
        let state = PollState { subject, ..state(follows, 0.0) };
        let at = next_poll(now, &state, model, price, &limits(&["1800/24h"]), rng.random());
        due.insert((at, id));
    }
    polls
}

#[test]
fn the_price_makes_polls_fit_the_budget() {
    // At four hours all is likelier than on average, so an even price would poll too often.
    let model = learned(|rng| 3.0 + 3.0 * rng.random::<f64>());
    let mut price = Price::default();
    let first = polls_of_a_day(100, &model, &mut price);
    for _ in 0..15 {
        polls_of_a_day(100, &model, &mut price);
    }
    let last = polls_of_a_day(100, &model, &mut price);
    assert!(first > 1_600, "{first}");
    assert!((1_370..1_510).contains(&last), "{last}");
    // Twice as many follows need no time to get used to: all wait twice as long.
    let doubled = polls_of_a_day(200, &model, &mut price.clone());
    assert!((1_200..1_800).contains(&doubled), "{doubled}");
}

type Hours = fn(&mut StdRng) -> f64;

/// Mean seconds from completion to noticing of 5,000 follows, six new ones an hour, that complete
/// after `hours`, and the seconds between two polls. `wait(now, began, live, jitter)` says when to
/// poll, one in 2 s at most; without it they take turns, one a minute.
fn followed(
    hours: impl Fn(&mut StdRng) -> f64,
    mut wait: Option<impl FnMut(Timestamp, Timestamp, u32, f64) -> Timestamp>,
) -> (f64, f64) {
    let (mut rng, mut chance) = (StdRng::seed_from_u64(11), StdRng::seed_from_u64(12));
    let tick = Duration::from_secs(if wait.is_some() { 2 } else { 60 });
    let arrivals: Vec<(Timestamp, Timestamp)> = (0..6_000_i64)
        .map(|n| {
            let began = Timestamp(n * HOUR_MS / 6);
            (began, began.plus(Duration::from_secs_f64(hours(&mut rng) * 3_600.0)))
        })
        .collect();
    let mut due = std::collections::BTreeSet::new();
    let (mut now, mut next, mut noticed, mut sum, mut polls) = (Timestamp(0), 0, 0, 0.0, 0);
    let mut at = |now, began, others: usize| {
        let live = u32::try_from(others + 1).unwrap();
        wait.as_mut().map_or(now, |wait| wait(now, began, live, chance.random()))
    };
    while noticed < 5_000 {
        now = now.plus(tick);
        while let Some((began, _)) = arrivals.get(next).filter(|one| one.0 <= now) {
            due.insert((at(*began, *began, due.len()), next));
            next += 1;
        }
        let Some((_, id)) = due.first().copied().filter(|one| one.0 <= now) else { continue };
        due.pop_first();
        polls += 1;
        let (began, complete) = arrivals[id];
        if complete <= now {
            sum += now.since(complete).as_secs_f64();
            noticed += 1;
        } else {
            due.insert((at(now, began, due.len()), id));
        }
    }
    (sum / f64::from(noticed), now.since(Timestamp(0)).as_secs_f64() / f64::from(polls))
}

#[test]
fn without_history_it_is_no_worse_than_taking_turns() {
    // Polls aim at 80 % of this: one a minute.
    let limits = limits(&["1800/24h"]);
    let uniform: Hours = |rng| 24.0 * rng.random::<f64>();
    let exponential: Hours = |rng| -(1.0 - rng.random::<f64>()).ln() * 8.0;
    let mixture: Hours = |rng| if rng.random::<f64>() < 0.5 { 0.3 } else { 20.0 };
    for hours in [uniform, exponential, mixture] {
        let mut price = Price::default();
        let by_price = |now, began, live_follows, jitter| {
            let state = PollState { subject: subject(began, None), ..state(live_follows, 0.0) };
            next_poll(now, &state, &Model::default(), &mut price, &limits, jitter)
        };
        let turns = None::<fn(Timestamp, Timestamp, u32, f64) -> Timestamp>;
        let ((ours, between), (even, _)) =
            (followed(hours, Some(by_price)), followed(hours, turns));
        assert!(between >= 59.0, "a poll every {between:.1} s");
        // At as many polls: their number and the waiting are inverse to each other.
        let even = even * between / 60.0;
        assert!(ours <= even * 1.02, "{ours:.0} s against {even:.0} s");
    }
}

#[test]
fn what_others_use_is_not_counted_on() {
    let mut price = Price::default();
    let mut wait = |used: f64| {
        let state = state(100, used);
        next_poll(Timestamp(0), &state, &Model::default(), &mut price, &certn(), 0.5).0
    };
    assert!(wait(0.9) > 2 * wait(0.5));
}

proptest! {
    #[test]
    fn never_below_the_minimal_interval_and_never_for_ever(
        follows in 1_u32.., used: f64, age in -1_000_000_000_i64..10_000_000_000, factor: f64,
        counts in prop::collection::vec((1_u32.., 1_u64..10_000_000), 0..4), jitter: f64,
    ) {
        let limits: Vec<Limit> = counts.into_iter()
            .map(|(count, secs)| Limit { count, window: Duration::from_secs(secs) }).collect();
        let subject = subject(Timestamp(-age), Some(1));
        let state = PollState { subject, live_follows: follows, min_interval: MIN_INTERVAL, used };
        let mut price = Price::restored(factor);
        let model = learned_once();
        let interval = next_poll(Timestamp(0), &state, model, &mut price, &limits, jitter).0;
        let most = even_share(follows, &limits).max(MIN_INTERVAL).mul_f64(MOST_SHARES * 1.2);
        prop_assert!(interval >= millis(MIN_INTERVAL));
        prop_assert!(interval <= millis(most));
        prop_assert!(price.factor().is_finite());
    }

    #[test]
    fn a_higher_price_is_a_longer_wait(
        age in 0_i64..1_000_000_000, low in 0.0_f64..1e5, more in 0.0_f64..1e5,
    ) {
        let of = subject(Timestamp(-age), Some(1));
        let wait = |lambda| price::wait_s(learned_once(), &of, Timestamp(0), lambda, 1e7);
        prop_assert!(wait(low) <= wait(low + more) + 0.001);
    }

    #[test]
    fn even_shares_stay_within_every_limit(
        follows in 1_u32.., counts in prop::collection::vec((1_u32.., 1_u64..10_000_000), 0..4),
    ) {
        let limits: Vec<Limit> = counts.into_iter()
            .map(|(count, secs)| Limit { count, window: Duration::from_secs(secs) }).collect();
        let interval = even_share(follows, &limits).as_secs_f64();
        prop_assume!(interval < 3e9);
        for limit in limits {
            let per_window = f64::from(follows) * limit.window.as_secs_f64() / interval;
            prop_assert!(per_window <= f64::from(limit.count));
        }
    }
}

fn learned_once() -> &'static Model {
    static MODEL: std::sync::OnceLock<Model> = std::sync::OnceLock::new();
    MODEL.get_or_init(|| learned(|rng| 8.0 * rng.random::<f64>()))
}
