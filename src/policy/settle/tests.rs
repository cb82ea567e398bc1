use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::retry_after::RetryAfter;

const NOW: Timestamp = Timestamp(1_000_000);
const CODE: Code = Code::Http(503);
const COUNTED: Retry = Retry::Yes { counts_error: true };

fn job(errors: u32) -> JobCounters {
    JobCounters { errors, max_errors: Some(5), ..JobCounters::default() }
}

/// One of which it is to be found out what became of its request.
fn doubtful(errors: u32) -> JobCounters {
    JobCounters { last_code: Some(Code::OutcomeUnknown), ..job(errors) }
}

/// With the longest wait that chance allows.
fn settled(job: JobCounters, end: AttemptEnd) -> Transition {
    settle(NOW, &job, end, &Backoff::default(), 1.0)
}

fn failed(retry: Retry) -> AttemptEnd {
    AttemptEnd::Failed { code: CODE, retry, at: None }
}

fn in_secs(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

#[test]
fn ends() {
    let later = in_secs(77);
    let table = [
        (job(2), AttemptEnd::Done, Transition::completed(false)),
        (job(2), AttemptEnd::Snooze { at: later }, Transition::snoozed(later, false)),
        (job(2), failed(COUNTED), Transition::retried(in_secs(20), 3, CODE)),
        (
            job(2),
            failed(Retry::Yes { counts_error: false }),
            Transition::retried(in_secs(10), 2, CODE),
        ),
        (job(4), failed(COUNTED), Transition::dead(5, CODE)),
        (
            job(9),
            failed(Retry::Yes { counts_error: false }),
            Transition::retried(in_secs(1280), 9, CODE),
        ),
        (job(0), failed(Retry::Never), Transition::dead(1, CODE)),
        (job(2), AttemptEnd::Gated { code: CODE, until: later }, Transition::gated(later, 2, CODE)),
        (job(2), AttemptEnd::OutcomeUnknown, Transition::dead(3, Code::OutcomeUnknown)),
        (job(0), AttemptEnd::Doubtful, Transition::retried(in_secs(5), 1, Code::OutcomeUnknown)),
        (job(4), AttemptEnd::Doubtful, Transition::retried(in_secs(5), 1, Code::OutcomeUnknown)),
        (doubtful(4), AttemptEnd::Doubtful, Transition::dead(5, Code::OutcomeUnknown)),
        (
            doubtful(1),
            AttemptEnd::NotFound,
            Transition::retried(in_secs(10), 2, Code::OutcomeUnknown),
        ),
        (doubtful(2), AttemptEnd::NotFound, Transition::dead(3, Code::OutcomeUnknown)),
        (job(2), AttemptEnd::Cancelled, Transition::cancelled(2)),
        (job(2), AttemptEnd::Released, Transition::released(NOW, 2)),
        (job(0), AttemptEnd::LostLease, Transition::retried(NOW, 1, Code::LostLease)),
        (job(1), AttemptEnd::LostLease, Transition::retried(in_secs(10), 2, Code::LostLease)),
        (job(4), AttemptEnd::LostLease, Transition::dead(5, Code::LostLease)),
    ];
    for (job, end, expected) in table {
        assert_eq!(settled(job, end), expected, "{end:?} after {} errors", job.errors);
    }
}

#[test]
fn a_storm_of_restarts_is_no_error_of_any_job() {
    let interrupted = |in_a_row, alone| AttemptEnd::Interrupted { in_a_row, alone };
    let again = |at, errors| Transition::retried(at, errors, Code::LostLease);
    // One that may fail once only is not dead for it.
    let frail = JobCounters { max_errors: Some(1), ..job(0) };
    let renewal = JobCounters { max_errors: None, ..job(2) };
    let table = [
        (frail, interrupted(1, true), again(NOW, 0)),
        (frail, interrupted(2, true), again(in_secs(10), 0)),
        (job(3), interrupted(19, true), again(in_secs(3600), 3)),
        (job(3), interrupted(20, true), Transition::dead(3, Code::LostLease)),
        (job(3), interrupted(99, false), again(in_secs(3600), 3)),
        (job(3), interrupted(100, false), Transition::dead(3, Code::LostLease)),
        (renewal, interrupted(1_000, true), again(in_secs(20), 2)),
    ];
    for (job, end, expected) in table {
        assert_eq!(settled(job, end), expected, "{end:?}");
    }
}

#[test]
fn what_each_end_costs() {
    let later = in_secs(9);
    // attempts, polls of a follow
    let table = [
        (AttemptEnd::Done, 1, 1),
        (AttemptEnd::Snooze { at: later }, 0, 1),
        (failed(COUNTED), 1, 0),
        (AttemptEnd::Gated { code: CODE, until: later }, 0, 0),
        (AttemptEnd::Released, 0, 0),
        (AttemptEnd::LostLease, 1, 0),
        (AttemptEnd::Cancelled, 1, 0),
    ];
    for (end, attempts, polls) in table {
        let got = settled(JobCounters { follow: true, ..job(1) }, end);
        assert_eq!((got.attempt_delta, got.polls_delta), (attempts, polls), "{end:?}");
    }
}

#[test]
fn few_is_three_with_the_same_code() {
    let with = |errors, last_code| JobCounters { last_code, max_errors: Some(50), ..job(errors) };
    let table = [
        (with(0, None), false),
        (with(1, Some(CODE)), false),
        (with(2, Some(CODE)), true),
        (with(9, Some(Code::Timeout)), false),
        (with(10, Some(CODE)), true),
        (with(49, Some(Code::Timeout)), true),
    ];
    for (job, dies) in table {
        assert_eq!(settled(job, failed(Retry::Few)).state == JobState::Dead, dies, "{job:?}");
    }
}

#[test]
fn renewals_never_die() {
    let renewal = JobCounters { errors: u32::MAX, last_code: Some(CODE), ..JobCounters::default() };
    for end in [failed(COUNTED), failed(Retry::Few), failed(Retry::Never), AttemptEnd::LostLease] {
        assert_eq!(settled(renewal, end).state, JobState::Queued, "{end:?}");
    }
    let at = Some(in_secs(3));
    let urgent = AttemptEnd::Failed { code: CODE, retry: COUNTED, at };
    assert_eq!(settled(renewal, urgent).run_at, at);
}

#[test]
fn a_deadline_ends_what_is_not_done() {
    let by = |deadline| JobCounters { deadline: Some(deadline), follow: true, ..job(1) };
    let snooze = AttemptEnd::Snooze { at: in_secs(100) };
    assert_eq!(settled(by(in_secs(60)), snooze).run_at, Some(in_secs(60)), "one last poll");
    assert_eq!(settled(by(in_secs(200)), snooze).run_at, Some(in_secs(100)));
    let late = settled(by(NOW), snooze);
    assert_eq!(
        (late.state, late.code, late.polls_delta),
        (JobState::Dead, Some(Code::Deadline), 1)
    );
    assert_eq!(settled(by(NOW), failed(COUNTED)).code, Some(Code::Deadline));
    assert_eq!(settled(by(NOW), AttemptEnd::Done).state, JobState::Completed);
    let gated = AttemptEnd::Gated { code: CODE, until: in_secs(100) };
    assert_eq!(settled(by(NOW), gated).state, JobState::Queued, "gated time does not count");
}

#[test]
fn verdicts_that_decide_alone() {
    let wait = RetryAfter::new(Duration::from_mins(1));
    let until = in_secs(60);
    let table = [
        (Verdict::Success, None),
        (Verdict::Unauthorized, None),
        (Verdict::Refused, None),
        (Verdict::MaybeRefused { code: CODE }, None),
        (Verdict::Suspect { code: CODE }, None),
        (Verdict::Retry { code: CODE, counts_error: true }, Some(failed(COUNTED))),
        (Verdict::RetryFew { code: CODE }, Some(failed(Retry::Few))),
        (Verdict::Dead { code: CODE }, Some(failed(Retry::Never))),
        (Verdict::Gate { wait, code: CODE }, Some(AttemptEnd::Gated { code: CODE, until })),
        (
            Verdict::ProviderChanged { code: CODE },
            Some(AttemptEnd::Gated { code: Code::ProviderChanged, until: NOW }),
        ),
        (Verdict::OutcomeUnknown { code: CODE }, Some(AttemptEnd::OutcomeUnknown)),
    ];
    for (verdict, end) in table {
        assert_eq!(end_of(verdict, NOW), end, "{verdict:?}");
    }
}

fn any_end() -> impl Strategy<Value = AttemptEnd> {
    let retry = prop_oneof![
        any::<bool>().prop_map(|counts_error| Retry::Yes { counts_error }),
        Just(Retry::Few),
        Just(Retry::Never),
    ];
    let at = any::<Option<i64>>().prop_map(|at| at.map(Timestamp));
    prop_oneof![
        Just(AttemptEnd::Done),
        any::<i64>().prop_map(|at| AttemptEnd::Snooze { at: Timestamp(at) }),
        (retry, at).prop_map(|(retry, at)| AttemptEnd::Failed { code: CODE, retry, at }),
        any::<i64>().prop_map(|at| AttemptEnd::Gated { code: CODE, until: Timestamp(at) }),
        Just(AttemptEnd::OutcomeUnknown),
        Just(AttemptEnd::Doubtful),
        Just(AttemptEnd::NotFound),
        Just(AttemptEnd::Cancelled),
        Just(AttemptEnd::Released),
        Just(AttemptEnd::LostLease),
    ]
}

proptest! {
    /// What may have been carried out is completed, or still asked after, or left to a person.
    #[test]
    fn a_doubt_is_never_lost(errors in 0_u32..9, deadline: Option<i64>, end in any_end(), jitter: f64) {
        let deadline = deadline.map(Timestamp);
        let job = JobCounters { deadline, ..job(errors) };
        let got = settle(NOW, &job, end, &Backoff::default(), jitter).in_doubt();
        match got.state {
            JobState::Completed => prop_assert_eq!(end, AttemptEnd::Done),
            state => {
                prop_assert!(matches!(state, JobState::Queued | JobState::Dead));
                prop_assert_eq!(got.code, Some(Code::OutcomeUnknown));
            }
        }
    }

    #[test]
    fn a_job_is_either_due_again_or_over(
        now: i64, errors: u32, max_errors: Option<u32>, deadline: Option<i64>, follow: bool,
        end in any_end(), jitter: f64,
    ) {
        let deadline = deadline.map(Timestamp);
        let job = JobCounters { errors, max_errors, last_code: None, deadline, follow };
        let got = settle(Timestamp(now), &job, end, &Backoff::default(), jitter);
        prop_assert_eq!(got.run_at.is_some(), got.state == JobState::Queued);
        prop_assert!(got.state == JobState::Queued || got.state.has_ended());
        prop_assert!(got.errors <= 1 || got.errors == errors || got.errors == errors.saturating_add(1));
        prop_assert!(got.attempt_delta <= 1 && got.polls_delta <= 1);
        prop_assert!(got.state != JobState::Dead || got.code.is_some());
    }

    /// A poison job ends, whatever its errors are.
    #[test]
    fn errors_end(max in 1_u32..100, ends in prop::collection::vec(0_u8..3, 100)) {
        let mut job = JobCounters { max_errors: Some(max), ..JobCounters::default() };
        let died = ends.iter().any(|end| {
            let end = match end {
                0 => failed(COUNTED),
                1 => failed(Retry::Few),
                _ => AttemptEnd::LostLease,
            };
            let next = settled(job, end);
            job = JobCounters { errors: next.errors, last_code: next.code, ..job };
            next.state == JobState::Dead
        });
        prop_assert!(died);
    }
}
