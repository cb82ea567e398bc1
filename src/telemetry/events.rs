//! Every event of the daemon, in one place: its stable name, its level and its fields.
//!
//! An event is told once, when the change it speaks of is durable. Fields hold ids, names, codes
//! and times; never a secret, and nothing of an applicant.

use std::time::Duration;

use tracing::Level;

use crate::types::{Generation, JobId, Timestamp};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $level:ident;)*) => {
        /// The names that logs, metrics and streams use.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Name { $($(#[$doc])* $name,)* }

        impl Name {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            const fn level(self) -> Level {
                match self { $(Self::$name => Level::$level,)* }
            }
        }
    };
}

names! {
    DaemonStarted = "daemon.started", INFO;
    DaemonReady = "daemon.ready", INFO;
    DaemonReloaded = "daemon.reloaded", INFO;
    DaemonReloadRefused = "daemon.reload_refused", ERROR;
    DaemonRekeying = "daemon.rekeying", INFO;
    DaemonRekeyed = "daemon.rekeyed", INFO;
    /// A copy of the database was made: asked for, or before its schema is changed.
    DaemonBackedUp = "daemon.backed_up", INFO;
    DaemonDraining = "daemon.draining", INFO;
    DaemonStopped = "daemon.stopped", INFO;
    ClockStepped = "daemon.clock_stepped", WARN;
    ClockDoubtful = "daemon.clock_doubtful", WARN;
    ClockConfirmed = "daemon.clock_confirmed", INFO;
    JobEnqueued = "job.enqueued", INFO;
    JobAttemptStarted = "job.attempt_started", DEBUG;
    /// A poll that found nothing new: too many to be told by default.
    JobSnoozed = "job.snoozed", DEBUG;
    JobStatusChanged = "job.status_changed", INFO;
    JobRetryScheduled = "job.retry_scheduled", WARN;
    JobCompleted = "job.completed", INFO;
    JobDead = "job.dead", ERROR;
    JobCancelled = "job.cancelled", INFO;
    JobResolved = "job.resolved", INFO;
    JobErased = "job.erased", INFO;
    /// What ended long ago is forgotten; one line for a pass.
    JobPruned = "job.pruned", INFO;
    CredentialObtained = "credential.obtained", INFO;
    CredentialRenewalFailed = "credential.renewal_failed", WARN;
    CredentialAtRisk = "credential.at_risk", ERROR;
    CredentialPublished = "credential.published", INFO;
    CredentialRevoked = "credential.revoked", INFO;
    /// An operator took a value out of use.
    CredentialWithdrawn = "credential.withdrawn", INFO;
    /// A value out of use could not be revoked yet.
    CredentialNotRevoked = "credential.not_revoked", WARN;
    /// The provider has values that a create with a lost reply may have made.
    CredentialOrphaned = "credential.orphaned", WARN;
    CredentialLockedOut = "credential.locked_out", ERROR;
    /// A value is in another program's file.
    SinkWritten = "sink.written", INFO;
    SinkFailing = "sink.failing", ERROR;
    /// Its value expired without a successor.
    SinkRemoved = "sink.removed", INFO;
    /// A job changed a secret at the provider: the configuration has the old one.
    SecretChanged = "credential.secret_changed", WARN;
    /// A secret ends soon, or has, as its operator wrote.
    SecretExpiring = "secret.expiring", WARN;
    QueueGated = "queue.gated", WARN;
    QueueOpened = "queue.opened", INFO;
    QueuePaused = "queue.paused", INFO;
    QueueResumed = "queue.resumed", INFO;
    QueueBudgetSpent = "queue.budget_spent", WARN;
    ScheduleFired = "schedule.fired", INFO;
    ScheduleMisfired = "schedule.misfired", WARN;
    StoreTrouble = "store.trouble", ERROR;
    StoreRecovered = "store.recovered", INFO;
    AccessRefused = "access.refused", WARN;
}

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

/// Tells an event.
pub fn emit(name: Name, event: &Event<'_>) {
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
    match name.level() {
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
    fn names_are_distinct_and_dotted() {
        let texts: HashSet<&str> = Name::ALL.iter().map(|name| name.text()).collect();
        assert_eq!(texts.len(), Name::ALL.len());
        assert!(texts.iter().all(|text| text.split('.').count() == 2));
    }
}
