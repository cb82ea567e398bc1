//! One batch, one transaction, one hop to the connection's thread.
//!
//! sqlx runs a SQLite connection on a thread of its own, and each hop there costs more than a
//! small statement does. So the statements of a batch, `BEGIN` and `COMMIT` included, are sent as
//! one text with one list of arguments, and the rows that come back are told apart by the end
//! mark of each statement.

mod claim;
mod enqueue;
mod settle;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt as _;
use sqlx::{
    AssertSqlSafe, Either, Executor, SqlSafeStr as _,
    sqlite::{SqliteArguments, SqliteConnection, SqliteRow},
};

use self::{
    claim::{read_claimed, write_buckets, write_claim},
    enqueue::{read_enqueued, write_jobs},
    settle::{read_settled, write_settlements},
};
use super::error;
use crate::store::{
    StoreError, StoreResult,
    batch::{Batch, Flush, Flushed},
};

/// A statement that is not worth folding, with its arguments.
#[derive(Debug)]
pub struct Statement {
    pub(super) sql: &'static str,
    pub(super) args: Vec<Arg>,
}

/// One argument of a [`Statement`].
#[derive(Debug, Clone)]
pub(super) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    /// New values together with those whose place they take: the old ones are only compared.
    Resealed(Vec<u8>),
}

/// The one writing connection.
#[derive(Debug)]
pub struct Connection {
    pub(super) sqlite: SqliteConnection,
    pub(super) refused: Refused,
}

/// Beginnings of values that must not be stored any more.
#[derive(Debug, Clone, Default)]
pub struct Refused(Arc<Mutex<Vec<Vec<u8>>>>);

impl Refused {
    pub(super) fn add(&self, begin: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(begin.to_vec());
    }

    fn check(&self, batch: &Batch<Statement>) -> StoreResult<()> {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = |value: &[u8]| refused.iter().any(|begin| value.starts_with(begin));
        if refused.is_empty() || !sealed_in(batch).any(stale) {
            return Ok(());
        }
        Err(StoreError::Stale)
    }
}

/// Every sealed value that a batch would store, but for what was sealed anew: that begins otherwise.
fn sealed_in(batch: &Batch<Statement>) -> impl Iterator<Item = &[u8]> {
    let settled = batch.settle.iter().flat_map(|one| {
        let parts = [
            one.result.as_ref(),
            one.error.as_ref().and_then(|error| error.message.as_ref()),
            one.history.as_ref().and_then(|attempt| attempt.message.as_ref()),
            one.observation.as_ref().map(|seen| &seen.status),
            one.artifact.as_ref().map(|file| &file.sealed),
        ];
        parts.into_iter().flatten().chain(one.children.iter().map(|child| &child.args))
    });
    let custom = batch.custom.iter().flat_map(|one| &one.args).filter_map(|arg| match arg {
        Arg::Bytes(Some(bytes)) => Some(bytes),
        _ => None,
    });
    let enqueued = batch.enqueue.iter().map(|job| &job.args);
    settled.chain(custom).chain(enqueued).map(Vec::as_slice)
}

/// A text of several statements with the arguments of all, and what to read from which.
struct Script {
    sql: String,
    args: SqliteArguments,
    /// Statements so far; the index of the next one.
    statements: usize,
    /// Only texts that recur are worth keeping prepared.
    keep: bool,
}

impl Script {
    fn new() -> Self {
        let mut script = Self {
            sql: String::new(),
            args: SqliteArguments::default(),
            statements: 0,
            keep: true,
        };
        script.add("BEGIN IMMEDIATE;\n");
        script
    }

    /// Appends statements, each ended by a `;`, and says the index of the first.
    fn add(&mut self, sql: &str) -> usize {
        let first = self.statements;
        self.sql.push_str(sql);
        self.statements += statements_in(sql);
        first
    }

    fn bind<'q, T: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>>(
        &mut self,
        value: T,
    ) -> StoreResult<()> {
        use sqlx::Arguments as _;
        self.args.add(value).map_err(|error| StoreError::Unexpected(error.to_string()))
    }

    /// Appends statements that each read the same rows.
    fn add_rows(&mut self, sql: &str, rows: &(String, Vec<u8>)) -> StoreResult<usize> {
        for _ in 0..sql.matches("? AS j").count() {
            self.bind(rows.0.clone())?;
            self.bind(rows.1.clone())?;
        }
        Ok(self.add(sql))
    }
}

/// A `;` in a comment ends nothing. Comments of ours have lines of their own, and no string
/// literal holds a `;`.
fn statements_in(sql: &str) -> usize {
    let code = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
    code.map(|line| line.matches(';').count()).sum()
}

#[async_trait]
impl Flush for Connection {
    type Custom = Statement;
    type Row = SqliteRow;

    async fn flush(&mut self, batch: &mut Batch<Statement>) -> StoreResult<Flushed<SqliteRow>> {
        self.refused.check(batch)?;
        let mut script = Script::new();
        let settle = write_settlements(&mut script, &batch.settle)?;
        let custom = write_custom(&mut script, &batch.custom)?;
        let enqueue = write_jobs(&mut script, &batch.enqueue)?;
        write_buckets(&mut script, &batch.buckets, batch.claim.as_ref())?;
        let claim = write_claim(&mut script, batch.claim.as_ref())?;
        script.add("COMMIT;");

        let mut rows = self.run(script).await?;
        Ok(Flushed {
            settle: read_settled(settle, &batch.settle, &rows),
            enqueue: read_enqueued(enqueue, &batch.enqueue, &rows)?,
            claim: read_claimed(claim, &rows)?,
            custom: custom.into_iter().map(|at| std::mem::take(&mut rows[at])).collect(),
        })
    }

    async fn make_room(&mut self) -> bool {
        // Busy, frames in the log, frames that are in the file.
        let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut self.sqlite).await;
        row.is_ok_and(|row| {
            let [logged, moved] = [1, 2].map(|at| sqlx::Row::get::<i64, _>(&row, at));
            logged == moved
        })
    }

    async fn truncate_log(&mut self) -> StoreResult<bool> {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut self.sqlite)
            .await
            .map_err(|trouble| error::from_sqlx(&trouble))?;
        Ok(sqlx::Row::get::<i64, _>(&row, 0) == 0)
    }

    async fn close(&mut self) {
        // What is in the write-ahead log is durable; this only tidies.
        let _ = self.sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    }
}

impl Connection {
    /// Runs a script; the rows of each of its statements.
    async fn run(&mut self, script: Script) -> StoreResult<Vec<Vec<SqliteRow>>> {
        let statements = script.statements;
        let query = sqlx::query_with(AssertSqlSafe(script.sql).into_sql_str(), script.args)
            .persistent(script.keep);
        let mut rows: Vec<Vec<SqliteRow>> = Vec::with_capacity(statements);
        rows.push(vec![]);
        let mut stream = self.sqlite.fetch_many(query);
        let ended = loop {
            match stream.next().await {
                Some(Ok(Either::Left(_))) => rows.push(vec![]),
                Some(Ok(Either::Right(row))) => {
                    if let Some(last) = rows.last_mut() {
                        last.push(row);
                    }
                }
                Some(Err(trouble)) => break Err(error::from_sqlx(&trouble)),
                None => break Ok(()),
            }
        };
        drop(stream);
        if let Err(trouble) = ended {
            // SQLite may have rolled back by itself already; then this says so and that is fine.
            let _ = self.sqlite.execute("ROLLBACK").await;
            return Err(trouble);
        }
        Ok(rows)
    }
}

fn write_custom(script: &mut Script, custom: &[Statement]) -> StoreResult<Vec<usize>> {
    let mut at = Vec::with_capacity(custom.len());
    for statement in custom {
        script.keep = false;
        at.push(script.add(statement.sql));
        // Kept, for the statement may have to be tried again alone.
        for arg in statement.args.iter().cloned() {
            match arg {
                Arg::Int(value) => script.bind(value)?,
                Arg::Text(value) => script.bind(value)?,
                Arg::Bytes(value) => script.bind(value)?,
                Arg::Resealed(value) => script.bind(value)?,
            }
        }
    }
    Ok(at)
}
