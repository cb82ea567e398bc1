//! Hands fresh credentials to other programs: into their files, then to their commands.
//!
//! Each sink has a task of its own, so that none waits for another and no renewal for any. The
//! task brings about what should be, whatever it finds ([`crate::policy::sink`]): it compares the
//! value in hand with the file, writes, stores the command as a job of the queue
//! [`super::catalog::LOCAL`], and then stores that this generation was handed over. Killed between
//! any two of these it begins again at the next start, so a command runs at least once for the
//! newest generation. The file is written here and not by the job, because it must not wait for a
//! slot, nor be given up after a number of errors; the command is a job, because it must be kept,
//! retried with backoff, seen, and stopped.

pub mod command;
mod handing;
mod process;
mod redact;
pub mod view;

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use secrecy::SecretString;
use tokio::{sync::Notify, task::JoinSet};

use super::{Engine, catalog::Catalog};
use crate::{
    config, crash,
    credentials::cell::Cell,
    policy::sink::Failed,
    store::{QueueId, SinkRow, Store, StoreResult},
    types::Timestamp,
};

/// The longest sleep, so that a clock step or a suspend is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// All sinks of all accounts.
#[derive(Debug, Default)]
pub struct Sinks {
    hands: Mutex<Vec<Arc<Hand>>>,
    /// Told when there are others.
    changed: Notify,
}

/// Rows by queue, credential and file.
pub(super) type Stored = HashMap<(QueueId, String, String), SinkRow>;

/// One sink at work.
#[derive(Debug)]
pub struct Hand {
    pub(super) queue: QueueId,
    pub(super) account: String,
    sink: Mutex<Arc<config::Sink>>,
    state: Mutex<State>,
    poke: Notify,
    /// No configuration has it any more.
    gone: AtomicBool,
    tended: AtomicBool,
    /// Its command runs.
    busy: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// As stored.
    row: Option<SinkRow>,
    /// What must be stored again although `row` has this generation: the file was found changed.
    again: bool,
    in_file: Option<i64>,
    removed: bool,
    trouble: Option<Trouble>,
    /// The value in the file, as long as it is known: for redaction.
    value: Option<SecretString>,
}

#[derive(Debug, Clone)]
struct Trouble {
    failed: Failed,
    failures: u32,
    words: String,
    at: Timestamp,
}

impl Sinks {
    pub async fn load(store: &dyn Store, catalog: &Catalog) -> StoreResult<Self> {
        let all = Self::default();
        all.configure(catalog, Self::stored(store).await?);
        Ok(all)
    }

    /// How far values were handed over before.
    pub(super) async fn stored(store: &dyn Store) -> StoreResult<Stored> {
        let key = |row: &SinkRow| (row.queue, row.credential.clone(), row.file.clone());
        Ok(store.sinks().await?.into_iter().map(|row| (key(&row), row)).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Hand>>> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes on the sinks of a configuration, at the start and at a reload: the known ones go on
    /// and look at their files anew, the others end.
    pub(super) fn configure(&self, catalog: &Catalog, mut stored: Stored) {
        let mut hands = self.lock();
        let mut left = std::mem::take(&mut *hands);
        for account in catalog.accounts.values() {
            for sink in &account.sinks {
                let known = left.iter().position(|hand| {
                    hand.queue == account.queue && hand.is(&sink.credential, &sink.file)
                });
                let hand = known.map_or_else(
                    || {
                        let file = sink.file.display().to_string();
                        let row = stored.remove(&(account.queue, sink.credential.clone(), file));
                        Arc::new(Hand::new(account.queue, account.name.clone(), sink.clone(), row))
                    },
                    |at| left.swap_remove(at),
                );
                hand.take_on(sink);
                hands.push(hand);
            }
        }
        for hand in left {
            hand.gone.store(true, Ordering::Release);
            hand.poke.notify_one();
        }
        drop(hands);
        self.changed.notify_one();
    }

    /// The sinks of one credential.
    fn of(&self, queue: QueueId, credential: &str) -> Vec<Arc<Hand>> {
        let hands = self.lock();
        let of = |hand: &&Arc<Hand>| hand.queue == queue && hand.sink().credential == credential;
        hands.iter().filter(of).cloned().collect()
    }

    fn find(&self, account: &str, credential: &str, file: &str) -> Option<Arc<Hand>> {
        let hands = self.lock();
        let same =
            |hand: &&Arc<Hand>| hand.account == account && hand.is(credential, Path::new(file));
        hands.iter().find(same).cloned()
    }
}

impl Hand {
    fn new(queue: QueueId, account: String, sink: config::Sink, row: Option<SinkRow>) -> Self {
        Self {
            queue,
            account,
            sink: Mutex::new(Arc::new(sink)),
            state: Mutex::new(State { row, ..State::default() }),
            poke: Notify::new(),
            gone: AtomicBool::new(false),
            tended: AtomicBool::new(false),
            busy: AtomicBool::new(false),
        }
    }

    fn sink(&self) -> Arc<config::Sink> {
        Arc::clone(&self.sink.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, credential: &str, file: &Path) -> bool {
        let sink = self.sink();
        sink.credential == credential && sink.file == file
    }

    fn take_on(&self, sink: &config::Sink) {
        *self.sink.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(sink.clone());
        {
            let mut state = self.state();
            (state.in_file, state.removed, state.trouble) = (None, false, None);
        }
        self.poke.notify_one();
    }

    /// The generation in its file, as far as is known.
    fn held_generation(&self) -> Option<i64> {
        let state = self.state();
        if state.removed {
            return None;
        }
        state.in_file.or_else(|| state.row.as_ref().map(|row| row.generation))
    }
}

impl Engine {
    /// A value of this credential is durable: its sinks are told, and nobody waits for them.
    pub fn handed_over(&self, cell: &Cell) {
        crash::point("published");
        for hand in self.sinks.of(cell.queue, &cell.name) {
            hand.poke.notify_one();
        }
    }

    /// Whether some sink's file still has a value older than this generation, so that revoking it
    /// would leave a program with a dead one. A sink that was never written holds none.
    #[must_use]
    pub fn sinks_hold_older(&self, queue: QueueId, credential: &str, generation: i64) -> bool {
        let hands = self.sinks.of(queue, credential);
        hands.iter().any(|hand| hand.held_generation().is_some_and(|held| held < generation))
    }
}

/// Tends every sink until it is aborted.
pub async fn run(engine: Arc<Engine>) {
    let mut tending = JoinSet::new();
    loop {
        for hand in engine.sinks.lock().iter() {
            if !hand.tended.swap(true, Ordering::AcqRel) {
                tending.spawn(tend(Arc::clone(&engine), Arc::clone(hand)));
            }
        }
        tokio::select! {
            () = engine.sinks.changed.notified() => {}
            Some(ended) = tending.join_next() => {
                if ended.is_err() {
                    // A panic, which the log has: begun anew, but not in a whirl.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

/// Says that a sink is not tended any more, however its task ends.
struct Tended<'a>(&'a Hand);

impl Drop for Tended<'_> {
    fn drop(&mut self) {
        self.0.tended.store(false, Ordering::Release);
    }
}

async fn tend(engine: Arc<Engine>, hand: Arc<Hand>) {
    let _tended = Tended(&hand);
    while !hand.gone.load(Ordering::Acquire) {
        let until = handing::round(&engine, &hand).await;
        let now = engine.clock.wall();
        let sleep = until.map_or(LONGEST_SLEEP, |at| at.since(now)).min(LONGEST_SLEEP);
        tokio::select! {
            () = hand.poke.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}
