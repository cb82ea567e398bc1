//! Schedules, and what is kept for how long.

use super::{JobSeq, NewJob};
use crate::types::{JobId, Timestamp};

/// Where a schedule stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    pub name: String,
    /// Cron expression and time zone.
    pub spec: String,
    /// The first occurrence that is not decided; `None` where none comes.
    pub next_at: Option<Timestamp>,
    pub last: Option<OccurrenceRow>,
}

/// An occurrence that was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OccurrenceRow {
    pub at: Timestamp,
    pub fired_at: Timestamp,
    /// Its job, or the live one that did the same.
    pub job: JobId,
}

/// One occurrence to be run: all of it or nothing.
#[derive(Debug, Clone)]
pub struct Fire {
    pub schedule: String,
    /// What the schedule's `next_at` must still be.
    pub was: Timestamp,
    /// The occurrence.
    pub at: Timestamp,
    pub now: Timestamp,
    /// The schedule's next one.
    pub next_at: Option<Timestamp>,
    pub job: NewJob,
}

/// An ended first job, and what is to be known of its chain before it is pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedChain {
    pub root: JobSeq,
    pub finished_at: Timestamp,
    /// The bytes of its files.
    pub files: u64,
    /// When the last of its other jobs ended; far away while one has not.
    pub last: Timestamp,
    /// One of its other jobs is dead.
    pub dead: bool,
}

/// Ended before this they may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    pub completed: Timestamp,
    /// Of chains with a dead job.
    pub dead: Timestamp,
}

/// What a job leaves behind while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    Attempts,
    Observations,
}

impl History {
    pub const ALL: [Self; 2] = [Self::Attempts, Self::Observations];
}
