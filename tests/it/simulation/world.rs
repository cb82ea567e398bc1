//! One simulation from its first boot to its quiet end.

use std::{sync::Arc, time::Duration};

use attendant::{
    chance::Chance,
    clock::{Clock, ManualClock},
    engine::{
        Engine, Settings,
        attempt::Attempts,
        backend::Execute as _,
        catalog::Catalog,
        dispatcher::{Dispatcher, Handed},
        reaper,
        running::Stop,
    },
    policy::backoff::Backoff,
    store::Store,
    types::{JobState, Timestamp},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};

use super::{
    call::{Script, check_orders},
    events::{ACCOUNTS, Event, Events},
    people::{self, Ask},
    provider::{DAY, HOUR, MINUTE},
    sim::{Sim, State},
    store::SimStore,
    tasks::Tasks,
    template::{open, template},
};

const START: Timestamp = Timestamp(1_800_000_000_000);
/// As long as the dispatcher sleeps at most, in which a step of the clock is noticed.
const LONGEST_SLEEP: i64 = 10_000;
/// As often as the reaper looks.
const REAPER: i64 = 20_000;
/// So many turns of tasks without any time passing are no work but a loop.
const TURNS: u32 = 100_000;
/// After its faults end, all must end in this time.
const DRAIN: i64 = 6 * DAY;

/// A started engine.
pub struct Daemon {
    pub engine: Arc<Engine>,
    handed: mpsc::Receiver<Handed>,
    reap: Arc<Notify>,
    pub since: i64,
    reaped: i64,
}

/// What a boot leaves for the world to take over.
type Booted = Arc<std::sync::Mutex<Option<Result<Started, String>>>>;
struct Started(Arc<Engine>, Dispatcher, mpsc::Receiver<Handed>);

pub struct World {
    pub sim: Arc<Sim>,
    pub daemon: Option<Daemon>,
    store: Option<Arc<dyn Store>>,
    pub events: Events,
    tasks: Tasks,
    schedule: StdRng,
    chance: Chance,
    catalog: Arc<Catalog>,
    booting: Option<Booted>,
    stopped: Arc<std::sync::atomic::AtomicBool>,
    stepped_at: i64,
    /// A client went away, and with it maybe the word that there is something to do.
    pub hung_up_at: i64,
    /// The next attempt that is seen running is cancelled.
    recall: bool,
    pub calm: bool,
    pub concurrency: usize,
    pub crashes: u32,
    pub checks: u64,
    folder: TempDir,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let template = template();
        let (events, providers) = Events::new(seed);
        let state = State::new(seed, providers);
        let vault = Arc::clone(&template.vault);
        let sim = Sim::new(ManualClock::at(START), vault, state);
        let folder = template.copy();
        let store = sim.wait(open(folder.path()));
        let mut schedule = StdRng::seed_from_u64(seed ^ 0x0005_ced0);
        let concurrency = [4, 64, 64][schedule.random_range(0..3)];
        sim.state().flaky = [0, 0, 2][schedule.random_range(0..3)];
        Self {
            sim,
            daemon: None,
            store: Some(store),
            events,
            tasks: Tasks::default(),
            schedule,
            chance: Chance::seeded(seed),
            catalog: Arc::new(template.catalog.clone()),
            booting: None,
            stopped: Arc::default(),
            stepped_at: -DAY,
            hung_up_at: -DAY,
            recall: false,
            calm: false,
            concurrency,
            crashes: 0,
            checks: 0,
            folder,
        }
    }

    /// The store as it is, past the simulation's own.
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone().unwrap()
    }

    pub fn t(&self) -> i64 {
        self.sim.state().t
    }

    /// Until the end, or until something is wrong.
    pub fn run(&mut self) {
        while self.sim.state().wrong.is_empty() {
            self.all_go_on();
            self.check();
            if self.calm && self.is_over() {
                self.check_end();
                return;
            }
            self.recalls();
            self.jump();
            while let Some(event) = self.events.take(self.t()) {
                self.happens(event);
            }
        }
    }

    /// Nothing is to be done any more but to keep credentials.
    fn is_over(&self) -> bool {
        let mut state = self.sim.state();
        let live = |one: &super::ledger::Entry| {
            !one.renewal && (!one.state.has_ended() || one.is_unknown())
        };
        if !state.ledger.jobs.iter().any(live) && state.providers.late.is_empty() {
            return true;
        }
        if state.t > self.events.end + DRAIN {
            let left: Vec<String> = (0..state.ledger.jobs.len())
                .filter(|n| live(&state.ledger.jobs[*n]))
                .map(|n| format!("{}: {:?}", state.ledger.name(n), state.ledger.jobs[n].state))
                .collect();
            state.wrong(format!("days after the last fault these have not ended: {left:?}"));
        }
        false
    }

    /// All that can be done without time passing.
    fn all_go_on(&mut self) {
        for _ in 0..TURNS {
            let Some(name) = self.tasks.step(&mut self.schedule) else { return };
            self.sim.note(|| name);
            if self.sim.state().dead {
                self.dies();
            }
            if self.stopped.swap(false, std::sync::atomic::Ordering::AcqRel) {
                self.end_of_daemon("stopped");
            }
            self.take_over();
            self.hand_over();
            if !self.sim.state().wrong.is_empty() {
                return;
            }
        }
        self.sim.state().wrong("the daemon turns round without end");
    }

    /// Claimed jobs become attempts.
    fn hand_over(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        while let Ok(handed) = daemon.handed.try_recv() {
            let attempts = Attempts(Arc::clone(&daemon.engine));
            let name = format!("attempt {} {}", handed.job.seq, handed.job.generation.0);
            self.tasks.spawn(name, async move { attempts.execute(handed).await });
        }
    }

    /// A boot that is through becomes the daemon.
    fn take_over(&mut self) {
        let done = self.booting.as_ref().and_then(|booting| booting.lock().unwrap().take());
        let Some(done) = done else { return };
        self.booting = None;
        let t = self.t();
        let Ok(Started(engine, dispatcher, handed)) = done else {
            self.events.at(t + 1_000, Event::Boot);
            return;
        };
        let reap = Arc::new(Notify::new());
        let round = dispatch(Arc::clone(&self.sim), Arc::clone(&engine), dispatcher);
        self.tasks.spawn("dispatcher", round);
        self.tasks.spawn("reaper", look_after(Arc::clone(&engine), Arc::clone(&reap)));
        self.daemon = Some(Daemon { engine, handed, reap, since: t, reaped: t });
        self.sim.state().providers.unwell(None, t);
    }

    fn boots(&mut self) {
        if self.booting.is_some() || self.daemon.is_some() {
            return;
        }
        self.sim.note(|| "boot".to_owned());
        let store = Arc::new(SimStore {
            sim: Arc::clone(&self.sim),
            inner: self.store(),
            catalog: Arc::clone(&self.catalog),
        });
        let clock = Clock::Simulated(self.sim.clock.clone());
        let script = Arc::new(Script(Arc::clone(&self.sim)));
        let template = template();
        let outbound =
            template.outbound.clone().carried_by(script, clock.clone(), self.chance.clone());
        let settings = Settings {
            concurrency: self.concurrency,
            lease: Duration::from_mins(1),
            shutdown_timeout: Duration::from_secs(45),
            backoff: Backoff::default(),
            chance: self.chance.clone(),
        };
        let (vault, catalog) = (Arc::clone(&template.vault), template.catalog.clone());
        let booting = Booted::default();
        let done = Arc::clone(&booting);
        self.tasks.spawn("boot", async move {
            let boot = async {
                let engine = Engine::new(store, vault, clock, settings, catalog, outbound).await?;
                reaper::reclaim_all(&engine).await?;
                engine.depths().await?;
                let (jobs, handed) = mpsc::channel(1_000);
                let dispatcher = Dispatcher::new(Arc::clone(&engine), jobs).await?;
                Ok(Started(engine, dispatcher, handed))
            };
            let booted: Result<Started, attendant::store::StoreError> = boot.await;
            *done.lock().unwrap() = Some(booted.map_err(|error| error.to_string()));
        });
        self.booting = Some(booting);
    }

    fn dies(&mut self) {
        self.crashes += 1;
        self.end_of_daemon("dies");
    }

    /// All memory is gone; what was committed stays.
    fn end_of_daemon(&mut self, how: &'static str) {
        self.sim.note(|| how.to_owned());
        self.tasks.clear();
        (self.daemon, self.booting) = (None, None);
        {
            let mut state = self.sim.state();
            state.ledger.jobs.iter_mut().for_each(|one| one.unsent = false);
            (state.dead, state.dies_in) = (false, None);
        }
        if self.schedule.random_ratio(1, 10) {
            if let Some(store) = self.store.take() {
                self.sim.wait(store.close());
            }
            self.store = Some(self.sim.wait(open(self.folder.path())));
        }
        if self.events.reboots && self.schedule.random_ratio(1, 5) {
            self.sim.clock.reboot();
        }
        let long = [10, 2_000, 30_000, 1_200_000][self.schedule.random_range(0..4)];
        let back = self.t() + self.schedule.random_range(1..=long);
        self.events.at(back, Event::Boot);
    }

    fn happens(&mut self, event: Event) {
        self.sim.note(|| format!("{event:?}").split(' ').next().unwrap_or_default().to_owned());
        match event {
            Event::Visit if !self.calm => {
                let asked = self.events.visit(&mut self.sim.state());
                if let Some(ask) = asked {
                    self.asks(ask);
                }
            }
            Event::Order if !self.calm => {
                let ask = self.events.order(&mut self.sim.state());
                self.asks(ask);
            }
            Event::Ask(ask) => self.asks(ask),
            Event::Forget(account) if !self.calm => {
                let mut state = self.sim.state();
                let t = state.t;
                state.providers.unwell(Some(account), t);
                if let Some(one) = state.providers.all.get_mut(account) {
                    one.forget_tokens();
                }
            }
            Event::Die(points) if !self.calm && self.daemon.is_some() => {
                self.sim.state().dies_in = Some(points);
            }
            Event::Stop if !self.calm => self.stops(),
            Event::Boot => self.boots(),
            Event::Step(by) if !self.calm => self.steps(by),
            Event::Poke => {
                if let Some(daemon) = &self.daemon {
                    daemon.engine.wake.notify();
                }
            }
            Event::HangUp if !self.calm => {
                self.tasks.drop_one("client");
                self.hung_up_at = self.t();
            }
            Event::Recall if !self.calm => self.recall = true,
            Event::Calm => self.calms(),
            Event::Tidy => self.tidies(),
            _ => {}
        }
    }

    fn recalls(&mut self) {
        if !self.recall || self.daemon.is_none() {
            return;
        }
        let state = self.sim.state();
        let running = state.some(|one| one.state == JobState::Running && !one.cancel);
        let t = state.t;
        drop(state);
        if let Some(id) = running.first() {
            self.recall = false;
            self.events.at(t, Event::Ask(Ask::Cancel(*id)));
        }
    }

    fn asks(&mut self, ask: Ask) {
        let t = self.t();
        if let Ask::Enqueue(n) = ask {
            let plan = self.sim.state().plans[n].clone();
            // Who is not answered asks again, if it has a key to do so with.
            if plan.key.is_some() && plan.accepted.is_none() {
                self.events.at(t + people::AGAIN, Event::Ask(ask.clone()));
            }
        }
        let Some(daemon) = &self.daemon else {
            if matches!(ask, Ask::Pause(..)) {
                self.events.at(t + people::AGAIN, Event::Ask(ask));
            }
            return;
        };
        let (sim, engine) = (Arc::clone(&self.sim), Arc::clone(&daemon.engine));
        let name = format!("client {ask:?}").split('(').next().unwrap_or_default().to_owned();
        self.tasks.spawn(name, people::ask(sim, engine, ask));
    }

    /// As the daemon does at SIGTERM.
    fn stops(&mut self) {
        let Some(daemon) = &self.daemon else { return };
        let (engine, stopped) = (Arc::clone(&daemon.engine), Arc::clone(&self.stopped));
        self.tasks.spawn("stopping", async move {
            engine.drain();
            let limit = engine.settings.shutdown_timeout;
            if engine.clock.timeout(limit, engine.running.idle()).await.is_none() {
                engine.running.stop_all(Stop::Shutdown);
                let rest = Duration::from_secs(2);
                let _ = engine.clock.timeout(rest, engine.running.idle()).await;
            }
            let _ = engine.budgets.settle(&*engine.store).await;
            stopped.store(true, std::sync::atomic::Ordering::Release);
        });
    }

    fn steps(&mut self, by: i64) {
        self.sim.clock.step_wall(by);
        let mut state = self.sim.state();
        let t = state.t;
        state.stepped_back |= by < 0;
        state.stepped = true;
        // What was to last until some time of the wall clock lasts longer now.
        state.providers.unwell(None, t + by.min(0).abs());
        drop(state);
        self.stepped_at = t;
        let notice = t + self.schedule.random_range(1..=LONGEST_SLEEP);
        self.events.at(notice, Event::Poke);
    }

    /// No faults from now on; people look after what is left.
    fn calms(&mut self) {
        self.calm = true;
        let mut state = self.sim.state();
        (state.flaky, state.dies_in) = (0, None);
        for one in state.providers.all.values_mut() {
            one.noise = 0;
        }
        let t = state.t;
        drop(state);
        for account in ACCOUNTS {
            self.events.at(t + MINUTE, Event::Ask(Ask::Pause(account, false)));
        }
        self.events.at(t + HOUR, Event::Tidy);
    }

    fn tidies(&mut self) {
        let unknown = self.sim.state().some(super::ledger::Entry::is_unknown);
        for id in unknown {
            self.asks(Ask::Resolve(id));
        }
        let t = self.t();
        self.events.at(t + HOUR, Event::Tidy);
    }

    /// Lets time pass until something is to happen.
    fn jump(&mut self) {
        let t = self.t();
        let wake = self
            .sim
            .clock
            .next_wake()
            .map(|left| t + i64::try_from(left.as_millis()).unwrap_or(i64::MAX / 2));
        let late = self.sim.state().providers.late.iter().map(|(at, ..)| *at).min();
        let reap = self.next_look();
        let next = [self.events.next(), wake, late, reap].into_iter().flatten().min();
        let next = next.unwrap_or(t + MINUTE).max(t + 1);
        let mut state = self.sim.state();
        state.t = next;
        state.providers.arrive(next);
        let ordered: Vec<String> =
            state.providers.all.values().flat_map(|one| one.orders.keys().cloned()).collect();
        if late.is_some_and(|at| at <= next) {
            for reference in ordered {
                check_orders(&mut state, &reference);
            }
        }
        if next > self.stepped_at + 2 * MINUTE {
            state.stepped = false;
        }
        drop(state);
        self.sim.clock.advance(super::provider::wait(next - t));
        if reap.is_some_and(|at| at <= next)
            && let Some(daemon) = &mut self.daemon
        {
            daemon.reaped = next;
            daemon.reap.notify_one();
        }
    }

    /// The reaper looks every 20 s. Where nothing runs and nothing disturbed the daemon there is
    /// nothing for it to find, and only some of its looks are made.
    fn next_look(&self) -> Option<i64> {
        let daemon = self.daemon.as_ref()?;
        let state = self.sim.state();
        let runs = |one: &super::ledger::Entry| one.state == JobState::Running;
        let disturbed = self.stepped_at.max(self.hung_up_at).max(daemon.since);
        let busy = state.t - disturbed < 2 * MINUTE || state.ledger.jobs.iter().any(runs);
        Some(daemon.reaped + if busy { REAPER } else { 15 * MINUTE })
    }
}

/// The dispatcher's own loop, but for the sleeps in which it only makes sure.
async fn dispatch(sim: Arc<Sim>, engine: Arc<Engine>, mut dispatcher: Dispatcher) {
    while !engine.is_draining() {
        sim.point().await;
        let sleep = dispatcher.round().await.unwrap_or(Duration::from_millis(500));
        if !sleep.is_zero() {
            dispatcher.rest(sleep).await;
        }
    }
}

async fn look_after(engine: Arc<Engine>, now: Arc<Notify>) {
    loop {
        now.notified().await;
        let _ = reaper::look(&engine).await;
    }
}
