//! Rows and requests of the store as plain values.

use crate::types::{Generation, JobId, JobState, Timestamp};

/// The store's own number of a job: short, never shown.
pub type JobSeq = i64;
pub type QueueId = i64;
pub type KindId = i64;
pub type ActorId = i64;
/// A keyed hash; equal only where the hashed is.
pub type Hash16 = [u8; 16];

/// A client's key with what it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyClaim {
    pub hash: Hash16,
    /// Of kind and arguments as sent: the same key with others is refused.
    pub request: Hash16,
}

/// Where a child belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parentage {
    pub parent: JobSeq,
    pub root: JobSeq,
}

/// A job to be stored.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: JobId,
    pub queue: QueueId,
    pub kind: KindId,
    pub priority: u8,
    pub run_at: Timestamp,
    /// Due now: goes straight into the index that claims read.
    pub ready: bool,
    pub max_errors: u32,
    pub deadline: Option<Timestamp>,
    pub created_at: Timestamp,
    pub created_by: ActorId,
    /// The chain's salt, in a chain's first job.
    pub salt: Option<Hash16>,
    pub family: Option<Parentage>,
    /// Sealed.
    pub args: Vec<u8>,
    pub uniq: Option<Hash16>,
    pub key: Option<KeyClaim>,
    pub tags: Vec<String>,
}

/// What became of a job to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    New,
    /// The same key came before, with the same request or another.
    SameKey {
        id: JobId,
        same_request: bool,
    },
    /// A live job has the same natural key.
    Live {
        id: JobId,
    },
}

/// How much of one queue may be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub queue: QueueId,
    pub count: u32,
    /// Only jobs at least this urgent (0 is first).
    pub max_priority: u8,
}

/// One round of the dispatcher.
#[derive(Debug, Clone)]
pub struct Claim {
    pub now: Timestamp,
    pub lease_until: Timestamp,
    pub allowances: Vec<Allowance>,
    /// How many future jobs may be promoted in this round.
    pub promote: u32,
    /// Budget permits taken ahead for this claim, durable with it.
    pub buckets: Vec<BucketRow>,
}

/// What a round gave.
#[derive(Debug, Clone, Default)]
pub struct Claimed {
    pub jobs: Vec<ClaimedJob>,
    /// Queues that jobs were promoted in.
    pub promoted: Vec<QueueId>,
    /// When the next future job comes due.
    pub next_due: Option<Timestamp>,
}

/// A job in the hands of this daemon until its lease ends.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    /// A never-repeat request of an earlier attempt may be out: it is to be found out.
    pub intent: bool,
    pub seq: JobSeq,
    pub id: JobId,
    pub queue: QueueId,
    pub kind: KindId,
    pub priority: u8,
    pub generation: Generation,
    pub attempt: i64,
    pub errors: u32,
    pub max_errors: u32,
    pub polls: i64,
    pub run_at: Timestamp,
    pub created_at: Timestamp,
    pub created_by: ActorId,
    pub deadline: Option<Timestamp>,
    pub parent: Option<JobSeq>,
    pub root: JobSeq,
    /// `None` once the chain is erased.
    pub salt: Option<Hash16>,
    pub args: Vec<u8>,
    pub args_rev: i64,
    /// The last observed status with its number, sealed.
    pub observation: Option<(i64, Vec<u8>)>,
    /// Of the last error, however long ago.
    pub last_code: Option<String>,
    /// When it was last answered, if it is a follow.
    pub polled_at: Option<Timestamp>,
    /// When its last status was first seen.
    pub status_at: Option<Timestamp>,
}

/// An error as kept: code in clear, words sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredError {
    pub code: String,
    pub message: Option<Vec<u8>>,
    pub at: Timestamp,
}

/// A status that differs from the one before.
#[derive(Debug, Clone)]
pub struct NewObservation {
    pub n: i64,
    pub polls: i64,
    pub status: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct NewArtifact {
    pub name: String,
    pub content_type: String,
    pub size: i64,
    pub sha256: String,
    pub sealed: Vec<u8>,
}

/// The end of one attempt, with all that belongs to it: one transaction.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub seq: JobSeq,
    pub generation: Generation,
    /// The state it must still be in: `Running` for an attempt, `Dead` for a person's word.
    pub from: JobState,
    /// Set where what follows was computed from the arguments: nothing is settled if they have
    /// changed since.
    pub args_rev: Option<i64>,
    pub now: Timestamp,
    pub state: JobState,
    pub run_at: Timestamp,
    pub ready: bool,
    pub attempt: i64,
    pub errors: u32,
    pub polls: i64,
    pub deadline: Option<Timestamp>,
    /// Replaces the last error; `None` leaves it.
    pub error: Option<StoredError>,
    pub result: Option<Vec<u8>>,
    /// The history row; a snooze has none.
    pub history: Option<NewAttempt>,
    pub observation: Option<NewObservation>,
    pub artifact: Option<NewArtifact>,
    pub children: Vec<NewJob>,
}

#[derive(Debug, Clone)]
pub struct NewAttempt {
    pub started_at: Timestamp,
    pub outcome: &'static str,
    pub code: Option<String>,
    pub message: Option<Vec<u8>>,
}

/// A job to be queued again.
#[derive(Debug, Clone, Copy)]
pub struct Requeue {
    pub id: JobId,
    pub from: JobState,
    pub generation: Generation,
    pub run_at: Timestamp,
    pub ready: bool,
    pub deadline: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub struct RunningJob {
    pub seq: JobSeq,
    pub id: JobId,
    pub queue: QueueId,
    pub kind: KindId,
    pub generation: Generation,
    pub attempt: i64,
    pub errors: u32,
    pub max_errors: u32,
    pub polls: i64,
    pub run_at: Timestamp,
    pub created_at: Timestamp,
    pub started_at: Timestamp,
    pub deadline: Option<Timestamp>,
    pub intent: bool,
    pub cancel: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    Unknown,
    /// It was queued and is cancelled.
    Cancelled,
    /// It was to be found out what became of its request: it is dead, and a person's case.
    Doubtful,
    /// It is running: its attempt must be told.
    Asked(JobSeq),
    /// It had ended before.
    Ended(JobState),
}

/// A job as kept. Sealed parts are still sealed.
#[derive(Debug, Clone)]
pub struct JobRow {
    pub seq: JobSeq,
    pub id: JobId,
    pub queue: QueueId,
    pub kind: String,
    pub account: String,
    pub state: JobState,
    pub ready: bool,
    pub priority: u8,
    pub run_at: Timestamp,
    pub created_at: Timestamp,
    pub created_by: String,
    pub generation: Generation,
    pub attempt: i64,
    pub errors: u32,
    pub max_errors: u32,
    pub polls: i64,
    pub parent: Option<JobId>,
    pub root: JobSeq,
    pub salt: Option<Hash16>,
    pub args: Vec<u8>,
    pub args_rev: i64,
    pub deadline: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub intent: bool,
    pub cancel: bool,
    pub tags: Vec<String>,
    pub error: Option<StoredError>,
    /// The last observed status with its number, sealed.
    pub status: Option<(i64, Vec<u8>)>,
    pub has_result: bool,
}

#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub state: Option<JobState>,
    pub kind: Option<String>,
    pub account: Option<String>,
    pub tag: Option<String>,
    pub code: Option<String>,
    pub since: Option<Timestamp>,
    /// Only jobs older than this one.
    pub before: Option<JobId>,
    pub limit: u32,
}

#[derive(Debug, Clone)]
pub struct StoredResult {
    pub state: JobState,
    pub salt: Option<Hash16>,
    pub result: Option<Vec<u8>>,
    pub kind: String,
    pub account: String,
}

#[derive(Debug, Clone)]
pub struct AttemptRow {
    pub generation: Generation,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub outcome: String,
    pub code: Option<String>,
    pub message: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub struct ObservationRow {
    pub n: i64,
    pub at: Timestamp,
    pub polls: i64,
    pub status: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct ChainRow {
    pub seq: JobSeq,
    pub id: JobId,
    pub parent: Option<JobSeq>,
    pub state: JobState,
}

#[derive(Debug, Clone)]
pub struct ArtifactRow {
    pub job: JobId,
    pub name: String,
    pub content_type: String,
    pub size: i64,
    pub sha256: String,
}

#[derive(Debug, Clone)]
pub struct StoredArtifact {
    pub row: ArtifactRow,
    pub salt: Option<Hash16>,
    pub sealed: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueDepth {
    pub queue: QueueId,
    pub due: i64,
    pub later: i64,
    pub running: i64,
    /// Of the due and the waiting ones, those with a priority of follows.
    pub follows: i64,
    pub next_run_at: Option<Timestamp>,
    /// Since when the oldest of the due ones is due.
    pub oldest_due: Option<Timestamp>,
}

/// A chain that was erased, by its first job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureRow {
    pub job: JobId,
    pub at: Timestamp,
    /// Its key was cut out of the sealing key: backups made before cannot be opened either.
    pub cut: bool,
}

/// What an erasure took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    pub jobs: u64,
    pub artifacts: u64,
}

/// A queue's gate and pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    pub id: QueueId,
    pub account: String,
    pub paused_by: Option<String>,
    pub gate: Option<GateRow>,
    /// The circuit breaker as JSON; `None` while it is closed.
    pub breaker: Option<String>,
}

/// A stretch of time in which a queue, or one kind of it, was held shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateTimeRow {
    pub queue: QueueId,
    /// `None`: the whole queue.
    pub kind: Option<KindId>,
    pub since: Timestamp,
    /// `None`: it still is.
    pub until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateRow {
    pub until: Option<Timestamp>,
    pub code: String,
    pub detail: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindGateRow {
    pub queue: QueueId,
    pub kind: KindId,
    pub gate: GateRow,
}

/// A credential as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRow {
    pub queue: QueueId,
    pub name: String,
    pub generation: i64,
    pub salt: Hash16,
    pub value: Option<Vec<u8>>,
    pub sent_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub renew_at: Option<Timestamp>,
    pub promised_until: Option<Timestamp>,
    pub errors: u32,
    pub error: Option<StoredError>,
    /// The account's secrets when the last try failed.
    pub secrets: Option<Hash16>,
}

/// How far a credential was handed to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkRow {
    pub queue: QueueId,
    pub credential: String,
    pub file: String,
    /// The last generation that was written there and whose command's job was stored.
    pub generation: i64,
    pub at: Timestamp,
    /// The command's job.
    pub job: Option<JobId>,
}

/// What is held against a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginRow {
    /// Of host and secrets.
    pub login: Hash16,
    pub refusals: u32,
    pub doubts: u32,
    pub distrust: u32,
    pub at: Timestamp,
}

/// A secret that a job changed, or may have changed, on the provider's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretChangeRow {
    pub queue: QueueId,
    pub name: String,
    /// Its request may not have been carried out.
    pub pending: bool,
    /// Of the secret that was configured then.
    pub configured: Hash16,
    pub salt: Hash16,
    /// Sealed.
    pub value: Vec<u8>,
    pub job: JobId,
    pub at: Timestamp,
}

/// What is learned of a kind's follows, or of those with one status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CadenceRow {
    pub queue: QueueId,
    pub kind: KindId,
    /// A keyed hash; `None`: all together.
    pub status: Option<Hash16>,
    pub learned: Vec<u8>,
    pub at: Timestamp,
}

/// What a poll must be worth to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceRow {
    pub budget: String,
    /// In millionths.
    pub price: i64,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketRow {
    pub budget: String,
    pub window_ms: i64,
    pub boot: String,
    pub start_ms: i64,
    pub wall_ms: i64,
    pub spent: i64,
    /// Of two writes of one bucket the one with the higher version counts.
    pub version: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreInfo {
    pub engine: String,
    pub version: String,
    pub journal_mode: String,
    pub synchronous: String,
}

/// A step of the wall clock, and what is moved with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockStep {
    pub by_ms: i64,
    /// As it is after the step.
    pub now: Timestamp,
    /// Jobs that were made between these have times that were counted from a wrong one.
    pub made_in_doubt: Option<(Timestamp, Timestamp)>,
    /// Name and value of the fact that makes it done.
    pub kept: (String, Vec<u8>),
}
