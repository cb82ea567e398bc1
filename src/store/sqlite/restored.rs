//! A database that was brought back: looked through, and kept from doing what was done elsewhere.

use std::{collections::BTreeSet, path::Path};

use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::open::{MIGRATIONS, OpenError, migrate, wrapped};
use crate::types::Timestamp;

/// What is known of a copy.
#[derive(Debug)]
pub struct Copied {
    /// The accounts that are configured: their queues are paused too if they are new.
    pub accounts: Vec<String>,
    /// The daemon's own queue, which nobody could open again.
    pub own_queue: &'static str,
    pub paused_by: String,
    /// Kinds whose jobs may be done again.
    pub repeatable: BTreeSet<String>,
    pub now: Timestamp,
}

/// What was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Jobs that may have been carried out since the copy was made.
    pub outcome_unknown: u64,
}

/// Looks through all of a file that nobody else has: what is wrong with it, if anything.
pub async fn look_through_all(path: &Path) -> Result<Result<(), String>, OpenError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let wrap = |error: sqlx::Error| wrapped(path, &error);
    let mut sqlite = options.connect().await.map_err(wrap)?;
    let looked = sqlx::query("PRAGMA integrity_check(3)").fetch_all(&mut sqlite).await;
    let rows = match looked {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    sqlite.close().await.map_err(wrap)?;
    Ok(if found == ["ok"] { Ok(()) } else { Err(found.join("; ")) })
}

/// Leaves to a person what must not be repeated, pauses every queue, and forgets how far schedules
/// had come. Brings the schema up to date first.
pub async fn make_copy_harmless(path: &Path, copy: Copied) -> Result<Restored, OpenError> {
    let wrap = |error: sqlx::Error| wrapped(path, &error);
    // Nothing beside the file: it is moved when this is done.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Full)
        .pragma("trusted_schema", "OFF")
        .pragma("secure_delete", "ON");
    let mut sqlite = options.connect().await.map_err(wrap)?;
    migrate(path, &MIGRATIONS, &mut sqlite).await?;
    let restored = mark(&mut sqlite, copy).await.map_err(wrap)?;
    sqlite.close().await.map_err(wrap)?;
    Ok(restored)
}

async fn mark(sqlite: &mut SqliteConnection, copy: Copied) -> sqlx::Result<Restored> {
    let mut all = sqlite.begin().await?;
    let mut never: Vec<i64> = vec![];
    for row in sqlx::query("SELECT id, name FROM kinds").fetch_all(&mut *all).await? {
        let name: &str = row.get(1);
        if !copy.repeatable.contains(name) {
            never.push(row.get(0));
        }
    }
    let never = serde_json::Value::from(never).to_string();
    // Those of priority 0 keep credentials: they never end, and mind themselves what may be out.
    let ended = sqlx::query(
        "UPDATE jobs SET state = 3, finished_at = ?1, error_code = 'outcome_unknown',
         error_at = ?1, error_message = NULL, lease_until = NULL, intent = NULL, cancel = NULL
         WHERE state <= 1 AND priority > 0 AND kind IN (SELECT value FROM json_each(?2))",
    )
    .bind(copy.now.0)
    .bind(never)
    .execute(&mut *all)
    .await?;
    for account in &copy.accounts {
        let add = "INSERT INTO queues (account) VALUES (?) ON CONFLICT DO NOTHING";
        sqlx::query(add).bind(account).execute(&mut *all).await?;
    }
    sqlx::query("UPDATE queues SET paused_by = ? WHERE account <> ?")
        .bind(&copy.paused_by)
        .bind(copy.own_queue)
        .execute(&mut *all)
        .await?;
    sqlx::query("DELETE FROM schedules").execute(&mut *all).await?;
    all.commit().await?;
    Ok(Restored { outcome_unknown: ended.rows_affected() })
}
