//! The only place that reads a clock. Everything else is handed the time.

mod sleepers;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use uuid::{NoContext, Uuid};

use self::sleepers::Sleepers;

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
    /// What is read stands still until it is moved; who sleeps does so in real time.
    Manual(ManualClock),
    /// Sleeps end by the hand that moves the clock, too: no real time plays any part.
    Simulated(ManualClock),
}

/// A clock that stands still until it is moved.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    wall_ms: Arc<AtomicI64>,
    boot_ms: Arc<AtomicI64>,
    boots: Arc<AtomicI64>,
    sleepers: Sleepers,
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
        let boot_ms = self.boot_ms.fetch_add(ms, Ordering::SeqCst).saturating_add(ms);
        self.sleepers.wake(boot_ms);
    }

    /// The machine is started anew: its clock since boot begins again, under another name.
    pub fn reboot(&self) {
        self.boot_ms.store(1_000, Ordering::SeqCst);
        self.boots.fetch_add(1, Ordering::SeqCst);
        self.sleepers.wake(1_000);
    }

    /// How long until somebody who sleeps by this clock is to wake.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let boot_ms = self.boot_ms.load(Ordering::SeqCst);
        let left = self.sleepers.next()?.saturating_sub(boot_ms);
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    async fn sleep(&self, by: Duration) {
        let until_ms =
            self.boot_ms.load(Ordering::SeqCst).saturating_add(crate::types::millis(by).max(1));
        self.sleepers.sleep(until_ms).await;
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
            Self::Manual(clock) | Self::Simulated(clock) => Now {
                wall: Timestamp(clock.wall_ms.load(Ordering::SeqCst)),
                boot_ms: clock.boot_ms.load(Ordering::SeqCst),
            },
        }
    }

    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.now().wall
    }

    pub async fn sleep(&self, by: Duration) {
        match self {
            Self::System | Self::Manual(_) => tokio::time::sleep(by).await,
            Self::Simulated(clock) => clock.sleep(by).await,
        }
    }

    /// What `work` comes to, if it ends within `limit`.
    pub async fn timeout<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.sleep(limit) => None,
        }
    }

    /// Names one boot of this machine, so that `boot_ms` of another boot is never compared.
    /// Empty where the kernel does not tell: then only the wall clock is compared.
    #[must_use]
    pub fn boot_id(&self) -> String {
        match self {
            Self::System | Self::Manual(_) => system_boot_id(),
            Self::Simulated(clock) => format!("boot {}", clock.boots.load(Ordering::SeqCst)),
        }
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

fn system_boot_id() -> String {
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

/// When an id says that its job was made.
#[must_use]
pub fn made_at(id: JobId) -> Option<Timestamp> {
    let (seconds, nanos) = id.0.get_timestamp()?.to_unix();
    let ms = i64::try_from(seconds).ok()?.checked_mul(1_000)?;
    Some(Timestamp(ms.checked_add(i64::from(nanos / 1_000_000))?))
}
