//! Jobs into a script, and what became of each out of its rows.

use std::collections::{HashMap, HashSet};

use sqlx::{Row as _, sqlite::SqliteRow};

use super::Script;
use crate::{
    store::{
        Enqueued, NewJob, StoreError, StoreResult,
        sqlite::{encode::Rows, read},
    },
    types::JobId,
};

const ENQUEUE_KEYS: &str = include_str!("../../sql/enqueue_keys.sql");
const ENQUEUE_JOBS: &str = include_str!("../../sql/enqueue_jobs.sql");
const ENQUEUE_CONFLICTS: &str = include_str!("../../sql/enqueue_conflicts.sql");
pub(super) const ENQUEUE_TAGS: &str = include_str!("../../sql/enqueue_tags.sql");

pub(super) struct EnqueueAt {
    jobs: usize,
    /// The first of the conflict statements.
    conflicts: Option<usize>,
}

pub(super) fn write_jobs(script: &mut Script, jobs: &[NewJob]) -> StoreResult<Option<EnqueueAt>> {
    if jobs.is_empty() {
        return Ok(None);
    }
    let mut rows = Rows::default();
    for job in jobs {
        rows.row().job(job);
    }
    let rows = rows.finish();
    if jobs.iter().any(|job| job.key.is_some()) {
        script.add_rows(ENQUEUE_KEYS, &rows)?;
    }
    let at = script.add_rows(ENQUEUE_JOBS, &rows)?;
    if jobs.iter().any(|job| !job.tags.is_empty()) {
        script.add_rows(ENQUEUE_TAGS, &rows)?;
    }
    let conflicts = if jobs.iter().any(|job| job.key.is_some() || job.uniq.is_some()) {
        Some(script.add_rows(ENQUEUE_CONFLICTS, &rows)?)
    } else {
        None
    };
    Ok(Some(EnqueueAt { jobs: at, conflicts }))
}

pub(super) fn read_enqueued(
    at: Option<EnqueueAt>,
    jobs: &[NewJob],
    rows: &[Vec<SqliteRow>],
) -> StoreResult<Vec<Enqueued>> {
    let Some(at) = at else { return Ok(vec![]) };
    let stored = &rows[at.jobs];
    if stored.len() == jobs.len() {
        return Ok(vec![Enqueued::New; jobs.len()]);
    }
    let new: HashSet<JobId> =
        stored.iter().map(|row| read::job_id(row, 0)).collect::<StoreResult<_>>()?;
    let mut met: HashMap<usize, Enqueued> = HashMap::new();
    if let Some(conflicts) = at.conflicts {
        for row in rows[conflicts].iter().chain(&rows[conflicts + 1]) {
            let n = usize::try_from(row.get::<i64, _>(0)).unwrap_or(usize::MAX);
            let id = read::job_id(row, 2)?;
            let outcome = if row.get::<i64, _>(1) == 1 {
                Enqueued::Live { id }
            } else {
                Enqueued::SameKey { id, same_request: row.get::<i64, _>(3) == 1 }
            };
            // A keyed job that met a live twin finds its own key first: the twin is what it met.
            if jobs.get(n).is_some_and(|job| job.id != id) {
                met.entry(n).or_insert(outcome);
            }
        }
    }
    jobs.iter()
        .enumerate()
        .map(|(n, job)| {
            if new.contains(&job.id) {
                return Ok(Enqueued::New);
            }
            met.remove(&n).ok_or_else(|| {
                StoreError::Unexpected(format!("job {} was neither stored nor met", job.id))
            })
        })
        .collect()
}
