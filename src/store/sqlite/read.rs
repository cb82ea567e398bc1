//! Rows into values.

use sqlx::{Row as _, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    store::{
        AttemptRow, ClaimedJob, CredentialRow, GateRow, GateTimeRow, Hash16, JobRow,
        ObservationRow, RunningJob, SinkRow, StoreError, StoreResult, StoredError,
    },
    types::{Generation, JobId, JobState, Timestamp},
};

pub(super) fn job_id(row: &SqliteRow, column: usize) -> StoreResult<JobId> {
    let bytes: &[u8] = row.get(column);
    Uuid::from_slice(bytes)
        .map(JobId)
        .map_err(|_| StoreError::Unexpected(format!("a job id of {} bytes", bytes.len())))
}

fn optional_job_id(row: &SqliteRow, column: usize) -> StoreResult<Option<JobId>> {
    let bytes: Option<&[u8]> = row.get(column);
    bytes.map(|_| job_id(row, column)).transpose()
}

pub(super) fn hash(row: &SqliteRow, column: usize) -> StoreResult<Option<Hash16>> {
    let bytes: Option<&[u8]> = row.get(column);
    bytes
        .map(|bytes| {
            bytes.try_into().map_err(|_| {
                StoreError::Unexpected(format!("a hash or salt of {} bytes", bytes.len()))
            })
        })
        .transpose()
}

pub(super) fn state(code: i64) -> StoreResult<JobState> {
    JobState::ALL
        .into_iter()
        .find(|state| super::encode::state_code(*state) == code)
        .ok_or_else(|| StoreError::Unexpected(format!("job state {code}")))
}

pub(super) fn time(row: &SqliteRow, column: usize) -> Timestamp {
    Timestamp(row.get(column))
}

pub(super) fn optional_time(row: &SqliteRow, column: usize) -> Option<Timestamp> {
    row.get::<Option<i64>, _>(column).map(Timestamp)
}

pub(super) fn count(row: &SqliteRow, column: usize) -> u32 {
    u32::try_from(row.get::<i64, _>(column)).unwrap_or(0)
}

fn priority(row: &SqliteRow, column: usize) -> u8 {
    u8::try_from(row.get::<i64, _>(column)).unwrap_or(u8::MAX)
}

/// Code, time and sealed words, in three columns.
fn stored_error(row: &SqliteRow, code: usize) -> Option<StoredError> {
    let text: Option<String> = row.get(code);
    text.map(|text| StoredError {
        code: text,
        at: optional_time(row, code + 1).unwrap_or_default(),
        message: row.get(code + 2),
    })
}

/// In the order of `claim_jobs.sql`.
pub(super) fn claimed_job(row: &SqliteRow) -> StoreResult<ClaimedJob> {
    let observed: Option<i64> = row.get(19);
    Ok(ClaimedJob {
        seq: row.get(0),
        id: job_id(row, 1)?,
        queue: row.get(2),
        kind: row.get(3),
        priority: priority(row, 4),
        generation: Generation(row.get(5)),
        attempt: row.get(6),
        errors: count(row, 7),
        max_errors: count(row, 8),
        polls: row.get(9),
        run_at: time(row, 10),
        created_at: time(row, 11),
        created_by: row.get(12),
        deadline: optional_time(row, 13),
        parent: row.get(14),
        root: row.get(15),
        salt: hash(row, 16)?,
        args: row.get(17),
        args_rev: row.get(18),
        observation: observed.map(|n| (n, row.get(20))),
        last_code: row.get(21),
        intent: row.get(22),
        polled_at: optional_time(row, 23),
        status_at: optional_time(row, 24),
    })
}

/// In the order of `running.sql`.
pub(super) fn running_job(row: &SqliteRow) -> StoreResult<RunningJob> {
    Ok(RunningJob {
        seq: row.get(0),
        id: job_id(row, 1)?,
        queue: row.get(2),
        kind: row.get(3),
        generation: Generation(row.get(4)),
        attempt: row.get(5),
        errors: count(row, 6),
        max_errors: count(row, 7),
        polls: row.get(8),
        run_at: time(row, 9),
        created_at: time(row, 10),
        started_at: time(row, 11),
        deadline: optional_time(row, 12),
        intent: row.get(13),
        cancel: row.get(14),
    })
}

/// In the order of `job_columns.sql`.
pub(super) fn job(row: &SqliteRow) -> StoreResult<JobRow> {
    let tags: Option<String> = row.get(26);
    Ok(JobRow {
        seq: row.get(0),
        id: job_id(row, 1)?,
        queue: row.get(2),
        kind: row.get(3),
        account: row.get(4),
        state: state(row.get(5))?,
        ready: row.get(6),
        priority: priority(row, 7),
        run_at: time(row, 8),
        created_at: time(row, 9),
        created_by: row.get::<Option<String>, _>(10).unwrap_or_default(),
        generation: Generation(row.get(11)),
        attempt: row.get(12),
        errors: count(row, 13),
        max_errors: count(row, 14),
        polls: row.get(15),
        parent: optional_job_id(row, 16)?,
        root: row.get(17),
        salt: hash(row, 18)?,
        args: row.get(19),
        args_rev: row.get(20),
        deadline: optional_time(row, 21),
        started_at: optional_time(row, 22),
        finished_at: optional_time(row, 23),
        intent: row.get(24),
        cancel: row.get(25),
        tags: tags.and_then(|tags| serde_json::from_str(&tags).ok()).unwrap_or_default(),
        error: stored_error(row, 27),
        status: row.get::<Option<i64>, _>(32).map(|n| (n, row.get(30))),
        has_result: row.get(31),
        root_kind: row.get::<Option<String>, _>(33).unwrap_or_default(),
        root_account: row.get::<Option<String>, _>(34).unwrap_or_default(),
    })
}

pub(super) fn attempt(row: &SqliteRow) -> AttemptRow {
    AttemptRow {
        generation: Generation(row.get(0)),
        started_at: time(row, 1),
        finished_at: time(row, 2),
        outcome: row.get(3),
        code: row.get(4),
        message: row.get(5),
    }
}

pub(super) fn observation(row: &SqliteRow) -> ObservationRow {
    ObservationRow { n: row.get(0), at: time(row, 1), polls: row.get(2), status: row.get(3) }
}

/// Until, code and detail, in three columns; no code, no gate.
pub(super) fn gate_time(row: &SqliteRow) -> GateTimeRow {
    let kind: i64 = row.get(1);
    GateTimeRow {
        queue: row.get(0),
        kind: (kind != 0).then_some(kind),
        since: time(row, 2),
        until: optional_time(row, 3),
    }
}

pub(super) fn gate(row: &SqliteRow, until: usize) -> Option<GateRow> {
    let code: Option<String> = row.get(until + 1);
    code.map(|code| GateRow { until: optional_time(row, until), code, detail: row.get(until + 2) })
}

pub(super) fn credential(row: &SqliteRow) -> StoreResult<CredentialRow> {
    Ok(CredentialRow {
        queue: row.get(0),
        name: row.get(1),
        generation: row.get(2),
        salt: hash(row, 3)?.unwrap_or_default(),
        value: row.get(4),
        sent_at: optional_time(row, 5),
        expires_at: optional_time(row, 6),
        renew_at: optional_time(row, 7),
        promised_until: optional_time(row, 8),
        errors: count(row, 9),
        error: stored_error(row, 10),
        secrets: hash(row, 13)?,
    })
}

pub(super) fn sink(row: &SqliteRow) -> StoreResult<SinkRow> {
    Ok(SinkRow {
        queue: row.get(0),
        credential: row.get(1),
        file: row.get(2),
        generation: row.get(3),
        at: time(row, 4),
        job: optional_job_id(row, 5)?,
    })
}
