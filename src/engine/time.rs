//! The time as the engine goes by it: what is done when the wall clock is stepped ([`super::steps`])
//! and what is left undone while it cannot be believed ([`crate::policy::doubt`]).

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use super::{Engine, steps::Steps};
use crate::{
    clock::Now,
    credentials::cell::Cell,
    policy::doubt::{Change, Doubt, Kept},
    store::{Store, StoreResult},
    telemetry::events::{Event, Name, emit},
    types::Timestamp,
};

/// What `meta` has of the time.
pub(super) const CLOCK: &str = "clock";
/// The time is kept so often; a stop and a step keep it too.
const KEEP_MS: i64 = 10 * 60_000;

/// What is known of the time.
#[derive(Debug)]
pub struct Time {
    boot: String,
    doubt: Mutex<Doubt>,
    /// What a provider said that says otherwise.
    denied: Mutex<Option<String>>,
    steps: tokio::sync::Mutex<Steps>,
    /// Since when the time was in doubt, until the next step is followed: whoever looks first sees
    /// that it is right again.
    was_doubtful: Mutex<Option<Timestamp>>,
    /// How many steps there were.
    stepped: AtomicU64,
    kept_ms: AtomicI64,
    confirmed: AtomicBool,
    /// The machine started with a clock behind the last time that was seen.
    pub(super) set_back: bool,
}

impl Time {
    /// Goes on with what the store has.
    pub async fn load(store: &dyn Store, boot: String, now: Now) -> StoreResult<Self> {
        let kept = store.meta(CLOCK).await?;
        let kept: Option<Kept> = kept.and_then(|kept| serde_json::from_slice(&kept).ok());
        let doubt = Doubt::restored(kept.as_ref(), &boot, now);
        let set_back = kept.as_ref().is_some_and(|kept| !kept.is_of(&boot) && now.wall < kept.wall);
        let steps = kept.map_or(Steps::since(now), |kept| Steps::resumed(&kept, &boot, now));
        Ok(Self {
            boot,
            doubt: Mutex::new(doubt),
            denied: Mutex::default(),
            steps: tokio::sync::Mutex::new(steps),
            was_doubtful: Mutex::default(),
            stepped: AtomicU64::new(0),
            kept_ms: AtomicI64::new(i64::MIN),
            confirmed: AtomicBool::new(false),
            set_back,
        })
    }

    fn doubt(&self) -> MutexGuard<'_, Doubt> {
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn denied(&self) -> MutexGuard<'_, Option<String>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time without any jump that is in doubt.
    #[must_use]
    pub fn sure(&self, now: Now) -> Timestamp {
        let mut doubt = self.doubt();
        self.tell(doubt.look(now), None);
        if doubt.is_doubtful() { doubt.at(now) } else { now.wall }
    }

    pub(super) fn kept(&self, now: Now) -> Vec<u8> {
        let kept = self.doubt().kept(now, &self.boot);
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// Since when the time was in doubt, if it is no more since the last step or this one.
    pub(super) fn look(&self, now: Now) -> Option<Timestamp> {
        let change = self.doubt().look(now);
        self.tell(change, None);
        self.stepped.fetch_add(1, Ordering::AcqRel);
        self.was_doubtful.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn tell(&self, change: Option<Change>, who: Option<&str>) {
        let (name, detail) = match change {
            None => return,
            Some(Change::Doubtful) => (Name::ClockDoubtful, DOUBTFUL),
            Some(Change::Right { since }) => {
                let mut was = self.was_doubtful.lock().unwrap_or_else(PoisonError::into_inner);
                *was = Some(since);
                self.confirmed.store(true, Ordering::Release);
                *self.denied() = None;
                (Name::ClockConfirmed, "the clock is right: deadlines count again")
            }
        };
        emit(name, &Event { detail: Some(detail), actor: who, ..Event::default() });
    }

    /// How many steps were followed: who keeps times in memory compares.
    pub(super) fn stepped(&self) -> u64 {
        self.stepped.load(Ordering::Acquire)
    }
}

const DOUBTFUL: &str = "the clock jumped by more than an hour, or the machine was off: until a \
    provider's answer or `attendant queues resume --all` confirms the time, no deadline ends a job, \
    nothing is revoked and nothing is pruned";

impl Engine {
    /// Whether the wall clock jumped and nobody has confirmed it: then nothing is to be done for
    /// good because of the time alone. Pruning, deadlines, misfires, revocations ask this first.
    #[must_use]
    pub fn clock_is_doubtful(&self) -> bool {
        let now = self.clock.now();
        let mut doubt = self.time.doubt();
        self.time.tell(doubt.look(now), None);
        doubt.is_doubtful()
    }

    /// What is wrong with the clock, for people.
    #[must_use]
    pub fn clock_trouble(&self) -> Option<String> {
        if !self.clock_is_doubtful() {
            return None;
        }
        let denied = self.time.denied().clone();
        let denied = denied.map_or_else(String::new, |words| format!("; {words}"));
        Some(format!("it is {} by this machine; {DOUBTFUL}{denied}", self.clock.wall()))
    }

    /// A deadline as it counts now.
    #[must_use]
    pub fn deadline_of(&self, deadline: Option<Timestamp>) -> Option<Timestamp> {
        deadline.filter(|_| !self.clock_is_doubtful())
    }

    /// Before this, things that are over may be forgotten.
    #[must_use]
    pub fn sure_time(&self) -> Timestamp {
        self.time.sure(self.clock.now())
    }

    /// A person's word: the clock is right.
    pub fn confirm_clock(&self, who: &str) {
        let now = self.clock.now();
        let change = self.time.doubt().confirm(now);
        self.time.tell(change, Some(who));
    }

    /// A provider told what time it is.
    pub fn hear_date(&self, account: &str, told: Timestamp) {
        if !self.clock_is_doubtful() {
            return;
        }
        let now = self.clock.now();
        let change = self.time.doubt().hear(now, told);
        if change.is_none() {
            *self.time.denied() = Some(format!("{account}'s provider says that it is {told}"));
        }
        self.time.tell(change, None);
    }

    /// Follows a step of the wall clock before anything is decided by it. The time that was looked
    /// at, to decide by.
    pub async fn mind_clock(&self) -> StoreResult<Now> {
        let mut steps = self.time.steps.lock().await;
        let now = self.clock.now();
        self.follow_clock(&mut steps, now).await?;
        Ok(now)
    }

    /// How long the machine was off is not known, so lives that were told as durations may be over.
    pub(super) async fn renew_after_set_back(&self) -> StoreResult<()> {
        if !self.time.set_back {
            return Ok(());
        }
        let relative = |cell: &Arc<Cell>| cell.origin().is_some_and(|origin| origin.relative);
        for cell in self.credentials.all().into_iter().filter(relative) {
            cell.hasten(cell.generation());
            self.wake_renewal(cell.queue, &cell.name).await?;
        }
        Ok(())
    }

    /// Keeps the time now and then, and makes good what was left undone in doubt.
    pub(super) async fn keep_time(&self) -> StoreResult<()> {
        let now = self.clock.now();
        if self.time.confirmed.swap(false, Ordering::AcqRel) {
            for cell in self.credentials.all() {
                if cell.next_revocation(now.wall).is_some() {
                    self.wake_renewal(cell.queue, &cell.name).await?;
                }
            }
            self.time.kept_ms.store(i64::MIN, Ordering::Release);
        }
        if now.boot_ms.saturating_sub(self.time.kept_ms.load(Ordering::Acquire)) >= KEEP_MS {
            self.keep_time_now().await?;
        }
        Ok(())
    }

    /// Keeps the time, as at a stop.
    pub async fn keep_time_now(&self) -> StoreResult<()> {
        let now = self.clock.now();
        self.store.set_meta(CLOCK, self.time.kept(now)).await?;
        self.time.kept_ms.store(now.boot_ms, Ordering::Release);
        Ok(())
    }
}
