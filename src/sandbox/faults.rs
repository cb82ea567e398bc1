//! Faults on demand: what goes wrong, with which request, how often.

use std::time::Duration;

use serde::Deserialize;

/// Which requests: a method (any, where none is given) and how the path begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    method: Option<String>,
    path: String,
}

impl Target {
    /// Reads `"POST /api/v1/hr/applications"`, or `"/api/"` for any method.
    pub fn new(text: &str) -> Self {
        match text.trim().split_once(' ') {
            Some((method, path)) => {
                Self { method: Some(method.to_ascii_uppercase()), path: path.trim().to_owned() }
            }
            None => Self { method: None, path: text.trim().to_owned() },
        }
    }

    pub fn meets(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method) && path.starts_with(&self.path)
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing is done and no answer ever comes.
    Hang,
    /// Nothing is done; the connection is reset.
    Reset,
    /// The work is done; the connection is closed without a reply.
    LoseReply,
    /// The work is done; the connection is closed in the middle of the reply's body.
    Truncate,
    /// The work is done; the reply's body is no JSON, under the right status and type.
    Garbage,
    /// The work is done after this time.
    Slow(Duration),
    /// Nothing is done; this status, with `Retry-After` as given (seconds or a date).
    Status { code: u16, retry_after: Option<String> },
    /// Nothing is done; this status, with what was asked in the body, and in `Location` too where
    /// it is a redirect.
    Echo(u16),
}

/// A fault that waits for its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub on: Target,
    /// How many requests it still spoils.
    pub times: u32,
    /// How many requests it still lets pass before that.
    pub after: u32,
    pub kind: FaultKind,
}

impl Fault {
    /// Spoils the next request to `on`.
    pub fn new(on: &str, kind: FaultKind) -> Self {
        Self { on: Target::new(on), times: 1, after: 0, kind }
    }

    /// The next request to `on` is answered with `code` and nothing else.
    pub fn status(on: &str, code: u16) -> Self {
        Self::new(on, FaultKind::Status { code, retry_after: None })
    }

    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    #[must_use]
    pub const fn after(mut self, requests: u32) -> Self {
        self.after = requests;
        self
    }
}

/// The faults to come, in the order they were asked for.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What goes wrong with this request, if anything: the first fault that meets it acts, and
    /// only that one counts it.
    pub(super) fn next(&mut self, method: &str, path: &str) -> Option<FaultKind> {
        let fault = self.0.iter_mut().find(|f| f.times > 0 && f.on.meets(method, path))?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times -= 1;
        let kind = fault.kind.clone();
        self.0.retain(|fault| fault.times > 0);
        Some(kind)
    }
}

/// A fault as asked for over HTTP: `{"on": "GET /api/", "times": 2, "status": 503}`.
///
/// One of `kind` (`hang`, `reset`, `lose_reply`, `truncate`, `garbage`), `slow` (milliseconds)
/// and `status`, with or without `retry_after`, which alone means 429, and `echo` (a status).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultRequest {
    on: String,
    #[serde(default = "once")]
    times: u32,
    #[serde(default)]
    after: u32,
    kind: Option<PlainKind>,
    slow: Option<u64>,
    status: Option<u16>,
    echo: Option<u16>,
    retry_after: Option<RetryAfter>,
}

const fn once() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlainKind {
    Hang,
    Reset,
    LoseReply,
    Truncate,
    Garbage,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RetryAfter {
    Seconds(u64),
    Text(String),
}

/// Why a request for a fault makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FaultError {
    #[error("give one of `kind`, `slow`, `echo` and `status` (with `retry_after`, or that alone)")]
    NotOneKind,
    #[error("`status` and `echo` are between 200 and 599")]
    Status,
}

impl TryFrom<FaultRequest> for Fault {
    type Error = FaultError;

    fn try_from(asked: FaultRequest) -> Result<Self, FaultError> {
        let is_status = |code: u16| (200..600).contains(&code);
        if asked.status.into_iter().chain(asked.echo).any(|code| !is_status(code)) {
            return Err(FaultError::Status);
        }
        let of_echo = asked.echo.map(FaultKind::Echo);
        let named = asked.kind.map(FaultKind::from);
        if of_echo.is_some() && named.is_some() {
            return Err(FaultError::NotOneKind);
        }
        let kind = match (named.or(of_echo), asked.slow, asked.status, asked.retry_after) {
            (Some(kind), None, None, None) => kind,
            (None, Some(ms), None, None) => FaultKind::Slow(Duration::from_millis(ms)),
            (None, None, Some(code), after) => {
                FaultKind::Status { code, retry_after: after.map(RetryAfter::into_header) }
            }
            (None, None, None, Some(after)) => {
                FaultKind::Status { code: 429, retry_after: Some(after.into_header()) }
            }
            _ => return Err(FaultError::NotOneKind),
        };
        Ok(Self { on: Target::new(&asked.on), times: asked.times, after: asked.after, kind })
    }
}

impl From<PlainKind> for FaultKind {
    fn from(kind: PlainKind) -> Self {
        match kind {
            PlainKind::Hang => Self::Hang,
            PlainKind::Reset => Self::Reset,
            PlainKind::LoseReply => Self::LoseReply,
            PlainKind::Truncate => Self::Truncate,
            PlainKind::Garbage => Self::Garbage,
        }
    }
}

impl RetryAfter {
    fn into_header(self) -> String {
        match self {
            Self::Seconds(seconds) => seconds.to_string(),
            Self::Text(text) => text,
        }
    }
}
