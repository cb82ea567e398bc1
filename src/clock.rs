//! The only place that reads a clock. Everything else is handed the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use uuid::{NoContext, Uuid};

use crate::types::{JobId, Timestamp};

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, which people and providers mean, and which may step.
    pub wall: Timestamp,
    /// Time since boot, suspend included (`CLOCK_BOOTTIME`), in milliseconds: never steps.
    pub boot_ms: i64,
}

/// Where the time comes from: the system, or a test's hand.
#[derive(Debug, Clone)]
pub enum Clock {
    System,
    Manual(ManualClock),
}

/// A clock that stands still until it is moved.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    wall_ms: Arc<AtomicI64>,
    boot_ms: Arc<AtomicI64>,
}

impl ManualClock {
    #[must_use]
    pub fn at(wall: Timestamp) -> Self {
        let clock = Self::default();
        clock.wall_ms.store(wall.0, Ordering::SeqCst);
        clock.boot_ms.store(1_000, Ordering::SeqCst);
        clock
    }

    /// Lets time pass: both clocks move.
    pub fn advance(&self, by: Duration) {
        let ms = crate::types::millis(by);
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
        self.boot_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Steps the wall clock alone, as an administrator or NTP would.
    pub fn step_wall(&self, by_ms: i64) {
        self.wall_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock {
    #[must_use]
    pub fn now(&self) -> Now {
        match self {
            Self::System => Now { wall: Timestamp(system_wall_ms()), boot_ms: boottime_ms() },
            Self::Manual(clock) => Now {
                wall: Timestamp(clock.wall_ms.load(Ordering::SeqCst)),
                boot_ms: clock.boot_ms.load(Ordering::SeqCst),
            },
        }
    }

    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.now().wall
    }
}

#[allow(clippy::disallowed_methods)] // the one place
fn system_wall_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn boottime_ms() -> i64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map_or(0, |at| at.tv_sec() * 1_000 + at.tv_nsec() / 1_000_000)
}

/// Names one boot of this machine, so that `boot_ms` of another boot is never compared.
/// Empty where the kernel does not tell: then only the wall clock is compared.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// A new job id made at `now`, unique by its random part.
#[must_use]
pub fn new_job_id(now: Timestamp) -> JobId {
    let ms = u64::try_from(now.0).unwrap_or(0);
    let nanos = u32::try_from(ms % 1_000 * 1_000_000).unwrap_or(0);
    JobId(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, ms / 1_000, nanos)))
}
