//! Waiting for a job or a chain to end.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::{
    client::Reply,
    exit::{Exit, Failure},
    fields,
    session::Session,
};
use crate::types::{JobId, JobState};

/// How long one request may take; the daemon answers then, so that a dead one is noticed.
const TURN: &str = "30s";
/// A daemon that restarts is waited for so long; draining takes up to `engine.shutdown_timeout`.
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

/// The job once it, or its chain, has ended. The daemon has answered before, so that losing it now
/// means a restart.
pub(super) async fn ended(
    session: &mut Session<'_, '_>,
    id: JobId,
    scope: Scope,
    limit: Option<Duration>,
) -> Result<Reply, Failure> {
    let waiting = turns(session, id, scope);
    let Some(limit) = limit else { return waiting.await };
    timeout(limit, waiting).await.unwrap_or_else(|_| {
        Err(Failure::timed_out(format!(
            "the {what} {id} has not ended after {}; `attendant jobs wait --scope {what} {id}` \
             waits on",
            humantime::format_duration(limit),
            what = scope.name(),
        )))
    })
}

async fn turns(session: &mut Session<'_, '_>, id: JobId, scope: Scope) -> Result<Reply, Failure> {
    let query = [("scope", scope.name().to_owned()), ("timeout", TURN.to_owned())];
    let mut lost: Option<Instant> = None;
    loop {
        match session.get(&["jobs", &id.to_string(), "wait"], &query).await {
            Ok(reply) if reply.status != 204 => return Ok(reply),
            Ok(_) => lost = None,
            Err(failure) if is_passing(&failure) => {
                if lost.is_none() && !session.json() {
                    session.console.note("The daemon is away; waiting for it.");
                }
                if lost.get_or_insert_with(Instant::now).elapsed() > GRACE {
                    return Err(failure);
                }
                sleep(PAUSE).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// A daemon that stops or starts.
const fn is_passing(failure: &Failure) -> bool {
    matches!(failure, Failure::Said(Exit::Unreachable, _) | Failure::Problem { status: 503, .. })
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
    session: &Session<'_, '_>,
    job: &Value,
) -> Result<Vec<Failure>, Failure> {
    let mut failures = vec![];
    for link in fields::list(job, "chain.jobs") {
        if fields::text(link, "state") == JobState::Completed.name() {
            continue;
        }
        let id = fields::text(link, "id");
        let job = session.get(&["jobs", &id], &[]).await?.value()?;
        failures.extend(verdict(&job).err());
    }
    Ok(failures)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
