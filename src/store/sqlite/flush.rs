//! One batch, one transaction, one hop to the connection's thread.
//!
//! sqlx runs a SQLite connection on a thread of its own, and each hop there costs more than a
//! small statement does. So the statements of a batch, `BEGIN` and `COMMIT` included, are sent as
//! one text with one list of arguments, and the rows that come back are told apart by the end
//! mark of each statement.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use futures::StreamExt as _;
use sqlx::{
    AssertSqlSafe, Either, Executor, Row as _, SqlSafeStr as _,
    sqlite::{SqliteArguments, SqliteConnection, SqliteRow},
};

use super::{encode::Rows, error, read};
use crate::{
    store::{
        BucketRow, Claim, Claimed, Enqueued, NewJob, Settlement, StoreError, StoreResult,
        batch::{Batch, Flush, Flushed},
    },
    types::{JobId, Timestamp},
};

const ENQUEUE_KEYS: &str = include_str!("../sql/enqueue_keys.sql");
const ENQUEUE_JOBS: &str = include_str!("../sql/enqueue_jobs.sql");
const ENQUEUE_TAGS: &str = include_str!("../sql/enqueue_tags.sql");
const ENQUEUE_CONFLICTS: &str = include_str!("../sql/enqueue_conflicts.sql");
pub(super) const SETTLE_CHILDREN: &str = include_str!("../sql/settle_children.sql");
pub(super) const SETTLE_ATTEMPTS: &str = include_str!("../sql/settle_attempts.sql");
pub(super) const SETTLE_OBSERVATIONS: &str = include_str!("../sql/settle_observations.sql");
const SETTLE_ARTIFACTS: &str = include_str!("../sql/settle_artifacts.sql");
pub(super) const SETTLE_JOBS: &str = include_str!("../sql/settle_jobs.sql");
pub(super) const CLAIM_PROMOTE: &str = include_str!("../sql/claim_promote.sql");
pub(super) const CLAIM_JOBS: &str = include_str!("../sql/claim_jobs.sql");
pub(super) const CLAIM_NEXT: &str = include_str!("../sql/claim_next.sql");
const BUCKETS: &str = include_str!("../sql/buckets.sql");

/// A statement that is not worth folding, with its arguments.
#[derive(Debug)]
pub struct Statement {
    pub(super) sql: &'static str,
    pub(super) args: Vec<Arg>,
}

/// One argument of a [`Statement`].
#[derive(Debug)]
pub(super) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

/// The one writing connection.
#[derive(Debug)]
pub struct Connection {
    pub(super) sqlite: SqliteConnection,
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
        let mut script = Script::new();
        let settle = write_settlements(&mut script, &batch.settle)?;
        let custom = write_custom(&mut script, &mut batch.custom)?;
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

fn write_custom(script: &mut Script, custom: &mut [Statement]) -> StoreResult<Vec<usize>> {
    let mut at = Vec::with_capacity(custom.len());
    for statement in custom {
        script.keep = false;
        at.push(script.add(statement.sql));
        for arg in statement.args.drain(..) {
            match arg {
                Arg::Int(value) => script.bind(value)?,
                Arg::Text(value) => script.bind(value)?,
                Arg::Bytes(value) => script.bind(value)?,
            }
        }
    }
    Ok(at)
}

struct EnqueueAt {
    jobs: usize,
    /// The first of the conflict statements.
    conflicts: Option<usize>,
}

fn write_jobs(script: &mut Script, jobs: &[NewJob]) -> StoreResult<Option<EnqueueAt>> {
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

fn read_enqueued(
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

fn write_settlements(script: &mut Script, list: &[Settlement]) -> StoreResult<Option<usize>> {
    if list.is_empty() {
        return Ok(None);
    }
    let mut parts: [(&str, Rows); 4] = [
        (SETTLE_CHILDREN, Rows::default()),
        (SETTLE_ATTEMPTS, Rows::default()),
        (SETTLE_OBSERVATIONS, Rows::default()),
        (SETTLE_ARTIFACTS, Rows::default()),
    ];
    let mut jobs = Rows::default();
    for one in list {
        let [children, attempts, observations, artifacts] = &mut parts;
        for child in &one.children {
            let mut row = children.1.row();
            row.job(child);
            row.int(one.generation.0).int(super::encode::state_code(one.from)).opt(one.args_rev);
        }
        if let Some(history) = &one.history {
            attempts
                .1
                .row()
                .fence(one)
                .int(history.started_at.0)
                .int(one.now.0)
                .text(history.outcome)
                .opt_text(history.code.as_deref())
                .bytes(history.message.as_deref());
        }
        if let Some(seen) = &one.observation {
            observations
                .1
                .row()
                .fence(one)
                .int(seen.n)
                .int(one.now.0)
                .int(seen.polls)
                .bytes(Some(&seen.status));
        }
        if let Some(file) = &one.artifact {
            artifacts
                .1
                .row()
                .fence(one)
                .text(&file.name)
                .text(&file.content_type)
                .int(file.size)
                .text(&file.sha256)
                .bytes(Some(&file.sealed));
        }
        write_end(&mut jobs, one);
    }
    for (sql, rows) in parts {
        if !rows.is_empty() {
            let rows = rows.finish();
            script.add_rows(sql, &rows)?;
            // Children that were fenced off are not there to be tagged.
            if sql == SETTLE_CHILDREN && any_tags(list) {
                script.add_rows(ENQUEUE_TAGS, &rows)?;
            }
        }
    }
    Ok(Some(script.add_rows(SETTLE_JOBS, &jobs.finish())?))
}

fn any_tags(list: &[Settlement]) -> bool {
    list.iter().flat_map(|one| &one.children).any(|child| !child.tags.is_empty())
}

fn write_end(jobs: &mut Rows, one: &Settlement) {
    let ended = one.state.has_ended().then_some(one.now);
    jobs.row()
        .fence(one)
        .int(super::encode::state_code(one.state))
        .int(one.run_at.0)
        .int(i64::from(one.ready))
        .int(one.attempt)
        .int(i64::from(one.errors))
        .int(one.polls)
        .time(one.deadline)
        .time(ended)
        .opt_text(one.error.as_ref().map(|error| error.code.as_str()))
        .time(one.error.as_ref().map(|error| error.at))
        .bytes(one.error.as_ref().and_then(|error| error.message.as_deref()))
        .bytes(one.result.as_deref())
        .int(one.now.0);
}

fn read_settled(at: Option<usize>, list: &[Settlement], rows: &[Vec<SqliteRow>]) -> Vec<bool> {
    let Some(at) = at else { return vec![] };
    if rows[at].len() == list.len() {
        return vec![true; list.len()];
    }
    let done: HashSet<i64> = rows[at].iter().map(|row| row.get(0)).collect();
    list.iter().map(|one| done.contains(&one.seq)).collect()
}

/// Bucket rows of this batch and of its claim; the later word on a bucket counts.
fn write_buckets(
    script: &mut Script,
    buckets: &[BucketRow],
    claim: Option<&Claim>,
) -> StoreResult<()> {
    let ahead = claim.map(|claim| claim.buckets.as_slice()).unwrap_or_default();
    if buckets.is_empty() && ahead.is_empty() {
        return Ok(());
    }
    let mut rows = Rows::default();
    for bucket in buckets.iter().chain(ahead) {
        rows.row()
            .text(&bucket.budget)
            .int(bucket.window_ms)
            .text(&bucket.boot)
            .int(bucket.start_ms)
            .int(bucket.wall_ms)
            .int(bucket.spent);
    }
    script.bind(rows.finish().0)?;
    script.add(BUCKETS);
    Ok(())
}

struct ClaimAt {
    promote: Option<usize>,
    jobs: Option<usize>,
    next: usize,
}

fn write_claim(script: &mut Script, claim: Option<&Claim>) -> StoreResult<Option<ClaimAt>> {
    let Some(claim) = claim else { return Ok(None) };
    let mut promote = None;
    if claim.promote > 0 {
        script.bind(claim.now.0)?;
        script.bind(i64::from(claim.promote))?;
        promote = Some(script.add(CLAIM_PROMOTE));
    }
    let mut jobs = None;
    let most = claim.allowances.iter().map(|one| one.count).max().unwrap_or(0);
    if most > 0 {
        let mut rows = Rows::default();
        for one in &claim.allowances {
            rows.row().int(one.queue).int(i64::from(one.count)).int(i64::from(one.max_priority));
        }
        script.bind(claim.lease_until.0)?;
        script.bind(claim.now.0)?;
        script.bind(rows.finish().0)?;
        script.bind(i64::from(most))?;
        jobs = Some(script.add(CLAIM_JOBS));
    }
    Ok(Some(ClaimAt { promote, jobs, next: script.add(CLAIM_NEXT) }))
}

fn read_claimed(at: Option<ClaimAt>, rows: &[Vec<SqliteRow>]) -> StoreResult<Option<Claimed>> {
    let Some(at) = at else { return Ok(None) };
    let mut promoted: Vec<i64> =
        at.promote.map(|n| rows[n].iter().map(|row| row.get(0)).collect()).unwrap_or_default();
    promoted.sort_unstable();
    promoted.dedup();
    let jobs = match at.jobs {
        Some(n) => rows[n].iter().map(read::claimed_job).collect::<StoreResult<_>>()?,
        None => vec![],
    };
    let next_due =
        rows[at.next].first().and_then(|row| row.get::<Option<i64>, _>(0)).map(Timestamp);
    Ok(Some(Claimed { jobs, promoted, next_due }))
}
