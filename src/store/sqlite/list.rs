//! The statement of a job list: what is filtered for, newest first.

use sqlx::sqlite::SqliteArguments;

use super::{args, encode::state_code, flush::Arg, sql::JOB_COLUMNS};
use crate::store::{JobFilter, StoreError, StoreResult};

/// Within one of the limits at least; with no limit at all nothing is let through.
const WITHIN: &str = " AND EXISTS (SELECT 1 FROM json_each(?) AS w
  WHERE (w.value ->> '$.accounts' IS NULL
      OR q.account IN (SELECT value FROM json_each(w.value, '$.accounts')))
    AND (w.value ->> '$.kinds' IS NULL
      OR k.name IN (SELECT value FROM json_each(w.value, '$.kinds'))
      OR (SELECT rk.name FROM jobs AS r JOIN kinds AS rk ON rk.id = r.kind WHERE r.seq = j.root)
         IN (SELECT value FROM json_each(w.value, '$.kinds'))))";

/// Newest first; the id, whose beginning is its time, is the cursor.
pub(super) fn list_statement(filter: &JobFilter) -> StoreResult<(String, SqliteArguments)> {
    let mut sql = format!("{JOB_COLUMNS} WHERE true");
    let mut args = args![];
    let mut add = |condition: &str, value: Arg| {
        sql.push_str(condition);
        match value {
            Arg::Int(value) => sqlx::Arguments::add(&mut args, value),
            Arg::Text(value) => sqlx::Arguments::add(&mut args, value),
            Arg::Bytes(value) => sqlx::Arguments::add(&mut args, value),
            Arg::Resealed(value) => sqlx::Arguments::add(&mut args, value),
        }
        .map_err(|error| StoreError::Unexpected(error.to_string()))
    };
    if let Some(state) = filter.state {
        // Written out, so that a partial index of that state can serve.
        add(&format!(" AND j.state = {} AND ? IS NULL", state_code(state)), Arg::Int(None))?;
    }
    if let Some(kind) = &filter.kind {
        add(" AND j.kind = (SELECT id FROM kinds WHERE name = ?)", Arg::Text(Some(kind.clone())))?;
    }
    if let Some(account) = &filter.account {
        add(
            " AND j.queue = (SELECT id FROM queues WHERE account = ?)",
            Arg::Text(Some(account.clone())),
        )?;
    }
    if let Some(tag) = &filter.tag {
        add(
            " AND j.seq IN (SELECT job FROM job_tags WHERE tag = ?)",
            Arg::Text(Some(tag.clone())),
        )?;
    }
    if let Some(code) = &filter.code {
        add(" AND j.error_code = ?", Arg::Text(Some(code.clone())))?;
    }
    if let Some(since) = filter.since {
        add(" AND j.created_at >= ?", Arg::Int(Some(since.0)))?;
    }
    if let Some(within) = &filter.within {
        add(WITHIN, Arg::Text(Some(serde_json::json!(within).to_string())))?;
    }
    if let Some(before) = filter.before {
        add(" AND j.id < ?", Arg::Bytes(Some(before.0.as_bytes().to_vec())))?;
    }
    add(" ORDER BY j.id DESC LIMIT ?", Arg::Int(Some(i64::from(filter.limit))))?;
    Ok((sql, args))
}
