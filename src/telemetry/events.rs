//! Every event of the daemon, in one place: its stable name, its priority and its fields.
//!
//! An event is told once, when the change it speaks of is durable. Fields hold ids, names, codes
//! and times; never a secret, and nothing of an applicant.

#[cfg(test)]
mod page;
mod table;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tracing::Level;

pub use self::table::{About, Name};
use crate::types::{Generation, JobId, Timestamp};

/// How grave it is, in the words and numbers of syslog(3). A provider's failure is a warning; an
/// error is what is this side's, or what only a person can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    Err = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

impl Priority {
    /// As `journalctl -p` takes it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Err => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    const fn level(self) -> Level {
        match self {
            Self::Err => Level::ERROR,
            Self::Warning => Level::WARN,
            Self::Notice | Self::Info => Level::INFO,
            Self::Debug => Level::DEBUG,
        }
    }
}

/// Codes of dead jobs that are no provider's doing, or that wait for a person.
const OURS: [&str; 5] =
    ["outcome_unknown", "definition", "internal", "lost_lease", "command_failed"];

impl Name {
    /// The event of this name.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|name| name.text() == text)
    }

    /// The priority of one case of it.
    #[must_use]
    pub fn priority(self, error_code: Option<&str>) -> Priority {
        match (self, error_code) {
            (Self::JobDead, Some(code)) if OURS.contains(&code) => Priority::Err,
            _ => self.about().priority,
        }
    }

    /// How often it came since the start, hushed or not.
    #[must_use]
    pub fn count(self) -> u64 {
        COUNTS[self as usize].load(Ordering::Relaxed)
    }
}

static COUNTS: [AtomicU64; Name::ALL.len()] = [const { AtomicU64::new(0) }; Name::ALL.len()];

/// The fields of one event; what does not apply is left out.
#[derive(Debug, Clone, Default)]
pub struct Event<'a> {
    pub job_id: Option<JobId>,
    pub kind: Option<&'a str>,
    pub account: Option<&'a str>,
    pub attempt: Option<i64>,
    pub generation: Option<Generation>,
    pub status: Option<&'a str>,
    pub outcome: Option<&'a str>,
    pub next_run_at: Option<Timestamp>,
    pub elapsed: Option<Duration>,
    pub error_code: Option<&'a str>,
    pub actor: Option<&'a str>,
    pub credential: Option<&'a str>,
    /// For people: what it means and what to do.
    pub detail: Option<&'a str>,
}

impl Event<'_> {
    /// Which fields it has.
    fn fields(&self) -> impl Iterator<Item = &'static str> {
        [
            ("job_id", self.job_id.is_some()),
            ("kind", self.kind.is_some()),
            ("account", self.account.is_some()),
            ("credential", self.credential.is_some()),
            ("attempt", self.attempt.is_some()),
            ("generation", self.generation.is_some()),
            ("status", self.status.is_some()),
            ("outcome", self.outcome.is_some()),
            ("next_run_at", self.next_run_at.is_some()),
            ("elapsed_ms", self.elapsed.is_some()),
            ("error_code", self.error_code.is_some()),
            ("actor", self.actor.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
    }
}

/// Tells an event.
pub fn emit(name: Name, event: &Event<'_>) {
    tell(name, event, name.priority(event.error_code).level());
}

/// Tells an event that only repeats what was told already: for those who ask for every detail.
pub fn hush(name: Name, event: &Event<'_>) {
    tell(name, event, Level::DEBUG);
}

fn tell(name: Name, event: &Event<'_>, level: Level) {
    debug_assert!(
        event.fields().all(|field| name.about().fields.split(' ').any(|known| known == field)),
        "the page of events does not say that {} has {:?}",
        name.text(),
        event.fields().collect::<Vec<_>>(),
    );
    COUNTS[name as usize].fetch_add(1, Ordering::Relaxed);
    macro_rules! tell {
        ($level:expr) => {
            tracing::event!(
                target: "attendant",
                $level,
                event = name.text(),
                job_id = event.job_id.map(tracing::field::display),
                kind = event.kind,
                account = event.account,
                credential = event.credential,
                attempt = event.attempt,
                generation = event.generation.map(|generation| generation.0),
                status = event.status,
                outcome = event.outcome,
                next_run_at = event.next_run_at.map(tracing::field::display),
                elapsed_ms =
                    event.elapsed.map(|taken| u64::try_from(taken.as_millis()).unwrap_or(u64::MAX)),
                error_code = event.error_code,
                actor = event.actor,
                "{}",
                event.detail.unwrap_or(name.text()),
            )
        };
    }
    match level {
        Level::ERROR => tell!(Level::ERROR),
        Level::WARN => tell!(Level::WARN),
        Level::INFO => tell!(Level::INFO),
        _ => tell!(Level::DEBUG),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_message_ids_are_distinct_and_well_formed() {
        let texts: HashSet<&str> = Name::ALL.iter().map(|name| name.text()).collect();
        assert_eq!(texts.len(), Name::ALL.len());
        assert!(texts.iter().all(|text| text.split('.').count() == 2));
        let ids: HashSet<&str> = Name::ALL.iter().map(|name| name.about().message_id).collect();
        assert_eq!(ids.len(), Name::ALL.len());
        let hex =
            |id: &str| id.len() == 32 && id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        assert!(ids.iter().all(|id| hex(id)));
        assert!(Name::ALL.iter().all(|name| Name::of(name.text()) == Some(*name)));
    }

    #[test]
    fn a_providers_failure_is_not_ours() {
        for code in ["http_400", "http_503", "deadline", "timeout", "unparsable"] {
            assert_eq!(Name::JobDead.priority(Some(code)), Priority::Warning, "{code}");
        }
        for code in OURS {
            assert_eq!(Name::JobDead.priority(Some(code)), Priority::Err, "{code}");
            assert!(code.parse::<crate::policy::codes::Code>().is_ok(), "{code}");
        }
        assert_eq!(Name::JobRetryScheduled.priority(Some("internal")), Priority::Warning);
        assert_eq!(Name::CredentialAtRisk.priority(Some("http_503")), Priority::Err);
    }
}
