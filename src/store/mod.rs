//! The store: every fact that must survive a restart, behind one trait.
//!
//! It speaks in batches: `enqueue`, `claim`, `settle` and `extend` take slices, and [`batch`]
//! folds what is pending into one transaction, so that a hundred callers share one `fsync`. A
//! caller is answered after its transaction is durable. The store never sees a clear text: what
//! the contract calls sealed arrives here as bytes.
//!
//! Every write of an attempt carries the generation it was claimed with. A settlement whose
//! generation is no longer the running one changes nothing and says so.

pub mod batch;
pub mod health;
mod lasting;
mod model;
mod sealed;
pub mod sqlite;

pub use lasting::*;
pub use model::*;
pub use sealed::*;

use std::fs::File;

use async_trait::async_trait;

use crate::types::{Generation, JobId, JobState, Timestamp};

/// Why the store could not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Passing trouble: locked by another program, an I/O error. Try again.
    #[error("the database did not answer: {0}")]
    Unavailable(String),
    /// No room on the disk.
    #[error("no room on the disk that holds the database: free some; nothing was stored")]
    Full,
    /// The file is not an intact database.
    #[error("the database is damaged: {0}; restore a backup, this program changes nothing in it")]
    Corrupt(String),
    /// A row does not have the form that this program writes, or a statement is wrong.
    #[error("the database holds what this program did not expect: {0}")]
    Unexpected(String),
    /// A value came that was sealed with a key which was replaced meanwhile: seal it anew.
    #[error("the sealing key was replaced meanwhile: ask again; nothing was stored")]
    Stale,
    /// The store was closed, which happens only while shutting down.
    #[error("the store is closed")]
    Closed,
}

pub type StoreResult<T> = Result<T, StoreError>;

/// What a database must do; one conformance suite holds each implementation to it.
#[async_trait]
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// The row of an account's queue, made where it is missing.
    async fn queue_id(&self, account: &str) -> StoreResult<QueueId>;
    /// The same for many at once, in their order.
    async fn queue_ids(&self, accounts: Vec<String>) -> StoreResult<Vec<QueueId>>;
    async fn kind_id(&self, name: &str) -> StoreResult<KindId>;
    /// `who` is the JSON of `created_by`.
    async fn actor_id(&self, who: &str) -> StoreResult<ActorId>;

    /// Stores jobs; one outcome each, in order. Durable when it returns.
    async fn enqueue(&self, jobs: Vec<NewJob>) -> StoreResult<Vec<Enqueued>>;
    /// Promotes what has come due, then takes ready jobs, each queue within its allowance.
    async fn claim(&self, claim: Claim) -> StoreResult<Claimed>;
    /// Ends attempts. `false` where the claim was no longer held, and then nothing was changed.
    async fn settle(&self, settlements: Vec<Settlement>) -> StoreResult<Vec<bool>>;
    /// Prolongs leases; returns the jobs of `leases` that are still held.
    async fn extend(
        &self,
        leases: Vec<(JobSeq, Generation)>,
        until: Timestamp,
    ) -> StoreResult<Vec<JobSeq>>;
    /// Makes the intent to send a never-repeat request durable. `false` if the claim is lost or
    /// a cancellation was asked for.
    async fn record_intent(&self, job: JobSeq, generation: Generation) -> StoreResult<bool>;
    /// Running jobs whose lease ends before `before`, or all of them.
    async fn running(&self, before: Option<Timestamp>) -> StoreResult<Vec<RunningJob>>;
    /// Queues that have jobs ready now.
    async fn ready_queues(&self) -> StoreResult<Vec<QueueId>>;

    /// Cancels a queued job at once; marks a running one.
    async fn cancel(&self, id: JobId, now: Timestamp) -> StoreResult<CancelOutcome>;
    /// Queues a job again with errors at 0, if it is still in the state and generation in which
    /// somebody decided so.
    async fn requeue(&self, requeue: Requeue) -> StoreResult<bool>;
    /// Makes a waiting job due at `run_at` (a renewal moved, a webhook). No effect on others.
    async fn reschedule(&self, seq: JobSeq, run_at: Timestamp, ready: bool) -> StoreResult<bool>;
    /// Takes back an intent whose request was surely not carried out.
    async fn withdraw_intent(&self, job: JobSeq, generation: Generation) -> StoreResult<bool>;
    /// Replaces a live job's sealed arguments, if nobody did since `args_rev`.
    async fn replace_args(&self, seq: JobSeq, args_rev: i64, args: Vec<u8>) -> StoreResult<bool>;

    async fn job(&self, id: JobId) -> StoreResult<Option<JobRow>>;
    /// Newest first.
    async fn jobs(&self, filter: JobFilter) -> StoreResult<Vec<JobRow>>;
    async fn result(&self, id: JobId) -> StoreResult<Option<StoredResult>>;
    async fn attempts(&self, seq: JobSeq) -> StoreResult<Vec<AttemptRow>>;
    async fn observations(&self, seq: JobSeq) -> StoreResult<Vec<ObservationRow>>;
    /// Every job of the chain, oldest first. `root` is the sequence number of its first job.
    async fn chain(&self, root: JobSeq) -> StoreResult<Vec<ChainRow>>;
    async fn artifacts(&self, jobs: Vec<JobSeq>) -> StoreResult<Vec<ArtifactRow>>;
    async fn artifact(&self, id: JobId, name: &str) -> StoreResult<Option<StoredArtifact>>;
    /// Due, waiting and running jobs of each queue. Reads an index entry per waiting job.
    async fn depths(&self) -> StoreResult<Vec<QueueDepth>>;
    /// How many jobs are in each state.
    async fn counts(&self) -> StoreResult<Vec<(JobState, i64)>>;
    /// The live job with this natural or internal key.
    async fn live_job(&self, queue: QueueId, uniq: [u8; 16]) -> StoreResult<Option<JobRow>>;

    async fn queues(&self) -> StoreResult<Vec<QueueRow>>;
    async fn save_queue(&self, queue: QueueRow) -> StoreResult<()>;
    async fn kind_gates(&self) -> StoreResult<Vec<KindGateRow>>;
    /// Keeps a gate, or with `open` forgets it. Returns once durable.
    async fn save_kind_gate(&self, gate: KindGateRow, open: bool) -> StoreResult<()>;
    /// When gates were shut.
    async fn gate_times(&self) -> StoreResult<Vec<GateTimeRow>>;
    /// Keeps a stretch of time, or with `forget` forgets it.
    async fn save_gate_time(&self, row: GateTimeRow, forget: bool) -> StoreResult<()>;
    /// Makes the queued jobs of one kind due now that its gate, or the lack of a definition, has
    /// sent away; others wait for their time.
    async fn wake_kind(&self, queue: QueueId, kind: KindId, now: Timestamp) -> StoreResult<u64>;

    async fn credentials(&self) -> StoreResult<Vec<CredentialRow>>;
    async fn save_credential(&self, row: CredentialRow) -> StoreResult<()>;

    /// How far values were handed to files of other programs.
    async fn sinks(&self) -> StoreResult<Vec<SinkRow>>;
    /// Returns once durable.
    async fn save_sink(&self, row: SinkRow) -> StoreResult<()>;

    async fn logins(&self) -> StoreResult<Vec<LoginRow>>;
    async fn save_login(&self, row: LoginRow) -> StoreResult<()>;
    async fn forget_login(&self, login: Hash16) -> StoreResult<()>;
    async fn secret_changes(&self) -> StoreResult<Vec<SecretChangeRow>>;
    /// Keeps a change; one that is not pending takes the place of the pending one.
    async fn save_secret_change(&self, row: SecretChangeRow) -> StoreResult<()>;
    async fn forget_secret_change(
        &self,
        queue: QueueId,
        name: &str,
        pending: bool,
    ) -> StoreResult<()>;

    /// What is learned of when follows complete.
    async fn cadence(&self) -> StoreResult<Vec<CadenceRow>>;
    async fn save_cadence(&self, row: CadenceRow) -> StoreResult<()>;
    async fn prices(&self) -> StoreResult<Vec<PriceRow>>;
    async fn save_price(&self, row: PriceRow) -> StoreResult<()>;

    async fn buckets(&self) -> StoreResult<Vec<BucketRow>>;
    async fn save_buckets(&self, rows: Vec<BucketRow>) -> StoreResult<()>;
    /// Drops, of these budgets, buckets of another boot (they were written anew) and those whose
    /// window is over by the clock since boot. All at once.
    async fn drop_buckets(&self, budgets: Vec<String>, boot: &str, now_ms: i64) -> StoreResult<()>;

    /// Erases what is personal in the chain of this first job, and keeps its skeleton and the
    /// tombstone of its key. What is still live in it ends as cancelled. Durable when it returns,
    /// and what stood in its place is overwritten; again is no trouble.
    async fn erase(&self, root: JobSeq, at: Timestamp, cut: bool) -> StoreResult<Erased>;
    /// The chains that were erased.
    async fn erasures(&self) -> StoreResult<Vec<ErasureRow>>;
    /// From now on no erased chain can be opened from a backup, as after a rekey.
    async fn all_cut(&self) -> StoreResult<()>;
    /// Shortens a log of changes, which may hold what was overwritten. `false` where somebody who
    /// reads keeps it from being done now.
    async fn truncate_log(&self) -> StoreResult<bool>;

    /// Sealed values that begin with these bytes, in the order of their places after `after`.
    async fn sealed(
        &self,
        column: SealedColumn,
        begin: &[u8],
        after: Option<SealedAt>,
        limit: u32,
    ) -> StoreResult<Vec<SealedValue>>;
    /// Puts values in the place of those that were read; of a value that has changed since, the
    /// change stands. How many took their place.
    async fn reseal(&self, column: SealedColumn, values: Vec<Resealed>) -> StoreResult<u64>;
    /// From now on nothing that begins with these bytes is stored: [`StoreError::Stale`]. What was
    /// on its way is stored when this returns.
    async fn refuse(&self, begin: &[u8]) -> StoreResult<()>;

    /// Moves what was counted by the wall clock when that is stepped. All at once.
    async fn step_times(&self, step: ClockStep) -> StoreResult<()>;
    /// How it does: told by its writer.
    fn health(&self) -> &health::Health;
    /// Writes and removes as much as many small changes need; whether that worked.
    async fn probe(&self) -> StoreResult<()>;

    async fn schedules(&self) -> StoreResult<Vec<ScheduleRow>>;
    /// Keeps where a schedule stands, whatever it was.
    async fn save_schedule(
        &self,
        name: &str,
        spec: &str,
        next_at: Option<Timestamp>,
    ) -> StoreResult<()>;
    /// Goes on to `next_at` without running anything, if `next_at` still is what it `was`.
    async fn move_schedule(
        &self,
        name: &str,
        was: Timestamp,
        next_at: Option<Timestamp>,
    ) -> StoreResult<bool>;
    /// A schedule that is not configured any more, with its occurrences.
    async fn forget_schedule(&self, name: &str) -> StoreResult<()>;
    /// Stores the job of an occurrence and moves the schedule on, in one transaction. `false` where
    /// the occurrence was run before, or the schedule has moved meanwhile: then no job was stored.
    async fn fire(&self, fire: Fire) -> StoreResult<bool>;

    /// Chains whose first job is in this state since before `before`, from `after` on, in the order
    /// in which they ended.
    async fn ended_chains(
        &self,
        state: JobState,
        before: Timestamp,
        after: Option<(Timestamp, JobSeq)>,
        limit: u32,
    ) -> StoreResult<Vec<EndedChain>>;
    /// Removes whole chains, with everything that is with them, of those that have ended before
    /// their cutoff. Tombstones stay. How many jobs went.
    async fn prune(&self, roots: Vec<JobSeq>, cutoffs: Cutoffs) -> StoreResult<u64>;
    /// How a job ended that was pruned and had a key.
    async fn tombstone(&self, id: JobId) -> StoreResult<Option<JobState>>;
    /// How long the histories of jobs are, job by job after `after`.
    async fn history_lengths(
        &self,
        of: History,
        after: JobSeq,
        limit: u32,
    ) -> StoreResult<Vec<(JobSeq, i64)>>;
    /// Leaves the newest `keep` of a job's history.
    async fn trim_histories(&self, of: History, jobs: Vec<JobSeq>, keep: u32) -> StoreResult<()>;

    /// A consistent copy of everything, made while others go on, and the last migration that it has.
    async fn copy(&self) -> StoreResult<(File, i64)>;

    async fn meta(&self, name: &str) -> StoreResult<Option<Vec<u8>>>;
    async fn set_meta(&self, name: &str, value: Vec<u8>) -> StoreResult<()>;
    /// What the live connection says of itself: journal mode, synchronous, version.
    async fn describe(&self) -> StoreResult<StoreInfo>;
    /// Writes what is pending, checkpoints, closes.
    async fn close(&self);
}
