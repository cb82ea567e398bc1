//! One job with everything around it: `GET /v1/jobs/{id}`.

use serde::Serialize;

use super::{
    access::Caller,
    view::{JobView, OpenJob},
};
use crate::{
    config::Right,
    credentials::vault::Part,
    engine::Engine,
    store::{ArtifactRow, AttemptRow, ChainRow, JobRow, ObservationRow, StoreResult},
    types::{Generation, JobId, JobState, Timestamp},
};

#[derive(Debug, Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    job: JobView<'a>,
    attempts: Vec<Attempt<'a>>,
    observations: Vec<Observation>,
    children: Vec<JobId>,
    chain: Chain<'a>,
}

#[derive(Debug, Serialize)]
struct Attempt<'a> {
    generation: Generation,
    started_at: Timestamp,
    finished_at: Timestamp,
    outcome: &'a str,
    code: Option<&'a str>,
    message: Option<String>,
}

#[derive(Debug, Serialize)]
struct Observation {
    at: Timestamp,
    status: Option<String>,
    /// How many polls there had been.
    polls: i64,
}

#[derive(Debug, Serialize)]
struct Chain<'a> {
    state: &'static str,
    jobs: Vec<Link>,
    artifacts: Vec<Artifact<'a>>,
}

#[derive(Debug, Serialize)]
struct Link {
    id: JobId,
    state: JobState,
}

#[derive(Debug, Serialize)]
struct Artifact<'a> {
    job_id: JobId,
    name: &'a str,
    content_type: &'a str,
    size: i64,
    sha256: &'a str,
}

/// A job with its attempts, observations and chain, as JSON.
pub async fn of(engine: &Engine, row: JobRow, caller: &Caller) -> StoreResult<Vec<u8>> {
    let open = OpenJob::open(engine, row).with_result(engine, caller).await?;
    let attempts = engine.store.attempts(open.row.seq).await?;
    let observations = engine.store.observations(open.row.seq).await?;
    let chain = engine.store.chain(open.row.root).await?;
    let state = chain_state(&chain);
    let chain: Vec<ChainRow> =
        chain.into_iter().filter(|job| is_shown(caller, &open.row, job)).collect();
    let artifacts = engine.store.artifacts(chain.iter().map(|job| job.seq).collect()).await?;
    let children =
        chain.iter().filter(|job| job.parent == Some(open.row.seq)).map(|job| job.id).collect();
    Ok(super::json::bytes(&Detail {
        job: open.view(),
        attempts: attempts.iter().map(|row| attempt(&open, row)).collect(),
        observations: observations.iter().map(|row| observation(&open, row)).collect(),
        children,
        chain: Chain {
            state,
            jobs: chain.iter().map(|job| Link { id: job.id, state: job.state }).collect(),
            artifacts: artifacts.iter().map(artifact).collect(),
        },
    }))
}

/// Whoever may read the first job may read all of the chain, as far as its accounts are theirs.
fn is_shown(caller: &Caller, row: &JobRow, job: &ChainRow) -> bool {
    caller.grants.on(Right::Read, &job.account, &job.kind)
        || caller.grants.on(Right::Read, &job.account, &row.root_kind)
}

fn attempt<'a>(job: &OpenJob, row: &'a AttemptRow) -> Attempt<'a> {
    let sealed = row.message.as_ref();
    Attempt {
        generation: row.generation,
        started_at: row.started_at,
        finished_at: row.finished_at,
        outcome: &row.outcome,
        code: row.code.as_deref(),
        message: sealed.and_then(|sealed| job.text(Part::Attempt(row.generation), sealed)),
    }
}

fn observation(job: &OpenJob, row: &ObservationRow) -> Observation {
    let status = job.text(Part::Status(row.n), &row.status);
    Observation { at: row.at, status, polls: row.polls }
}

fn artifact(row: &ArtifactRow) -> Artifact<'_> {
    Artifact {
        job_id: row.job,
        name: &row.name,
        content_type: &row.content_type,
        size: row.size,
        sha256: &row.sha256,
    }
}

/// `running` while any job is live; else the worst end of all.
#[must_use]
pub fn chain_state(jobs: &[ChainRow]) -> &'static str {
    let any = |state: JobState| jobs.iter().any(|job| job.state == state);
    if is_live(jobs) {
        "running"
    } else if any(JobState::Dead) {
        "dead"
    } else if any(JobState::Cancelled) {
        "cancelled"
    } else {
        "completed"
    }
}

#[must_use]
pub fn is_live(jobs: &[ChainRow]) -> bool {
    jobs.iter().any(|job| !job.state.has_ended())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_as_bad_as_its_worst_job() {
        use JobState::{Cancelled, Completed, Dead, Queued, Running};
        let table: [(&[JobState], &str); 6] = [
            (&[Completed, Completed], "completed"),
            (&[Completed, Queued], "running"),
            (&[Dead, Running], "running"),
            (&[Completed, Cancelled, Dead], "dead"),
            (&[Completed, Cancelled], "cancelled"),
            (&[Dead], "dead"),
        ];
        for (states, expected) in table {
            let job = |state: &JobState| ChainRow {
                seq: 1,
                id: JobId(uuid::Uuid::nil()),
                parent: None,
                state: *state,
                kind: String::new(),
                account: String::new(),
            };
            let jobs: Vec<ChainRow> = states.iter().map(job).collect();
            assert_eq!(chain_state(&jobs), expected, "{states:?}");
        }
    }
}
