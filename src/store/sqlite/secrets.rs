//! Refused logins and changed secrets: rows to arguments and back.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{Arg, read, sql};
use crate::{
    store::{LoginRow, QueueId, SecretChangeRow, StoreResult},
    types::Timestamp,
};

pub(super) fn login(row: &SqliteRow) -> StoreResult<LoginRow> {
    Ok(LoginRow {
        login: read::hash(row, 0)?.unwrap_or_default(),
        refusals: read::count(row, 1),
        doubts: read::count(row, 2),
        distrust: read::count(row, 3),
        at: Timestamp(row.get(4)),
    })
}

pub(super) fn login_args(row: &LoginRow) -> Vec<Arg> {
    let count = |n: u32| Arg::Int(Some(i64::from(n)));
    vec![
        Arg::Bytes(Some(row.login.to_vec())),
        count(row.refusals),
        count(row.doubts),
        count(row.distrust),
        Arg::Int(Some(row.at.0)),
    ]
}

pub(super) fn change(row: &SqliteRow) -> StoreResult<SecretChangeRow> {
    Ok(SecretChangeRow {
        queue: row.get(0),
        name: row.get(1),
        pending: row.get::<i64, _>(2) != 0,
        configured: read::hash(row, 3)?.unwrap_or_default(),
        salt: read::hash(row, 4)?.unwrap_or_default(),
        value: row.get(5),
        job: read::job_id(row, 6)?,
        at: Timestamp(row.get(7)),
    })
}

pub(super) fn of(queue: QueueId, name: &str, pending: bool) -> Vec<Arg> {
    let pending = Arg::Int(Some(i64::from(pending)));
    vec![Arg::Int(Some(queue)), Arg::Text(Some(name.to_owned())), pending]
}

/// The statement that keeps a change, with its arguments.
pub(super) fn saving(row: SecretChangeRow) -> (&'static str, Vec<Arg>) {
    let mut kept = of(row.queue, &row.name, row.pending);
    kept.extend([
        Arg::Bytes(Some(row.configured.to_vec())),
        Arg::Bytes(Some(row.salt.to_vec())),
        Arg::Bytes(Some(row.value)),
        Arg::Bytes(Some(row.job.0.as_bytes().to_vec())),
        Arg::Int(Some(row.at.0)),
    ]);
    if row.pending {
        return (sql::SAVE_PENDING_SECRET, kept);
    }
    let mut args = vec![Arg::Int(Some(row.queue)), Arg::Text(Some(row.name))];
    args.append(&mut kept);
    (sql::SAVE_SECRET_CHANGE, args)
}
