use std::time::Duration;

use proptest::prelude::*;

use super::{
    promise::{Promise, planned_until, reaches},
    reconcile::{Doubt, Entry, newcomers},
    *,
};
use crate::policy::renewal::Life;

const NOW: Timestamp = Timestamp(1_000_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 + seconds * 1_000)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A value in hand that is to be followed in 100 s and usable for 200 s.
fn fresh() -> Facts {
    Facts {
        usable_until: Some(Some(at(200))),
        renew_at: Some(at(100)),
        can_list: true,
        ..Facts::default()
    }
}

fn candidate(failures: u32) -> Candidate {
    Candidate { usable_until: Some(at(500)), failures }
}

fn retired(revoke_at: i64) -> Retired {
    Retired { expires_at: Some(at(300)), revoke_at: Some(at(revoke_at)), retry_at: None }
}

#[test]
fn a_successor_is_made_in_time_and_in_order() {
    let due = Facts { renew_at: Some(NOW), ..fresh() };
    let none = Facts { can_list: true, ..Facts::default() };
    let doubtful = Facts { in_doubt_since: Some(at(-5)), ..due.clone() };
    let made = Facts { candidate: Some(candidate(0)), ..due.clone() };
    let expired = Some(Candidate { usable_until: Some(NOW), failures: 0 });
    let table = [
        ("nothing to do", fresh(), Step::Wait(at(100))),
        ("renewal is due", due.clone(), Step::Create),
        ("somebody needs a younger one", Facts { renew_at: None, ..fresh() }, Step::Create),
        ("there is none", none.clone(), Step::Create),
        (
            "it cannot be used any more",
            Facts { usable_until: Some(Some(NOW)), ..fresh() },
            Step::Create,
        ),
        (
            "it was tried a moment ago",
            Facts { retry_at: Some(at(3)), ..due.clone() },
            Step::Wait(at(3)),
        ),
        ("a create may be out", doubtful.clone(), Step::Reconcile),
        (
            "before the renewal, too",
            Facts { renew_at: Some(at(9)), ..doubtful.clone() },
            Step::Reconcile,
        ),
        ("and no list can tell", Facts { can_list: false, ..doubtful.clone() }, Step::Create),
        ("doubt waits as well", Facts { retry_at: Some(at(4)), ..doubtful }, Step::Wait(at(4))),
        ("it was made", made.clone(), Step::Verify),
        (
            "no list shows it",
            Facts { can_list: false, ..made.clone() },
            Step::Publish { verified: true },
        ),
        (
            "it is looked for again",
            Facts { candidate: Some(candidate(3)), retry_at: Some(at(2)), ..made.clone() },
            Step::Wait(at(2)),
        ),
        (
            "at the latest when it is needed",
            Facts { candidate: Some(candidate(3)), retry_at: Some(at(900)), ..made.clone() },
            Step::Wait(at(200)),
        ),
        (
            "nothing else is left",
            Facts { candidate: Some(candidate(1)), retry_at: Some(at(2)), ..none.clone() },
            Step::Publish { verified: false },
        ),
        (
            "but it is looked for once",
            Facts { candidate: Some(candidate(0)), ..none },
            Step::Verify,
        ),
        ("it expired", Facts { candidate: expired, ..made }, Step::Drop),
    ];
    for (why, facts, expected) in table {
        assert_eq!(next(NOW, &facts), expected, "{why}");
    }
}

#[test]
fn revocations_come_first_and_never_stand_in_the_way() {
    let due = Facts { renew_at: Some(NOW), ..fresh() };
    let with = |one: Retired| Facts { retired: vec![retired(50), one], ..due.clone() };
    let failed = |retry_at| Retired { retry_at: Some(at(retry_at)), ..retired(-9) };
    let table = [
        ("due", retired(0), Step::Revoke(1)),
        ("later", retired(1), Step::Create),
        ("failed a moment ago", failed(3), Step::Create),
        ("to be tried again", failed(0), Step::Revoke(1)),
        ("expired", Retired { expires_at: Some(NOW), ..retired(-9) }, Step::Create),
        ("left to expire", Retired { revoke_at: None, ..retired(0) }, Step::Create),
        ("of unknown life", Retired { expires_at: None, ..retired(-9) }, Step::Revoke(1)),
        ("and tried for a day", Retired { expires_at: None, ..retired(-86_400) }, Step::Create),
    ];
    for (why, one, expected) in table {
        assert_eq!(next(NOW, &with(one)), expected, "{why}");
    }
    let waiting = Facts { retired: vec![failed(7), retired(50)], ..fresh() };
    assert_eq!(next(NOW, &waiting), Step::Wait(at(7)));
}

#[test]
fn a_create_in_doubt_gets_time_as_far_as_there_is_some() {
    let with = |usable_until| Facts { usable_until, ..fresh() };
    let table = [
        (Some(Some(at(80))), 10),
        (Some(Some(at(36_000))), 60),
        (Some(None), 60),
        (Some(Some(at(-1))), 0),
        (None, 0),
    ];
    for (usable_until, wait) in table {
        assert_eq!(create_again_at(NOW, at(-2), &with(usable_until)), at(wait - 2));
    }
}

#[test]
fn newcomers_are_told_from_what_was_there() {
    let hour = 3_600;
    let entry = |mark, created: Option<i64>, expires: Option<i64>| Entry {
        mark,
        created_at: created.map(at),
        expires_at: expires.map(at),
    };
    let list = [
        entry(1, Some(-9), Some(500)),
        entry(2, Some(-9), Some(500)),
        entry(3, Some(-8), Some(500)),
        entry(4, Some(-7), Some(500)),
        entry(5, Some(-7), Some(0)),
        entry(6, Some(-2 * hour), Some(500)),
        entry(7, Some(2 * hour), None),
        entry(8, None, None),
    ];
    let doubt = Doubt { first_sent: at(-10), last_sent: at(-5), known: &[1] };
    assert_eq!(newcomers(&list, &[2], doubt, NOW), [3, 2, 7]);
    assert_eq!(newcomers(&[], &[], doubt, NOW), [0; 0]);
}

#[test]
fn what_a_reader_is_promised() {
    let promise = |expires: Option<i64>, promised: Option<i64>| Promise {
        expires_at: expires.map(at),
        promised_until: promised.map(at),
        overlap: secs(20),
    };
    let table = [
        // Until its planned renewal and the overlap, or the overlap from now.
        (promise(Some(100), Some(50)), Some(50), Some(50)),
        (promise(Some(100), Some(10)), Some(20), Some(20)),
        // Never longer than it lives.
        (promise(Some(15), Some(10)), Some(15), Some(15)),
        (promise(None, Some(10)), Some(20), Some(20)),
        // Nobody revokes it.
        (promise(Some(100), None), Some(100), None),
        (promise(None, None), None, None),
    ];
    for (promise, valid_until, revoke_at) in table {
        assert_eq!(promise.valid_until(NOW), valid_until.map(at), "{promise:?}");
        assert_eq!(promise.revoke_at(NOW), revoke_at.map(at), "{promise:?}");
    }
}

#[test]
fn what_no_rotation_can_reach() {
    // Renewed after 620 s at the earliest, usable for 970 s.
    let life = Life { sent_at: NOW, expires_at: at(1_000) };
    let table = [(0, 619, true), (0, 620, false), (100, 719, true), (100, 720, false)];
    for (overlap, min_ttl, so) in table {
        assert_eq!(reaches(life, secs(overlap), secs(min_ttl)), so, "{overlap} {min_ttl}");
    }
    assert!(!reaches(life, secs(9_999), secs(970)) && reaches(life, secs(9_999), secs(969)));
}

fn times() -> impl Strategy<Value = Option<Timestamp>> {
    proptest::option::of((-1_000_i64..1_000).prop_map(|s| Timestamp(NOW.0 + s)))
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let retired = (times(), times(), times());
    let retired = retired.prop_map(|(expires_at, revoke_at, retry_at)| Retired {
        expires_at,
        revoke_at,
        retry_at,
    });
    let candidate = (times(), 0_u32..3)
        .prop_map(|(usable_until, failures)| Candidate { usable_until, failures });
    (
        proptest::option::of(times()),
        (times(), times(), times()),
        proptest::option::of(candidate),
        proptest::collection::vec(retired, 0..4),
        any::<bool>(),
    )
        .prop_map(
            |(usable_until, (renew_at, retry_at, in_doubt_since), candidate, retired, can_list)| {
                Facts {
                    usable_until,
                    renew_at,
                    retry_at,
                    in_doubt_since,
                    candidate,
                    retired,
                    can_list,
                }
            },
        )
}

proptest! {
    #[test]
    fn every_step_has_its_reason(facts in any_facts()) {
        let usable = facts.usable_until.is_some_and(|until| until.is_none_or(|until| NOW < until));
        match next(NOW, &facts) {
            Step::Wait(until) => prop_assert!(NOW < until),
            Step::Create | Step::Reconcile => {
                // Never another while one lives that was made.
                prop_assert!(facts.candidate.is_none());
                prop_assert!(facts.retry_at.is_none_or(|at| at <= NOW));
            }
            Step::Publish { verified: false } => prop_assert!(!usable && facts.can_list),
            Step::Publish { verified: true } => prop_assert!(!facts.can_list),
            Step::Revoke(index) => {
                let one = facts.retired[index];
                prop_assert!(one.revoke_at.is_some_and(|at| at <= NOW) && !one.is_over(NOW));
            }
            Step::Verify | Step::Drop => prop_assert!(facts.candidate.is_some()),
        }
    }

    /// A value is handed out at some times, and followed at a later one: it is never revoked before
    /// what any reader was promised, whatever came between.
    #[test]
    fn no_value_is_revoked_before_what_was_promised(
        length in 1_i64..100_000_000,
        overlap in 0_u64..200_000_000,
        jitter: f64,
        reads in proptest::collection::vec(0_i64..200_000_000, 1..8),
        later in 0_i64..100_000_000,
    ) {
        let life = Life { sent_at: NOW, expires_at: Timestamp(NOW.0 + length) };
        let overlap = Duration::from_millis(overlap);
        let promised_until =
            Some(planned_until(life.renew_at(jitter), overlap, Some(life.expires_at)));
        let promise = Promise { expires_at: Some(life.expires_at), promised_until, overlap };
        let last = reads.iter().max().copied().unwrap_or(0);
        let published_at = Timestamp(NOW.0 + last + later);
        let revoke_at = promise.revoke_at(published_at).unwrap();
        for read in reads {
            let read = Timestamp(NOW.0 + read);
            let valid_until = promise.valid_until(read).unwrap();
            prop_assert!(valid_until <= revoke_at, "{valid_until:?} {revoke_at:?}");
            // And the promise itself never outlives the value.
            prop_assert!(valid_until <= life.expires_at);
        }
    }

    /// What is refused as unreachable really is: a fresh value may be handed out for anything else.
    #[test]
    fn a_fresh_value_gives_what_is_not_refused(
        length in 1_i64..100_000_000, overlap in 0_u64..200_000_000, jitter: f64, min_ttl in 0_u64..200_000_000,
    ) {
        let life = Life { sent_at: NOW, expires_at: Timestamp(NOW.0 + length) };
        let (overlap, min_ttl) = (Duration::from_millis(overlap), Duration::from_millis(min_ttl));
        let promised_until =
            Some(planned_until(life.renew_at(jitter), overlap, Some(life.expires_at)));
        let promise = Promise { expires_at: Some(life.expires_at), promised_until, overlap };
        let until = promise.valid_until(NOW).unwrap().min(life.usable_until());
        if reaches(life, overlap, min_ttl) {
            prop_assert!(NOW.plus(min_ttl) <= until);
        }
    }
}
