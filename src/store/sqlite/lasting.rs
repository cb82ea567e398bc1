//! Schedules and retention: rows to arguments and back.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{Arg, read, sql};
use crate::{
    store::{EndedChain, Fire, History, OccurrenceRow, ScheduleRow, StoreResult},
    types::Timestamp,
};

fn int(value: i64) -> Arg {
    Arg::Int(Some(value))
}

fn time(at: Option<Timestamp>) -> Arg {
    Arg::Int(at.map(|at| at.0))
}

fn text(value: &str) -> Arg {
    Arg::Text(Some(value.to_owned()))
}

pub(super) fn schedule(row: &SqliteRow) -> StoreResult<ScheduleRow> {
    let last = match read::optional_time(row, 3) {
        None => None,
        Some(at) => {
            Some(OccurrenceRow { at, fired_at: read::time(row, 4), job: read::job_id(row, 5)? })
        }
    };
    let next_at = read::optional_time(row, 2);
    Ok(ScheduleRow { name: row.get(0), spec: row.get(1), next_at, last })
}

pub(super) fn saving(name: &str, spec: &str, next_at: Option<Timestamp>) -> Vec<Arg> {
    vec![text(name), text(spec), time(next_at)]
}

pub(super) fn moving(name: &str, was: Timestamp, next_at: Option<Timestamp>) -> Vec<Arg> {
    vec![time(next_at), text(name), int(was.0)]
}

/// In the order of `fire.sql`. The sealed arguments stand alone, so that what was sealed with a key
/// that is being replaced is noticed.
pub(super) fn firing(fire: Fire) -> Vec<Arg> {
    let Fire { schedule, was, at, now, next_at, job } = fire;
    let (name, was, at) = (text(&schedule), int(was.0), int(at.0));
    let id = Arg::Bytes(Some(job.id.0.as_bytes().to_vec()));
    let hash = |hash: Option<[u8; 16]>| Arg::Bytes(hash.map(|hash| hash.to_vec()));
    let tags = serde_json::Value::from(job.tags.as_slice()).to_string();
    let tags = Arg::Text((!job.tags.is_empty()).then_some(tags));
    let occurrence = [name.clone(), at.clone(), id.clone()];
    let mut args = vec![at.clone(), int(now.0), id.clone(), name.clone(), was.clone()];
    args.extend([id.clone(), hash(job.salt), hash(job.uniq), Arg::Bytes(Some(job.args))]);
    args.extend([int(job.queue), int(job.kind), int(i64::from(job.priority)), int(job.run_at.0)]);
    args.extend([int(i64::from(job.max_errors)), time(job.deadline), int(job.created_at.0)]);
    args.extend([int(job.created_by), tags]);
    args.extend(occurrence.clone());
    args.push(id.clone());
    args.extend([int(job.queue), hash(job.uniq)]);
    args.extend(occurrence);
    args.extend([id, time(next_at), name.clone(), was]);
    args.extend([name.clone(), name]);
    args
}

pub(super) fn ended(row: &SqliteRow) -> EndedChain {
    EndedChain {
        root: row.get(0),
        finished_at: read::time(row, 1),
        files: u64::try_from(row.get::<i64, _>(2)).unwrap_or(0),
        last: read::time(row, 3),
        dead: row.get(4),
    }
}

pub(super) const fn lengths(of: History) -> &'static str {
    match of {
        History::Attempts => sql::ATTEMPT_COUNTS,
        History::Observations => sql::OBSERVATION_COUNTS,
    }
}

pub(super) const fn trimming(of: History) -> &'static str {
    match of {
        History::Attempts => sql::TRIM_ATTEMPTS,
        History::Observations => sql::TRIM_OBSERVATIONS,
    }
}
