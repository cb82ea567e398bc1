//! The store on one SQLite file: WAL, `synchronous = FULL`, one writer, a few readers.

mod cadence;
mod copy;
mod encode;
mod error;
mod flush;
mod lasting;
mod list;
mod open;
mod read;
mod restored;
mod sealed;
mod secrets;
mod sql;

use std::{
    collections::HashMap,
    fs::File,
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use sqlx::{
    AssertSqlSafe, Row as _, SqlSafeStr as _, SqlitePool,
    sqlite::{SqliteArguments, SqliteRow},
};

pub use self::{
    copy::{copy_of, forget_copy},
    open::{DatabaseLock, OpenError, Synchronous, known_schema, open, peek_meta, schema_of},
    restored::{Copied, Restored, look_through_all, make_copy_harmless},
};
use self::{
    encode::{leases as encode_leases, state_code},
    error::from_sqlx,
    flush::{Arg, Connection, Refused, Statement},
};
use super::{
    ActorId, ArtifactRow, AttemptRow, BucketRow, CadenceRow, CancelOutcome, ChainRow, Claim,
    Claimed, ClockStep, CredentialRow, Cutoffs, EndedChain, Enqueued, Erased, ErasureRow, Fire,
    GateTimeRow, Hash16, History, JobFilter, JobRow, JobSeq, KindGateRow, KindId, LoginRow, NewJob,
    ObservationRow, PriceRow, QueueDepth, QueueId, QueueRow, Requeue, Resealed, RunningJob,
    ScheduleRow, SealedAt, SealedColumn, SealedValue, SecretChangeRow, Settlement, SinkRow, Store,
    StoreError, StoreInfo, StoreResult, StoredArtifact, StoredResult, batch::Writer,
    health::Health,
};
use crate::types::{Generation, JobId, JobState, Timestamp};

/// Arguments of a reading statement. Adding fails only for values too large for SQLite.
macro_rules! args {
    ($($value:expr),* $(,)?) => {{
        #[allow(unused_mut)]
        let mut args = SqliteArguments::default();
        $( sqlx::Arguments::add(&mut args, $value)
            .map_err(|error| StoreError::Unexpected(error.to_string()))?; )*
        args
    }};
}

use args;

/// One SQLite database, held by its lock.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer<Connection>,
    readers: SqlitePool,
    names: Mutex<HashMap<(&'static str, String), i64>>,
    refused: Refused,
    health: Arc<Health>,
    lock: DatabaseLock,
}

impl SqliteStore {
    fn new(
        writer: Writer<Connection>,
        readers: SqlitePool,
        lock: DatabaseLock,
        refused: Refused,
        health: Arc<Health>,
    ) -> Self {
        Self { writer, readers, names: Mutex::default(), refused, health, lock }
    }

    /// The number of an interned name; `insert` adds it, `select` finds it.
    async fn intern(
        &self,
        table: &'static str,
        name: &str,
        insert: &'static str,
    ) -> StoreResult<i64> {
        let key = (table, name.to_owned());
        if let Some(id) = self.names.lock().ok().and_then(|names| names.get(&key).copied()) {
            return Ok(id);
        }
        // The update that changes nothing makes RETURNING speak for a name that is there already.
        let rows = self.write(insert, vec![Arg::Text(Some(name.to_owned()))]).await?;
        let id = rows
            .first()
            .map(|row| row.get::<i64, _>(0))
            .ok_or_else(|| StoreError::Unexpected(format!("no number for a name in {table}")))?;
        if let Ok(mut names) = self.names.lock() {
            names.insert(key, id);
        }
        Ok(id)
    }

    async fn write(&self, sql: &'static str, args: Vec<Arg>) -> StoreResult<Vec<SqliteRow>> {
        self.writer.custom(Statement { sql, args }).await
    }

    async fn read(&self, sql: String, args: SqliteArguments) -> StoreResult<Vec<SqliteRow>> {
        sqlx::query_with(AssertSqlSafe(sql).into_sql_str(), args)
            .fetch_all(&self.readers)
            .await
            .map_err(|trouble| {
                let error = from_sqlx(&trouble);
                if matches!(error, StoreError::Corrupt(_)) {
                    self.health.note(&error);
                }
                error
            })
    }
}

/// A disk with less is full.
const LEAST_ROOM: u64 = 1 << 20;

/// The bytes that are left where a file is, as far as that is told.
fn room(path: &Path) -> Option<u64> {
    let disk = nix::sys::statvfs::statvfs(path).ok()?;
    Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

#[async_trait]
impl Store for SqliteStore {
    async fn queue_id(&self, account: &str) -> StoreResult<QueueId> {
        let sql = sql::QUEUE_ID;
        self.intern("queues", account, sql).await
    }

    async fn queue_ids(&self, accounts: Vec<String>) -> StoreResult<Vec<QueueId>> {
        if accounts.is_empty() {
            return Ok(vec![]);
        }
        let list = Arg::Text(Some(serde_json::Value::from(accounts.clone()).to_string()));
        let rows = self.write(sql::QUEUE_IDS, vec![list]).await?;
        let ids: HashMap<String, QueueId> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let id = |name: &String| ids.get(name).copied();
        let missing = || StoreError::Unexpected("no number for a name in queues".to_owned());
        accounts.iter().map(|name| id(name).ok_or_else(missing)).collect()
    }

    async fn kind_id(&self, name: &str) -> StoreResult<KindId> {
        let sql = sql::KIND_ID;
        self.intern("kinds", name, sql).await
    }

    async fn actor_id(&self, who: &str) -> StoreResult<ActorId> {
        let sql = sql::ACTOR_ID;
        self.intern("actors", who, sql).await
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> StoreResult<Vec<Enqueued>> {
        if jobs.is_empty() {
            return Ok(vec![]);
        }
        self.writer.enqueue(jobs).await
    }

    async fn claim(&self, claim: Claim) -> StoreResult<Claimed> {
        self.writer.claim(claim).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> StoreResult<Vec<bool>> {
        self.writer.settle(settlements).await
    }

    async fn extend(
        &self,
        leases: Vec<(JobSeq, Generation)>,
        until: Timestamp,
    ) -> StoreResult<Vec<JobSeq>> {
        let args = vec![Arg::Int(Some(until.0)), Arg::Text(Some(encode_leases(&leases)))];
        let rows = self.write(sql::EXTEND, args).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn record_intent(&self, job: JobSeq, generation: Generation) -> StoreResult<bool> {
        let sql = sql::RECORD_INTENT;
        let args = vec![Arg::Int(Some(job)), Arg::Int(Some(generation.0))];
        Ok(!self.write(sql, args).await?.is_empty())
    }

    async fn running(&self, before: Option<Timestamp>) -> StoreResult<Vec<RunningJob>> {
        let before = before.map_or(i64::MAX, |at| at.0);
        self.read(sql::RUNNING.to_owned(), args![before])
            .await?
            .iter()
            .map(read::running_job)
            .collect()
    }

    async fn ready_queues(&self) -> StoreResult<Vec<QueueId>> {
        // One look per account at the index of ready jobs.
        let sql = sql::READY_QUEUES;
        Ok(self.read(sql.to_owned(), args![]).await?.iter().map(|row| row.get(0)).collect())
    }

    async fn cancel(&self, id: JobId, now: Timestamp) -> StoreResult<CancelOutcome> {
        let sql = sql::CANCEL;
        let id = id.0.as_bytes().to_vec();
        let args = vec![Arg::Int(Some(now.0)), Arg::Bytes(Some(id.clone()))];
        let changed = self.write(sql, args).await?;
        if let Some(row) = changed.first() {
            return Ok(match read::state(row.get(1))? {
                JobState::Cancelled => CancelOutcome::Cancelled,
                JobState::Dead => CancelOutcome::Doubtful,
                _ => CancelOutcome::Asked(row.get(0)),
            });
        }
        let rows = self.read("SELECT state FROM jobs WHERE id = ?".to_owned(), args![id]).await?;
        match rows.first() {
            Some(row) => Ok(CancelOutcome::Ended(read::state(row.get(0))?)),
            None => Ok(CancelOutcome::Unknown),
        }
    }

    async fn requeue(&self, requeue: Requeue) -> StoreResult<bool> {
        let sql = sql::REQUEUE;
        let args = vec![
            Arg::Int(Some(i64::from(requeue.ready))),
            Arg::Int(Some(requeue.run_at.0)),
            Arg::Int(requeue.deadline.map(|at| at.0)),
            Arg::Bytes(Some(requeue.id.0.as_bytes().to_vec())),
            Arg::Int(Some(state_code(requeue.from))),
            Arg::Int(Some(requeue.generation.0)),
        ];
        Ok(!self.write(sql, args).await?.is_empty())
    }

    async fn withdraw_intent(&self, job: JobSeq, generation: Generation) -> StoreResult<bool> {
        let sql = sql::WITHDRAW_INTENT;
        let args = vec![Arg::Int(Some(job)), Arg::Int(Some(generation.0))];
        Ok(!self.write(sql, args).await?.is_empty())
    }

    async fn reschedule(&self, seq: JobSeq, run_at: Timestamp, ready: bool) -> StoreResult<bool> {
        let sql = sql::RESCHEDULE;
        let args =
            vec![Arg::Int(Some(run_at.0)), Arg::Int(Some(i64::from(ready))), Arg::Int(Some(seq))];
        Ok(!self.write(sql, args).await?.is_empty())
    }

    async fn replace_args(&self, seq: JobSeq, args_rev: i64, args: Vec<u8>) -> StoreResult<bool> {
        let sql = sql::REPLACE_ARGS;
        let args = vec![Arg::Bytes(Some(args)), Arg::Int(Some(seq)), Arg::Int(Some(args_rev))];
        Ok(!self.write(sql, args).await?.is_empty())
    }

    async fn job(&self, id: JobId) -> StoreResult<Option<JobRow>> {
        let rows = self
            .read(format!("{} WHERE j.id = ?", sql::JOB_COLUMNS), args![id.0.as_bytes().to_vec()])
            .await?;
        rows.first().map(read::job).transpose()
    }

    async fn live_job(&self, queue: QueueId, uniq: [u8; 16]) -> StoreResult<Option<JobRow>> {
        let sql = format!("{} WHERE j.queue = ? AND j.uniq = ? AND j.state <= 1", sql::JOB_COLUMNS);
        let rows = self.read(sql, args![queue, uniq.to_vec()]).await?;
        rows.first().map(read::job).transpose()
    }

    async fn jobs(&self, filter: JobFilter) -> StoreResult<Vec<JobRow>> {
        let (sql, args) = list::list_statement(&filter)?;
        self.read(sql, args).await?.iter().map(read::job).collect()
    }

    async fn result(&self, id: JobId) -> StoreResult<Option<StoredResult>> {
        let sql = sql::RESULT;
        let rows = self.read(sql.to_owned(), args![id.0.as_bytes().to_vec()]).await?;
        rows.first()
            .map(|row| {
                Ok(StoredResult {
                    state: read::state(row.get(0))?,
                    salt: read::hash(row, 1)?,
                    result: row.get(2),
                    kind: row.get(3),
                    account: row.get(4),
                })
            })
            .transpose()
    }

    async fn attempts(&self, seq: JobSeq) -> StoreResult<Vec<AttemptRow>> {
        let sql = sql::ATTEMPTS;
        Ok(self.read(sql.to_owned(), args![seq]).await?.iter().map(read::attempt).collect())
    }

    async fn observations(&self, seq: JobSeq) -> StoreResult<Vec<ObservationRow>> {
        let sql = sql::OBSERVATIONS;
        Ok(self.read(sql.to_owned(), args![seq]).await?.iter().map(read::observation).collect())
    }

    async fn chain(&self, root: JobSeq) -> StoreResult<Vec<ChainRow>> {
        let sql = sql::CHAIN;
        self.read(sql.to_owned(), args![root, root])
            .await?
            .iter()
            .map(|row| {
                Ok(ChainRow {
                    seq: row.get(0),
                    id: read::job_id(row, 1)?,
                    parent: row.get(2),
                    state: read::state(row.get(3))?,
                    kind: row.get(4),
                    account: row.get(5),
                })
            })
            .collect()
    }

    async fn artifacts(&self, jobs: Vec<JobSeq>) -> StoreResult<Vec<ArtifactRow>> {
        let sql = sql::ARTIFACTS;
        let list = serde_json::Value::from(jobs).to_string();
        self.read(sql.to_owned(), args![list]).await?.iter().map(artifact_row).collect()
    }

    async fn artifact(&self, id: JobId, name: &str) -> StoreResult<Option<StoredArtifact>> {
        let sql = sql::ARTIFACT;
        let rows =
            self.read(sql.to_owned(), args![id.0.as_bytes().to_vec(), name.to_owned()]).await?;
        rows.first()
            .map(|row| {
                Ok(StoredArtifact {
                    row: artifact_row(row)?,
                    sealed: row.get(5),
                    salt: read::hash(row, 6)?,
                })
            })
            .transpose()
    }

    async fn depths(&self) -> StoreResult<Vec<QueueDepth>> {
        let mut depths: HashMap<QueueId, QueueDepth> = HashMap::new();
        for row in self.read(sql::DEPTHS.to_owned(), args![]).await? {
            let queue = row.get(0);
            let depth = depths.entry(queue).or_insert(QueueDepth {
                queue,
                due: 0,
                later: 0,
                running: 0,
                follows: 0,
                next_run_at: None,
                oldest_due: None,
            });
            depth.follows += row.get::<i64, _>(4);
            let count = row.get(2);
            match row.get::<i64, _>(1) {
                0 => (depth.due, depth.oldest_due) = (count, read::optional_time(&row, 3)),
                1 => (depth.later, depth.next_run_at) = (count, read::optional_time(&row, 3)),
                _ => depth.running = count,
            }
        }
        Ok(depths.into_values().collect())
    }

    async fn counts(&self) -> StoreResult<Vec<(JobState, i64)>> {
        let sql = sql::COUNTS;
        self.read(sql.to_owned(), args![])
            .await?
            .iter()
            .map(|row| Ok((read::state(row.get(0))?, row.get(1))))
            .collect()
    }

    async fn queues(&self) -> StoreResult<Vec<QueueRow>> {
        let sql = sql::QUEUES;
        let rows = self.read(sql.to_owned(), args![]).await?;
        Ok(rows
            .iter()
            .map(|row| QueueRow {
                id: row.get(0),
                account: row.get(1),
                paused_by: row.get(2),
                gate: read::gate(row, 3),
                breaker: row.get(6),
            })
            .collect())
    }

    async fn save_queue(&self, queue: QueueRow) -> StoreResult<()> {
        let sql = sql::SAVE_QUEUE;
        let (until, code, detail) = queue
            .gate
            .map_or((None, None, None), |gate| (gate.until, Some(gate.code), gate.detail));
        let args = vec![
            Arg::Text(queue.paused_by),
            Arg::Int(until.map(|at| at.0)),
            Arg::Text(code),
            Arg::Text(detail),
            Arg::Text(queue.breaker),
            Arg::Int(Some(queue.id)),
        ];
        self.write(sql, args).await.map(drop)
    }

    async fn gate_times(&self) -> StoreResult<Vec<GateTimeRow>> {
        let rows = self.read(sql::GATE_TIMES.to_owned(), args![]).await?;
        Ok(rows.iter().map(read::gate_time).collect())
    }

    async fn save_gate_time(&self, row: GateTimeRow, forget: bool) -> StoreResult<()> {
        let ids = [row.queue, row.kind.unwrap_or(0), row.since.0];
        let mut args: Vec<Arg> = ids.map(|id| Arg::Int(Some(id))).into();
        if forget {
            return self.write(sql::FORGET_GATE_TIME, args).await.map(drop);
        }
        args.push(Arg::Int(row.until.map(|at| at.0)));
        self.write(sql::SAVE_GATE_TIME, args).await.map(drop)
    }

    async fn kind_gates(&self) -> StoreResult<Vec<KindGateRow>> {
        let sql = sql::KIND_GATES;
        let rows = self.read(sql.to_owned(), args![]).await?;
        Ok(rows
            .iter()
            .filter_map(|row| {
                let gate = read::gate(row, 2)?;
                Some(KindGateRow { queue: row.get(0), kind: row.get(1), gate })
            })
            .collect())
    }

    async fn save_kind_gate(&self, gate: KindGateRow, open: bool) -> StoreResult<()> {
        let of = [Arg::Int(Some(gate.queue)), Arg::Int(Some(gate.kind))];
        if open {
            let sql = sql::OPEN_KIND_GATE;
            return self.write(sql, of.into()).await.map(drop);
        }
        let sql = sql::KEEP_KIND_GATE;
        let mut args = Vec::from(of);
        args.push(Arg::Int(gate.gate.until.map(|at| at.0)));
        args.push(Arg::Text(Some(gate.gate.code)));
        args.push(Arg::Text(gate.gate.detail));
        self.write(sql, args).await.map(drop)
    }

    async fn wake_kind(&self, queue: QueueId, kind: KindId, now: Timestamp) -> StoreResult<u64> {
        let sql = sql::WAKE_KIND;
        let args = vec![Arg::Int(Some(now.0)), Arg::Int(Some(queue)), Arg::Int(Some(kind))];
        Ok(self.write(sql, args).await?.len() as u64)
    }

    async fn credentials(&self) -> StoreResult<Vec<CredentialRow>> {
        let sql = sql::CREDENTIALS;
        self.read(sql.to_owned(), args![]).await?.iter().map(read::credential).collect()
    }

    async fn save_credential(&self, row: CredentialRow) -> StoreResult<()> {
        let sql = sql::SAVE_CREDENTIAL;
        let time = |at: Option<Timestamp>| Arg::Int(at.map(|at| at.0));
        let (code, at, message) = row
            .error
            .map_or((None, None, None), |error| (Some(error.code), Some(error.at), error.message));
        let args = vec![
            Arg::Int(Some(row.queue)),
            Arg::Text(Some(row.name)),
            Arg::Int(Some(row.generation)),
            Arg::Bytes(Some(row.salt.to_vec())),
            Arg::Bytes(row.value),
            time(row.sent_at),
            time(row.expires_at),
            time(row.renew_at),
            time(row.promised_until),
            Arg::Int(Some(i64::from(row.errors))),
            Arg::Text(code),
            time(at),
            Arg::Bytes(message),
            Arg::Bytes(row.secrets.map(|hash| hash.to_vec())),
        ];
        self.write(sql, args).await.map(drop)
    }

    async fn sinks(&self) -> StoreResult<Vec<SinkRow>> {
        let sql = sql::SINKS;
        self.read(sql.to_owned(), args![]).await?.iter().map(read::sink).collect()
    }

    async fn save_sink(&self, row: SinkRow) -> StoreResult<()> {
        let sql = sql::SAVE_SINK;
        let args = vec![
            Arg::Int(Some(row.queue)),
            Arg::Text(Some(row.credential)),
            Arg::Text(Some(row.file)),
            Arg::Int(Some(row.generation)),
            Arg::Int(Some(row.at.0)),
            Arg::Bytes(row.job.map(|id| id.0.as_bytes().to_vec())),
        ];
        self.write(sql, args).await.map(drop)
    }

    async fn logins(&self) -> StoreResult<Vec<LoginRow>> {
        self.read(sql::LOGINS.to_owned(), args![]).await?.iter().map(secrets::login).collect()
    }

    async fn save_login(&self, row: LoginRow) -> StoreResult<()> {
        self.write(sql::SAVE_LOGIN, secrets::login_args(&row)).await.map(drop)
    }

    async fn forget_login(&self, login: Hash16) -> StoreResult<()> {
        let args = vec![Arg::Bytes(Some(login.to_vec()))];
        self.write(sql::FORGET_LOGIN, args).await.map(drop)
    }

    async fn secret_changes(&self) -> StoreResult<Vec<SecretChangeRow>> {
        let rows = self.read(sql::SECRET_CHANGES.to_owned(), args![]).await?;
        rows.iter().map(secrets::change).collect()
    }

    async fn save_secret_change(&self, row: SecretChangeRow) -> StoreResult<()> {
        let (sql, args) = secrets::saving(row);
        self.write(sql, args).await.map(drop)
    }

    async fn forget_secret_change(
        &self,
        queue: QueueId,
        name: &str,
        pending: bool,
    ) -> StoreResult<()> {
        let args = secrets::of(queue, name, pending);
        self.write(sql::FORGET_SECRET_CHANGE, args).await.map(drop)
    }

    async fn cadence(&self) -> StoreResult<Vec<CadenceRow>> {
        let rows = self.read(sql::CADENCE.to_owned(), args![]).await?;
        Ok(rows.iter().map(cadence::learned).collect())
    }

    async fn save_cadence(&self, row: CadenceRow) -> StoreResult<()> {
        self.write(sql::SAVE_CADENCE, cadence::learned_args(row)).await.map(drop)
    }

    async fn prices(&self) -> StoreResult<Vec<PriceRow>> {
        let rows = self.read(sql::PRICES.to_owned(), args![]).await?;
        Ok(rows.iter().map(cadence::price).collect())
    }

    async fn save_price(&self, row: PriceRow) -> StoreResult<()> {
        self.write(sql::SAVE_PRICE, cadence::price_args(row)).await.map(drop)
    }

    async fn buckets(&self) -> StoreResult<Vec<BucketRow>> {
        let sql = sql::BUCKETS;
        let rows = self.read(sql.to_owned(), args![]).await?;
        Ok(rows
            .iter()
            .map(|row| BucketRow {
                budget: row.get(0),
                window_ms: row.get(1),
                boot: row.get(2),
                start_ms: row.get(3),
                wall_ms: row.get(4),
                spent: row.get(5),
                version: row.get(6),
            })
            .collect())
    }

    async fn save_buckets(&self, rows: Vec<BucketRow>) -> StoreResult<()> {
        self.writer.save_buckets(rows).await
    }

    async fn drop_buckets(&self, budgets: Vec<String>, boot: &str, now_ms: i64) -> StoreResult<()> {
        if budgets.is_empty() {
            return Ok(());
        }
        let sql = sql::DROP_BUCKETS;
        let args = vec![
            Arg::Text(Some(serde_json::Value::from(budgets).to_string())),
            Arg::Text(Some(boot.to_owned())),
            Arg::Int(Some(now_ms)),
        ];
        self.write(sql, args).await.map(drop)
    }

    async fn erase(&self, root: JobSeq, at: Timestamp, cut: bool) -> StoreResult<Erased> {
        let (root, at) = (Arg::Int(Some(root)), Arg::Int(Some(at.0)));
        let mut args = vec![root.clone(); 5];
        args.extend([at.clone(), root.clone(), at, Arg::Int(Some(i64::from(cut))), root]);
        let rows = self.write(sql::ERASE, args).await?;
        let count = |n: usize| rows.first().map_or(0, |row| u64::from(read::count(row, n)));
        Ok(Erased { jobs: count(0), artifacts: count(1) })
    }

    async fn erasures(&self) -> StoreResult<Vec<ErasureRow>> {
        let rows = self.read(sql::ERASURES.to_owned(), args![]).await?;
        let of = |row: &SqliteRow| {
            Ok(ErasureRow { job: read::job_id(row, 0)?, at: read::time(row, 1), cut: row.get(2) })
        };
        rows.iter().map(of).collect()
    }

    async fn all_cut(&self) -> StoreResult<()> {
        self.write(sql::ALL_CUT, vec![]).await.map(drop)
    }

    async fn truncate_log(&self) -> StoreResult<bool> {
        self.writer.truncate_log().await
    }

    async fn sealed(
        &self,
        column: SealedColumn,
        begin: &[u8],
        after: Option<SealedAt>,
        limit: u32,
    ) -> StoreResult<Vec<SealedValue>> {
        let after = after.unwrap_or(SealedAt { row: i64::MIN, n: i64::MIN, name: String::new() });
        let length = i64::try_from(begin.len()).unwrap_or(i64::MAX);
        let args = args![
            length,
            begin.to_vec(),
            after.row,
            after.row,
            after.n,
            after.name,
            i64::from(limit)
        ];
        let page = sealed::statements(column).page;
        self.read(page.to_owned(), args).await?.iter().map(sealed::value).collect()
    }

    async fn reseal(&self, column: SealedColumn, values: Vec<Resealed>) -> StoreResult<u64> {
        let (list, bytes) = sealed::encode(&values);
        let args = vec![Arg::Text(Some(list)), Arg::Resealed(bytes)];
        let rows = self.write(sealed::statements(column).reseal, args).await?;
        Ok(rows.len() as u64)
    }

    async fn refuse(&self, begin: &[u8]) -> StoreResult<()> {
        self.refused.add(begin);
        self.write(sql::BARRIER, vec![]).await.map(drop)
    }

    async fn step_times(&self, step: ClockStep) -> StoreResult<()> {
        let (by, sql) = (Arg::Int(Some(step.by_ms)), sql::STEP_TIMES);
        let (name, kept) = step.kept;
        let rest =
            vec![by.clone(), by.clone(), by.clone(), Arg::Text(Some(name)), Arg::Bytes(Some(kept))];
        let Some((from, to)) = step.made_in_doubt else {
            return self.write(sql, rest).await.map(drop);
        };
        let [now, from, to] = [step.now, from, to].map(|at| Arg::Int(Some(at.0)));
        let args = [vec![by.clone(), now, by, from, to], rest].concat();
        self.write(sql::STEP_ALL, args).await.map(drop)
    }

    fn health(&self) -> &Health {
        &self.health
    }

    async fn probe(&self) -> StoreResult<()> {
        let sql = sql::PROBE;
        self.write(sql, vec![]).await?;
        // It may have found its place in the log alone.
        if room(self.lock.database()).is_some_and(|room| room < LEAST_ROOM) {
            return Err(StoreError::Full);
        }
        self.health.probed();
        Ok(())
    }

    async fn schedules(&self) -> StoreResult<Vec<ScheduleRow>> {
        let rows = self.read(sql::SCHEDULES.to_owned(), args![]).await?;
        rows.iter().map(lasting::schedule).collect()
    }

    async fn save_schedule(
        &self,
        name: &str,
        spec: &str,
        next_at: Option<Timestamp>,
    ) -> StoreResult<()> {
        let args = lasting::saving(name, spec, next_at);
        self.write(sql::SAVE_SCHEDULE, args).await.map(drop)
    }

    async fn move_schedule(
        &self,
        name: &str,
        was: Timestamp,
        next_at: Option<Timestamp>,
    ) -> StoreResult<bool> {
        let args = lasting::moving(name, was, next_at);
        Ok(!self.write(sql::MOVE_SCHEDULE, args).await?.is_empty())
    }

    async fn forget_schedule(&self, name: &str) -> StoreResult<()> {
        let args = vec![Arg::Text(Some(name.to_owned())); 2];
        self.write(sql::FORGET_SCHEDULE, args).await.map(drop)
    }

    async fn fire(&self, fire: Fire) -> StoreResult<bool> {
        Ok(!self.write(sql::FIRE, lasting::firing(fire)).await?.is_empty())
    }

    async fn ended_chains(
        &self,
        state: JobState,
        before: Timestamp,
        after: Option<(Timestamp, JobSeq)>,
        limit: u32,
    ) -> StoreResult<Vec<EndedChain>> {
        let (at, seq) = after.unwrap_or((Timestamp(i64::MIN), i64::MIN));
        let args = args![state_code(state), before.0, at.0, seq, i64::from(limit)];
        let rows = self.read(sql::ENDED_CHAINS.to_owned(), args).await?;
        Ok(rows.iter().map(lasting::ended).collect())
    }

    async fn prune(&self, roots: Vec<JobSeq>, cutoffs: Cutoffs) -> StoreResult<u64> {
        let roots = serde_json::Value::from(roots).to_string();
        let args = vec![
            Arg::Text(Some(roots)),
            Arg::Int(Some(cutoffs.dead.0)),
            Arg::Int(Some(cutoffs.completed.0)),
        ];
        Ok(self.write(sql::PRUNE, args).await?.len() as u64)
    }

    async fn tombstone(&self, id: JobId) -> StoreResult<Option<JobState>> {
        let args = args![id.0.as_bytes().to_vec()];
        let rows = self.read(sql::TOMBSTONE.to_owned(), args).await?;
        rows.first().map(|row| read::state(row.get(0))).transpose()
    }

    async fn history_lengths(
        &self,
        of: History,
        after: JobSeq,
        limit: u32,
    ) -> StoreResult<Vec<(JobSeq, i64)>> {
        let args = args![after, i64::from(limit)];
        let rows = self.read(lasting::lengths(of).to_owned(), args).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn trim_histories(&self, of: History, jobs: Vec<JobSeq>, keep: u32) -> StoreResult<()> {
        let jobs = serde_json::Value::from(jobs).to_string();
        let args = vec![Arg::Text(Some(jobs)), Arg::Int(Some(i64::from(keep)))];
        self.write(lasting::trimming(of), args).await.map(drop)
    }

    async fn copy(&self) -> StoreResult<(File, i64)> {
        Ok((copy_of(self.lock.database()).await?, known_schema()))
    }

    async fn meta(&self, name: &str) -> StoreResult<Option<Vec<u8>>> {
        let sql = sql::META;
        let rows = self.read(sql.to_owned(), args![name.to_owned()]).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    async fn set_meta(&self, name: &str, value: Vec<u8>) -> StoreResult<()> {
        let sql = sql::SET_META;
        let args = vec![Arg::Text(Some(name.to_owned())), Arg::Bytes(Some(value))];
        self.write(sql, args).await.map(drop)
    }

    async fn describe(&self) -> StoreResult<StoreInfo> {
        // Asked of the writing connection: that is the one whose settings count.
        let sql = sql::DESCRIBE;
        let rows = self.write(sql, vec![]).await?;
        let row = rows.first().ok_or_else(|| StoreError::Unexpected("no pragmas".to_owned()))?;
        let synchronous = match row.get::<i64, _>(2) {
            0 => "OFF",
            1 => "NORMAL",
            2 => "FULL",
            _ => "EXTRA",
        };
        Ok(StoreInfo {
            engine: "SQLite".to_owned(),
            version: row.get(0),
            journal_mode: row.get(1),
            synchronous: synchronous.to_owned(),
        })
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn artifact_row(row: &SqliteRow) -> StoreResult<ArtifactRow> {
    Ok(ArtifactRow {
        job: read::job_id(row, 0)?,
        name: row.get(1),
        content_type: row.get(2),
        size: row.get(3),
        sha256: row.get(4),
    })
}
