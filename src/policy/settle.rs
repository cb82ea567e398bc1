//! What the end of an attempt does to its job.

use super::{
    backoff::{self, Backoff},
    classify::Verdict,
    codes::Code,
};
use crate::types::{JobState, Timestamp};

/// Errors in a row after which a call or a download is dead, where nothing else is given: with
/// the default backoff that is some five hours of trying.
pub const MAX_ERRORS: u32 = 20;

/// The same of a follow, whose deadline is to end it rather than its provider's bad days.
pub const MAX_ERRORS_FOLLOW: u32 = 500;

/// Errors in a row after which [`Retry::Few`] gives up.
pub const FEW: u32 = 3;

/// A job that ran so often in a row when the daemon died is taken for the cause: alone,
pub const INTERRUPTED_ALONE: u32 = 20;

/// or among others, where it may be any of them. Waits between grow, so this takes days.
pub const INTERRUPTED: u32 = 100;

/// What the store knows of a running job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobCounters {
    pub errors: u32,
    /// `None` for renewals, which never die.
    pub max_errors: Option<u32>,
    /// The code of the last failed attempt of this run of errors.
    pub last_code: Option<Code>,
    /// `None` also while the clock is in doubt. Never counts against the time spent gated: who
    /// shuts the gate moves it.
    pub deadline: Option<Timestamp>,
    /// An answered attempt is a poll.
    pub follow: bool,
}

/// Whether a failed attempt is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Until the job's errors are used up; `counts_error` is false while the breaker is open.
    Yes {
        counts_error: bool,
    },
    /// At most [`FEW`] times with the same code.
    Few,
    Never,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    Done,
    /// Answered, not yet done: run again then.
    Snooze {
        at: Timestamp,
    },
    /// `at` replaces the backoff's choice (a renewal's urgency, a follow's cadence).
    Failed {
        code: Code,
        retry: Retry,
        at: Option<Timestamp>,
    },
    /// Turned away by a gate, a budget or a missing credential: wait until then, uncounted.
    Gated {
        code: Code,
        until: Timestamp,
    },
    OutcomeUnknown,
    /// The same, where the provider's side can be asked what became of it.
    Doubtful,
    /// It was asked, and shows nothing of the request (yet).
    NotFound,
    Cancelled,
    /// Given back at shutdown, nothing having been sent.
    Released,
    /// Its lease ran out in a process that lives: the attempt hung.
    LostLease,
    /// The daemon died while it ran, for the `in_a_row`th time; `alone`: while nothing else ran.
    Interrupted {
        in_a_row: u32,
        alone: bool,
    },
}

/// What the store writes, if the job is still running under the same generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    pub state: JobState,
    /// When it is due again; `None` once it has ended.
    pub run_at: Option<Timestamp>,
    pub attempt_delta: u32,
    /// The new value.
    pub errors: u32,
    pub polls_delta: u32,
    /// What goes into `last_error`, if anything.
    pub code: Option<Code>,
}

impl Transition {
    fn ended(state: JobState, errors: u32, code: Option<Code>) -> Self {
        Self { state, run_at: None, attempt_delta: 1, errors, polls_delta: 0, code }
    }

    fn queued(run_at: Timestamp, errors: u32, code: Option<Code>) -> Self {
        let state = JobState::Queued;
        Self { state, run_at: Some(run_at), attempt_delta: 0, errors, polls_delta: 0, code }
    }

    /// The last attempt succeeded.
    #[must_use]
    pub fn completed(follow: bool) -> Self {
        Self { polls_delta: follow.into(), ..Self::ended(JobState::Completed, 0, None) }
    }

    /// Answered, again later: uses no attempt and forgets all errors.
    #[must_use]
    pub fn snoozed(at: Timestamp, follow: bool) -> Self {
        Self { polls_delta: follow.into(), ..Self::queued(at, 0, None) }
    }

    /// Failed, again later.
    #[must_use]
    pub fn retried(at: Timestamp, errors: u32, code: Code) -> Self {
        Self { attempt_delta: 1, ..Self::queued(at, errors, Some(code)) }
    }

    /// Turned away: costs neither an attempt nor an error.
    #[must_use]
    pub fn gated(until: Timestamp, errors: u32, code: Code) -> Self {
        Self::queued(until, errors, Some(code))
    }

    /// Handed back unspent.
    #[must_use]
    pub fn released(now: Timestamp, errors: u32) -> Self {
        Self::queued(now, errors, None)
    }

    #[must_use]
    pub fn dead(errors: u32, code: Code) -> Self {
        Self::ended(JobState::Dead, errors, Some(code))
    }

    #[must_use]
    pub fn cancelled(errors: u32) -> Self {
        Self::ended(JobState::Cancelled, errors, Some(Code::Cancelled))
    }
}

/// The transition that an attempt's end makes. The outcome comes first and the deadline second: a
/// job that is done is completed however late.
#[must_use]
pub fn settle(
    now: Timestamp,
    job: &JobCounters,
    end: AttemptEnd,
    backoff: &Backoff,
    jitter: f64,
) -> Transition {
    let retry_at = |errors| now.plus(backoff::delay(errors, jitter, backoff));
    match end {
        AttemptEnd::Done => Transition::completed(job.follow),
        AttemptEnd::Snooze { at } => in_time(now, job, Transition::snoozed(at, job.follow)),
        AttemptEnd::Failed { code, retry, at } => {
            let errors = job.errors.saturating_add(u32::from(counts(retry)));
            if gives_up(job, retry, errors, code) {
                return Transition::dead(errors, code);
            }
            let at = at.unwrap_or_else(|| retry_at(errors));
            in_time(now, job, Transition::retried(at, errors, code))
        }
        AttemptEnd::Gated { code, until } => Transition::gated(until, job.errors, code),
        AttemptEnd::OutcomeUnknown => {
            Transition::dead(job.errors.saturating_add(1), Code::OutcomeUnknown)
        }
        AttemptEnd::Doubtful | AttemptEnd::NotFound => {
            // Errors from before it was in doubt are another matter.
            let asked = job.last_code == Some(Code::OutcomeUnknown);
            let errors = if asked { job.errors.saturating_add(1) } else { 1 };
            let retry = if end == AttemptEnd::NotFound { Retry::Few } else { COUNTED };
            if asked && gives_up(job, retry, errors, Code::OutcomeUnknown) {
                return Transition::dead(errors, Code::OutcomeUnknown);
            }
            Transition::retried(retry_at(errors), errors, Code::OutcomeUnknown)
        }
        AttemptEnd::Cancelled => Transition::cancelled(job.errors),
        AttemptEnd::Released => Transition::released(now, job.errors),
        AttemptEnd::LostLease => {
            let (errors, code) = (job.errors.saturating_add(1), Code::LostLease);
            if gives_up(job, Retry::Yes { counts_error: true }, errors, code) {
                return Transition::dead(errors, code);
            }
            // After a crash all jobs run at once; one that keeps losing its lease waits.
            let at = if job.errors == 0 { now } else { retry_at(errors) };
            in_time(now, job, Transition::retried(at, errors, code))
        }
        AttemptEnd::Interrupted { in_a_row, alone } => {
            interrupted(now, job, (in_a_row, alone), retry_at)
        }
    }
}

const COUNTED: Retry = Retry::Yes { counts_error: true };

/// Whoever kills the daemon is no error of the job's: it keeps all its own.
fn interrupted(
    now: Timestamp,
    job: &JobCounters,
    (in_a_row, alone): (u32, bool),
    retry_at: impl Fn(u32) -> Timestamp,
) -> Transition {
    let most = if alone { INTERRUPTED_ALONE } else { INTERRUPTED };
    if job.max_errors.is_some() && in_a_row >= most {
        return Transition::dead(job.errors, Code::LostLease);
    }
    let at = match (in_a_row, job.max_errors) {
        (0..=1, _) => now,
        // A renewal is waited for.
        (_, None) => retry_at(in_a_row.min(3)),
        (_, Some(_)) => retry_at(in_a_row),
    };
    in_time(now, job, Transition::retried(at, job.errors, Code::LostLease))
}

fn counts(retry: Retry) -> bool {
    !matches!(retry, Retry::Yes { counts_error: false })
}

fn gives_up(job: &JobCounters, retry: Retry, errors: u32, code: Code) -> bool {
    let Some(max) = job.max_errors else { return false };
    match retry {
        Retry::Never => true,
        Retry::Yes { counts_error } => counts_error && errors >= max,
        // The first of its kind after other errors (a provider that comes back with a page that
        // says "maintenance") is not yet the third.
        Retry::Few => errors >= max || (errors >= FEW && job.last_code == Some(code)),
    }
}

impl Transition {
    /// The transition of a job whose request may be out: until that is known it is never sent
    /// again, and it ends as nobody knows.
    #[must_use]
    pub fn in_doubt(self) -> Self {
        match self.state {
            JobState::Completed | JobState::Running => self,
            JobState::Queued => Self { code: Some(Code::OutcomeUnknown), ..self },
            JobState::Dead | JobState::Cancelled => Self::dead(self.errors, Code::OutcomeUnknown),
        }
    }
}

/// A job whose deadline has passed is dead; one that would next run after it runs a last time at
/// its deadline.
fn in_time(now: Timestamp, job: &JobCounters, next: Transition) -> Transition {
    match job.deadline {
        Some(deadline) if now >= deadline => Transition {
            polls_delta: next.polls_delta,
            ..Transition::dead(next.errors, Code::Deadline)
        },
        Some(deadline) => Transition { run_at: next.run_at.map(|at| at.min(deadline)), ..next },
        None => next,
    }
}

/// What a verdict ends an attempt with, where the verdict alone decides. `None` for a success
/// (the shape decides), a 401 or a refused login (the credential's rules decide), and a
/// suspicion (which the follow's cadence dates).
#[must_use]
pub fn end_of(verdict: Verdict, now: Timestamp) -> Option<AttemptEnd> {
    let failed = |code, retry| Some(AttemptEnd::Failed { code, retry, at: None });
    match verdict {
        Verdict::Success
        | Verdict::Unauthorized
        | Verdict::Refused
        | Verdict::MaybeRefused { .. }
        | Verdict::Suspect { .. } => None,
        Verdict::Retry { code, counts_error } => failed(code, Retry::Yes { counts_error }),
        Verdict::RetryFew { code } => failed(code, Retry::Few),
        Verdict::Dead { code } => failed(code, Retry::Never),
        Verdict::Gate { wait, code } => {
            Some(AttemptEnd::Gated { code, until: now.plus(wait.wait()) })
        }
        // Due at once, behind a gate that only a decision opens.
        Verdict::ProviderChanged { .. } => {
            Some(AttemptEnd::Gated { code: Code::ProviderChanged, until: now })
        }
        Verdict::OutcomeUnknown { .. } => Some(AttemptEnd::OutcomeUnknown),
    }
}

#[cfg(test)]
mod tests;
