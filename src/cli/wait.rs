//! Waiting for a job or a chain to end.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::{
    client::{Query, Reply},
    exit::{Exit, Failure},
    fields,
    session::Session,
};
use crate::types::{JobId, JobState};

/// How long one request may take; the daemon answers then, so that a dead one is noticed.
const TURN: &str = "30s";
/// A daemon that restarts is waited for so long from its first silence on: draining takes up to
/// `engine.shutdown_timeout`, 45 s where nothing else is configured.
const GRACE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(500);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Scope {
    Job,
    /// The job with all that comes of it.
    Chain,
}

impl Scope {
    const fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Chain => "chain",
        }
    }
}

/// What a command may take in all.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    id: JobId,
    scope: Scope,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(limit) = limit else { return work.await };
    timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Failure::timed_out(format!(
            "the {what} {id} was not seen to end in {}; `attendant jobs wait --scope {what} {id}` \
             waits on",
            humantime::format_duration(rounded(limit)),
            what = scope.name(),
        )))
    })
}

/// What is left of a limit is told in whole seconds, as the limit was given.
fn rounded(limit: Duration) -> Duration {
    let seconds = limit.saturating_add(Duration::from_millis(500)).as_secs();
    if seconds > 0 { Duration::from_secs(seconds) } else { limit }
}

/// The job once it, or its chain, has ended.
pub(super) async fn ended(
    session: &mut Session<'_, '_>,
    id: JobId,
    scope: Scope,
) -> Result<Reply, Failure> {
    let query = [("scope", scope.name().to_owned()), ("timeout", TURN.to_owned())];
    loop {
        let reply = patiently(session, &["jobs", &id.to_string(), "wait"], &query).await?;
        if reply.status != 204 {
            return Ok(reply);
        }
    }
}

/// Asks again while the daemon restarts. One that was never there is told at once.
pub(super) async fn patiently(
    session: &mut Session<'_, '_>,
    parts: &[&str],
    query: &Query<'_>,
) -> Result<Reply, Failure> {
    let mut lost: Option<Instant> = None;
    loop {
        let failure = match session.get(parts, query).await {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        let away = lost.map_or(Duration::ZERO, |since| since.elapsed());
        if !is_passing(&failure, session.client.has_met()) || away > GRACE {
            return Err(failure);
        }
        if lost.is_none() {
            lost = Some(Instant::now());
            if !session.json() {
                session.console.note("The daemon is away; waiting for it.");
            }
        }
        sleep(PAUSE).await;
    }
}

/// A daemon that stops or starts, or whose database does not answer for a moment.
const fn is_passing(failure: &Failure, met: bool) -> bool {
    match failure {
        Failure::Said(Exit::Unreachable, _) => met,
        Failure::Problem { status, .. } => *status == 503,
        _ => false,
    }
}

/// Whether a job ended well; the words otherwise, with what to do.
pub(super) fn verdict(job: &Value) -> Result<(), Failure> {
    let state = fields::text(job, "state");
    if state == JobState::Completed.name() {
        return Ok(());
    }
    let id = fields::text(job, "id");
    let why = fields::reason(job, "last_error.code", "last_error.message");
    let why = if why.is_empty() || state != JobState::Dead.name() {
        String::new()
    } else {
        format!(" ({why})")
    };
    Err(Failure::not_so(format!(
        "job {id} ({}) is {state}{why}: see `attendant jobs show {id}`",
        fields::text(job, "kind"),
    )))
}

/// The jobs of a chain that did not complete, as any of its jobs tells.
pub(super) async fn failed(
    session: &mut Session<'_, '_>,
    job: &Value,
) -> Result<Vec<Failure>, Failure> {
    let mut failures = vec![];
    for link in fields::list(job, "chain.jobs") {
        if fields::text(link, "state") == JobState::Completed.name() {
            continue;
        }
        let id = fields::text(link, "id");
        let job = patiently(session, &["jobs", &id], &[]).await?.value()?;
        failures.extend(verdict(&job).err());
    }
    Ok(failures)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_restart_passes_and_a_daemon_that_was_never_there_does_not() {
        let problem = |status| {
            let problem = json!({"type": "urn:attendant:draining"});
            Failure::Problem { status, problem, retry_after: Some(1) }
        };
        let away = || Failure::Said(Exit::Unreachable, String::new());
        let table = [
            (problem(503), false, true),
            (problem(503), true, true),
            (away(), true, true),
            (away(), false, false),
            (problem(404), true, false),
            (Failure::Said(Exit::Refused, String::new()), true, false),
        ];
        for (failure, met, passes) in table {
            assert_eq!(is_passing(&failure, met), passes, "{failure:?} {met}");
        }
    }

    #[test]
    fn limits_are_told_as_they_were_given() {
        assert_eq!(rounded(Duration::from_micros(2_999_998)), Duration::from_secs(3));
        assert_eq!(rounded(Duration::from_millis(100)), Duration::from_millis(100));
    }

    #[test]
    fn only_a_completed_job_ended_well() {
        assert!(verdict(&json!({"state": "completed"})).is_ok());
        let dead = json!({
            "id": "7", "kind": "certn.report", "state": "dead",
            "last_error": {"code": "http_400", "message": "no\nsuch report"},
        });
        let words = verdict(&dead).map_err(|failure| failure.words());
        let expected = "job 7 (certn.report) is dead (http_400: no such report): see `attendant \
                        jobs show 7`";
        assert_eq!(words, Err(expected.to_owned()));
        let cancelled = json!({"id": "7", "kind": "k", "state": "cancelled"});
        assert_eq!(verdict(&cancelled).map_err(|one| one.exit()), Err(Exit::NotSo));
    }
}
