//! What the end of an HTTP request means.

use serde::{Deserialize, Serialize};

use super::{codes::Code, retry_after::RetryAfter};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It surely never left.
    NotSent(NotSent),
    /// It may have been executed: nobody knows.
    Ambiguous(Ambiguous),
    Answered(Answer),
}

/// What kept a request from being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    Dns,
    Connect,
    Tls,
}

/// How an answer was lost after sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguous {
    Timeout,
    Reset,
    Truncated,
    Unreadable,
}

/// A complete answer, with the definition's predicates already evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answer {
    pub status: u16,
    /// From the header, or from the definition's expression.
    pub retry_after: Option<RetryAfter>,
    /// The definition's `success`; `None` where it has none (any 2xx will do).
    pub success: Option<bool>,
    /// The definition's `retry_when`.
    pub retry_when: bool,
    /// The definition's `refused_when`: the login was refused.
    pub refused: bool,
    /// The definition's `maybe_refused_when`: it may have been.
    pub maybe_refused: bool,
    /// The body is not what the definition expects to parse.
    pub unparsable: bool,
}

/// What was asked, as far as it changes what an end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// `repeat = "never"`: must not be sent again unless it surely was not executed.
    pub repeat_never: bool,
    /// A poll of a follow, whose 403 and 404 may mean that the API has changed.
    pub follow: bool,
    /// The queue's breaker is open (or this was its probe): nothing counts as an error.
    pub breaker_open: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Success,
    /// 401: drop the credential that was used, obtain one, send once more; a second one in the
    /// same attempt is the lockout guard's. Safe for never-repeat requests: not executed.
    Unauthorized,
    /// Again later, with growing waits.
    Retry {
        code: Code,
        counts_error: bool,
    },
    /// Again later, but only a few times: what came back is not understood.
    RetryFew {
        code: Code,
    },
    /// A follow's 403 or 404: few tries at its usual cadence, for several follows in a row mean
    /// [`Verdict::ProviderChanged`] (see [`super::gate::Suspicion`]), and then the jobs wait
    /// and do not die.
    Suspect {
        code: Code,
    },
    /// The account's queue stays shut for that long; costs neither an attempt nor an error.
    Gate {
        wait: RetryAfter,
        code: Code,
    },
    /// The gate of this kind shuts until a new definition or an operator opens it.
    ProviderChanged {
        code: Code,
    },
    /// The login was refused: one try less for the lockout guard.
    Refused,
    /// The login may have been refused: the guard allows a few more of these.
    MaybeRefused {
        code: Code,
    },
    /// Over, with the provider's words.
    Dead {
        code: Code,
    },
    /// A never-repeat request that may have been executed; `code` says how it ended. The job is
    /// dead with [`Code::OutcomeUnknown`].
    OutcomeUnknown {
        code: Code,
    },
}

/// What an end says of the provider, for the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Up,
    /// It failed, maybe at this one request only: timeout, 5xx, throttling without a time.
    Failing,
    /// It cannot be reached by anybody: DNS, connect, TLS.
    Unreachable,
}

impl From<NotSent> for Code {
    fn from(what: NotSent) -> Self {
        match what {
            NotSent::Dns => Self::Dns,
            NotSent::Connect => Self::Connect,
            NotSent::Tls => Self::Tls,
        }
    }
}

impl From<Ambiguous> for Code {
    fn from(what: Ambiguous) -> Self {
        match what {
            Ambiguous::Timeout => Self::Timeout,
            Ambiguous::Reset => Self::Reset,
            Ambiguous::Truncated => Self::Truncated,
            Ambiguous::Unreadable => Self::Unreadable,
        }
    }
}

/// Judges the end of a request.
///
/// The definition's own predicates come before what a status usually means; the rule that nothing
/// is sent twice on a guess comes before both.
#[must_use]
pub fn classify(ended: &Ended, asked: Asked) -> Verdict {
    let counts_error = !asked.breaker_open;
    match *ended {
        Ended::NotSent(what) => Verdict::Retry { code: what.into(), counts_error },
        Ended::Ambiguous(what) if asked.repeat_never => {
            Verdict::OutcomeUnknown { code: what.into() }
        }
        Ended::Ambiguous(what) => Verdict::Retry { code: what.into(), counts_error },
        Ended::Answered(answer) => {
            let verdict = meaning(&answer, asked);
            let guess =
                asked.repeat_never && maybe_executed(&answer) && verdict != Verdict::Success;
            if guess { Verdict::OutcomeUnknown { code: answer_code(&answer) } } else { verdict }
        }
    }
}

/// Whether a request with this answer may have been executed. Surely not: 4xx refusals (401, 425
/// and 429 among them, but not 408, which a proxy also sends for a slow origin), 503 with
/// Retry-After (a server that turns callers away), and redirects other than 302 and 303, which
/// also follow on a form that was accepted (RFC 9110, 15.4).
fn maybe_executed(answer: &Answer) -> bool {
    match answer.status {
        503 => answer.retry_after.is_none(),
        302 | 303 | 408 => true,
        300..=499 => false,
        _ => true,
    }
}

/// What an answer means for a request that may be repeated.
fn meaning(answer: &Answer, asked: Asked) -> Verdict {
    let code = answer_code(answer);
    match answer.status {
        429 => later(answer, code, asked),
        _ if answer.refused => Verdict::Refused,
        _ if answer.maybe_refused => Verdict::MaybeRefused { code },
        _ if answer.retry_when => later(answer, code, asked),
        200..=299 if answer.unparsable => Verdict::RetryFew { code },
        // A 2xx that the definition calls no success is a refusal in other words (CertiScan
        // answers `{"success": false}`): definite, where `retry_when` does not say otherwise.
        200..=299 if answer.success == Some(false) => Verdict::Dead { code },
        200..=299 => Verdict::Success,
        401 => Verdict::Unauthorized,
        410 => Verdict::ProviderChanged { code },
        403 | 404 if asked.follow => Verdict::Suspect { code },
        408 | 425 | 500..=599 => later(answer, code, asked),
        300..=499 => Verdict::Dead { code },
        _ => Verdict::RetryFew { code },
    }
}

fn later(answer: &Answer, code: Code, asked: Asked) -> Verdict {
    match answer.retry_after {
        Some(wait) => Verdict::Gate { wait, code },
        None => Verdict::Retry { code, counts_error: !asked.breaker_open },
    }
}

fn answer_code(answer: &Answer) -> Code {
    match answer.status {
        429 => Code::RateLimited,
        _ if answer.refused => Code::LoginRefused,
        _ if answer.retry_when => Code::NotReady,
        200..=299 if answer.unparsable => Code::Unparsable,
        200..=299 => Code::Unsuccessful,
        300..=399 => Code::Redirected,
        401 => Code::Unauthorized,
        status => Code::Http(status),
    }
}

/// What the breaker should hear of it. An answer that the definition has words for is a sign of
/// life, whatever its status: ipseity says 500 to a wrong password.
#[must_use]
pub fn health(ended: &Ended) -> Health {
    match *ended {
        Ended::NotSent(_) => Health::Unreachable,
        Ended::Ambiguous(_) => Health::Failing,
        Ended::Answered(answer) if answer.refused || answer.retry_when => Health::Up,
        Ended::Answered(answer) => match answer.status {
            408 | 500..=599 => Health::Failing,
            429 if answer.retry_after.is_none() => Health::Failing,
            _ => Health::Up,
        },
    }
}

#[cfg(test)]
mod tests;
