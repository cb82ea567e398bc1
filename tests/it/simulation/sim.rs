//! What all parts of one simulation share: time, chance, what was seen, and what was wrong.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    future::{pending, poll_fn},
    sync::{Arc, Mutex, MutexGuard},
    task::Poll,
};

use attendant::{
    clock::{Clock, ManualClock},
    credentials::vault::Vault,
    store::StoreError,
    types::Timestamp,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::runtime::Runtime;

use super::{ledger::Ledger, people::Plan, provider::Providers};

/// Lines that are shown when something is wrong.
const SHOWN: usize = 120;

/// One simulation.
#[derive(Debug)]
pub struct Sim {
    pub clock: ManualClock,
    pub vault: Arc<Vault>,
    /// Runs the database, and only while a statement is waited for: to everything else its work is
    /// done in no time.
    runtime: Runtime,
    state: Mutex<State>,
}

#[derive(Debug)]
pub struct State {
    /// Milliseconds since the start, which no step of a wall clock moves.
    pub t: i64,
    pub ledger: Ledger,
    pub providers: Providers,
    pub trace: Trace,
    /// What the store's troubles are drawn from.
    pub chance: StdRng,
    /// The wall clock has gone back: what was made ready stays so.
    pub stepped_back: bool,
    /// The wall clock has been stepped lately.
    pub stepped: bool,
    /// What clients mean to have done.
    pub plans: Vec<Plan>,
    /// How likely the store does not answer, in thousandths.
    pub flaky: u32,
    pub wrong: Vec<String>,
    /// The process dies at the so-many-th point from now.
    pub dies_in: Option<u32>,
    pub dead: bool,
}

/// What happened, line by line, as a number that two runs of one seed share.
#[derive(Debug, Default)]
pub struct Trace {
    pub hash: u64,
    pub lines: u64,
    last: VecDeque<String>,
    aloud: bool,
}

impl Trace {
    pub fn add(&mut self, line: String) {
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines += 1;
        if self.aloud {
            println!("{line}");
        }
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    pub fn tail(&self) -> String {
        self.last.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "  {line}");
            text
        })
    }
}

impl Sim {
    pub fn new(clock: ManualClock, vault: Arc<Vault>, state: State) -> Arc<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Arc::new(Self { clock, vault, runtime, state: Mutex::new(state) })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn wall(&self) -> Timestamp {
        Clock::Simulated(self.clock.clone()).wall()
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        let mut state = self.state();
        let line = format!("{:>12} {}", state.t, line());
        state.trace.add(line);
    }

    /// Waits for the database, and lets nobody else go on meanwhile.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A place where others may go on first, or the process may die.
    pub async fn point(&self) {
        if self.dies_here() {
            pending::<()>().await;
        }
        let mut first = true;
        poll_fn(|context| {
            if std::mem::take(&mut first) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }

    fn dies_here(&self) -> bool {
        let mut state = self.state();
        match state.dies_in {
            _ if state.dead => true,
            Some(0) => {
                (state.dies_in, state.dead) = (None, true);
                true
            }
            Some(points) => {
                state.dies_in = Some(points - 1);
                false
            }
            None => false,
        }
    }

    /// The database does not answer now.
    pub fn store_trouble(&self) -> Option<StoreError> {
        let mut state = self.state();
        let flaky = state.flaky;
        if flaky == 0 || !state.chance.random_ratio(flaky, 1_000) {
            return None;
        }
        let t = state.t;
        state.providers.unwell(None, t);
        Some(StoreError::Unavailable("the simulation's whim".to_owned()))
    }
}

impl State {
    pub fn new(seed: u64, providers: Providers) -> Self {
        Self {
            t: 0,
            ledger: Ledger::default(),
            providers,
            trace: Trace {
                hash: 0xcbf2_9ce4_8422_2325,
                aloud: std::env::var_os("SIM_TRACE").is_some(),
                ..Trace::default()
            },
            chance: StdRng::seed_from_u64(seed ^ 0x57_07e),
            stepped_back: false,
            stepped: false,
            plans: vec![],
            flaky: 0,
            wrong: vec![],
            dies_in: None,
            dead: false,
        }
    }

    /// Something must never be, and is.
    pub fn wrong(&mut self, words: impl Into<String>) {
        let words = words.into();
        let line = format!("{:>12} WRONG {words}", self.t);
        self.trace.add(line);
        self.wrong.push(words);
    }
}
