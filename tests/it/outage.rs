//! A provider that is down for long, and comes back.

use std::{sync::Arc, time::Duration};

use attendant::{
    chance::Chance,
    clock::{Clock, ManualClock},
    config::{Config, Env, Inputs},
    credentials::vault::Vault,
    definition::Registry,
    engine::{
        Engine, Settings,
        attempt::Attempts,
        backend::Execute as _,
        catalog::Catalog,
        dispatcher::{Dispatcher, Handed},
        enqueue::JobRequest,
        plan::{self, Visibility},
        reaper,
    },
    outbound::Outbound,
    policy::backoff::Backoff,
    store::{
        JobFilter, Store,
        sqlite::{self, DatabaseLock, Synchronous},
    },
    types::{JobState, Timestamp},
};
use futures::future::join_all;
use serde_json::json;
use tokio::sync::mpsc;

use crate::support::{daemon::Site, shop::Shop, until};

const SLOTS: usize = 64;

/// An engine that is driven by hand, by a clock that is moved by hand.
pub struct World {
    site: Site,
    clock: ManualClock,
    pub engine: Arc<Engine>,
    dispatcher: Dispatcher,
    handed: mpsc::Receiver<Handed>,
}

impl World {
    pub async fn open(site: Site, clock: ManualClock, vault: Arc<Vault>) -> Self {
        let file = site.path("attendant.toml");
        let env = Env::new();
        let config = Config::load(&Inputs::new(Some(&file), &env)).unwrap();
        let registry = Registry::load(config.jobs_dir.as_deref()).unwrap();
        let plan = plan::plan(&config, registry, &env, Visibility::Service).unwrap();
        let lock = DatabaseLock::take(&site.path("attendant.db")).unwrap();
        let store: Arc<dyn Store> =
            Arc::new(sqlite::open(lock, Synchronous::Normal).await.unwrap());
        let catalog = Catalog::register(plan, &*store, &vault).await.unwrap();
        let settings = Settings {
            concurrency: SLOTS,
            lease: Duration::from_mins(1),
            shutdown_timeout: Duration::from_secs(5),
            backoff: Backoff::default(),
            chance: Chance::seeded(1),
        };
        let (time, outbound) = (Clock::Manual(clock.clone()), Outbound::new().unwrap());
        let engine = Engine::new(store, vault, time, settings, catalog, outbound).await.unwrap();
        let (jobs, handed) = mpsc::channel(4 * SLOTS);
        let dispatcher = Dispatcher::new(Arc::clone(&engine), jobs).await.unwrap();
        Self { site, clock, engine, dispatcher, handed }
    }

    /// Lets some time pass, and then runs all that may run.
    pub async fn pass(&mut self, by: Duration) {
        self.clock.advance(by);
        reaper::round(&self.engine).await.unwrap();
        self.dispatcher.round().await.unwrap();
        let attempts = Attempts(Arc::clone(&self.engine));
        let mut handed = vec![];
        while let Ok(one) = self.handed.try_recv() {
            handed.push(attempts.execute(one));
        }
        join_all(handed).await;
    }

    pub async fn count(&self, state: JobState) -> i64 {
        let counts = self.engine.store.counts().await.unwrap();
        counts.into_iter().find(|(one, _)| *one == state).map_or(0, |(_, count)| count)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_hours_of_outage_cost_nothing_and_500_go_on_without_a_flood() {
    let shop = Shop::start().await;
    shop.set(|books| (books.down, books.done) = (true, true));
    let clock = ManualClock::at(Timestamp(1_800_000_000_000));
    let mut world = World::open(shop.site(""), clock, Arc::new(Vault::ephemeral())).await;
    let follow = |n: usize| JobRequest {
        kind: "shop.thing".to_owned(),
        args: json!({ "id": n.to_string() }),
        ..JobRequest::default()
    };
    let requests = (0..500).map(follow).collect();
    let (engine, actor) = (Arc::clone(&world.engine), world.engine.actor);
    let made = engine.submit(requests, actor, "test").await.unwrap();
    assert!(made.iter().all(Result::is_ok));
    // The first to fail, and then one probe at a time.
    for _ in 0..30 {
        world.pass(Duration::from_secs(1)).await;
    }
    let first = shop.requests();
    assert!(first < 2 * SLOTS as u64, "{first} requests in the first half minute");
    for _ in 0..8 * 60 * 2 {
        world.pass(Duration::from_secs(30)).await;
    }
    let probes = shop.requests() - first;
    assert!(probes <= 8 * 60 / 5 + 10, "{probes} probes in eight hours");
    // Their deadline was two hours; none of that is used up, and all of them say what they wait for.
    assert_eq!(world.count(JobState::Queued).await, 500);
    for row in engine.store.jobs(JobFilter { limit: 500, ..JobFilter::default() }).await.unwrap() {
        assert!(row.errors <= 1, "{} errors", row.errors);
        let hold = engine.hold(&row).expect("a due job of a shut queue says why");
        assert_eq!(hold.code, "gate");
    }
    // A restart does not begin with everybody's tries.
    let World { site, clock, engine: closed, dispatcher, handed } = world;
    closed.store.close().await;
    let vault = Arc::clone(&closed.vault);
    drop((closed, engine, dispatcher, handed));
    let mut world = World::open(site, clock, vault).await;
    let before = shop.requests();
    world.pass(Duration::from_millis(10)).await;
    assert!(shop.requests() - before <= 1, "{} after the restart", shop.requests() - before);
    // It comes back: not everybody at once.
    shop.set(|books| books.down = false);
    let mut seconds = vec![];
    while world.count(JobState::Queued).await > 0 {
        let before = shop.requests();
        world.pass(Duration::from_secs(1)).await;
        seconds.push(shop.requests() - before);
        assert!(seconds.len() < 1_000, "{seconds:?}");
    }
    assert_eq!(world.count(JobState::Completed).await, 500, "{seconds:?}");
    let started = seconds.iter().position(|asked| *asked > 0).unwrap();
    assert!(seconds[started..].iter().take(4).sum::<u64>() <= 1 + 2 + 4 + 8, "{seconds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_is_shown_and_outlives_a_kill() {
    let shop = Shop::start().await;
    shop.set(|books| books.down = true);
    let site = shop.site("");
    let mut daemon = site.start();
    let enqueue = |n: i32| site.ok(&["enqueue", "shop.thing", "--arg", &format!("id={n}")]);
    let ids: Vec<String> = (0..8).map(enqueue).collect();
    daemon.wait_for("queue.gated");
    daemon.kill();
    let asked = shop.requests();
    let mut daemon = site.start();
    assert_eq!(site.json(&["queues"])["queues"][0]["state"], "gated");
    let waiting = site.job(&enqueue(9));
    assert_eq!(waiting["waiting_for"]["code"], "gate", "{waiting:#}");
    assert!(shop.requests() - asked <= 1, "a restart hammers the provider");
    shop.set(|books| books.down = false);
    daemon.wait_for("queue.opened");
    until("all to be done", || ids.iter().all(|id| site.job(id)["state"] == "completed")).await;
    let states = site.json(&["jobs", "--kind", "shop.thing"]);
    assert!(states["jobs"].as_array().unwrap().iter().all(|job| job["errors"] == 0), "{states:#}");
}
