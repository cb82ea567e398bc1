//! The stable error codes: what `jobs --code`, `last_error.code`, logs and metrics say.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why an attempt, a job or a credential failed. Codes are stable: scripts match on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The host's name could not be resolved; nothing was sent.
    Dns,
    /// No connection; nothing was sent.
    Connect,
    /// No TLS session; nothing was sent.
    Tls,
    /// No complete answer in time.
    Timeout,
    /// The connection broke after sending.
    Reset,
    /// The answer ended early.
    Truncated,
    /// The answer's body could not be decoded (a broken content encoding).
    Unreadable,
    /// An HTTP status that says it all, such as `http_400`.
    Http(u16),
    /// 429.
    RateLimited,
    /// 401, still after a fresh credential.
    Unauthorized,
    /// A redirect, which is never followed.
    Redirected,
    /// A body that is not what the definition expects to parse.
    Unparsable,
    /// The definition's `success` does not hold for a 2xx answer.
    Unsuccessful,
    /// The definition's `retry_when` holds: too early.
    NotReady,
    /// The API seems to have moved or been retired.
    ProviderChanged,
    /// A login that the definition's `refused_when` recognises.
    LoginRefused,
    /// A pause, a gate or a spent budget of the account holds it back.
    Held,
    /// The secrets are out of use until they change or an operator asks.
    Lockout,
    /// A never-repeat request that may or may not have been executed.
    OutcomeUnknown,
    /// The attempt outlived its lease, or its process died.
    LostLease,
    /// The job's deadline passed.
    Deadline,
    /// Somebody cancelled it.
    Cancelled,
    /// The definition could not be applied: a template or an expression failed.
    Definition,
    /// A command of the operator's (`on_change`) failed.
    Command,
    /// A file of another program cannot be written.
    Sink,
    /// A fault in the daemon itself: the attempt panicked.
    Internal,
}

impl Code {
    const FIXED: [Self; 25] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Truncated,
        Self::Unreadable,
        Self::RateLimited,
        Self::Unauthorized,
        Self::Redirected,
        Self::Unparsable,
        Self::Unsuccessful,
        Self::NotReady,
        Self::ProviderChanged,
        Self::LoginRefused,
        Self::Held,
        Self::Lockout,
        Self::OutcomeUnknown,
        Self::LostLease,
        Self::Deadline,
        Self::Cancelled,
        Self::Definition,
        Self::Command,
        Self::Sink,
        Self::Internal,
    ];

    /// The code as it is written everywhere.
    #[must_use]
    pub fn text(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Http(status) => return Cow::Owned(format!("http_{status}")),
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::Unreadable => "unreadable",
            Self::RateLimited => "rate_limited",
            Self::Unauthorized => "unauthorized",
            Self::Redirected => "redirected",
            Self::Unparsable => "unparsable",
            Self::Unsuccessful => "unsuccessful",
            Self::NotReady => "not_ready",
            Self::ProviderChanged => "provider_changed",
            Self::LoginRefused => "login_refused",
            Self::Held => "held",
            Self::Lockout => "lockout",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::LostLease => "lost_lease",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Definition => "definition",
            Self::Command => "command_failed",
            Self::Sink => "sink_failed",
            Self::Internal => "internal",
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A text that is no error code.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an error code")]
pub struct CodeError(String);

impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let status = text.strip_prefix("http_").and_then(|status| status.parse().ok());
        status
            .map(Self::Http)
            .or_else(|| Self::FIXED.into_iter().find(|code| code.text() == text))
            .ok_or_else(|| CodeError(text.to_owned()))
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_distinct_and_reads_back() {
        let mut seen = HashSet::new();
        for code in Code::FIXED.into_iter().chain([Code::Http(400), Code::Http(503)]) {
            assert!(seen.insert(code.text()), "{code} twice");
            assert_eq!(code.to_string().parse(), Ok(code));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "http_", "http_abc", "http_99999", "DNS", "budget"] {
            assert!(text.parse::<Code>().is_err(), "{text}");
        }
    }
}
