//! Sinks within this process: what takes too long, or cannot be seen, from outside.

use std::{path::Path, sync::Arc, time::Duration};

use attendant::{
    chance::Chance,
    clock::Clock,
    config::{Config, Env, Inputs},
    credentials::{
        cell::{Cell, Obtained, Origin},
        vault::Vault,
    },
    definition::Registry,
    engine::{
        Engine, Settings,
        attempt::Attempts,
        backend::run_worker,
        catalog::Catalog,
        dispatcher::Dispatcher,
        plan::{self, Visibility},
        sinks,
    },
    outbound::Outbound,
    policy::backoff::Backoff,
    store::{
        Store,
        sqlite::{self, DatabaseLock, Synchronous},
    },
};
use tokio::sync::mpsc;

use crate::support::until;

/// An engine whose one account has a sink with this command, and which hardly waits after errors.
async fn engine(dir: &Path, on_change: &str) -> Arc<Engine> {
    let file = dir.join("attendant.toml");
    std::fs::write(dir.join("secret"), "secret").unwrap();
    let config = format!(
        "[database]\nurl = \"sqlite://{dir}/db\"\n[api]\nsocket = \"s\"\n[accounts.certn]\n\
         provider = \"certn\"\nbase_url = \"http://127.0.0.1:9\"\n\
         secrets.client_id = {{ file = \"secret\" }}\n\
         secrets.client_secret = {{ file = \"secret\" }}\n\
         [[accounts.certn.sinks]]\ncredential = \"access_token\"\nfile = \"{dir}/out/token\"\n\
         on_change = [\"/bin/sh\", \"-c\", \"{on_change}\"]\n",
        dir = dir.display()
    );
    std::fs::write(&file, config).unwrap();
    let env = Env::new();
    let config = Config::load(&Inputs::new(Some(&file), &env)).unwrap();
    let registry = Registry::load(None).unwrap();
    let plan = plan::plan(&config, registry, &env, Visibility::Service).unwrap();
    let lock = DatabaseLock::take(&dir.join("db")).unwrap();
    let store: Arc<dyn Store> = Arc::new(sqlite::open(lock, Synchronous::Normal).await.unwrap());
    let vault = Arc::new(Vault::ephemeral());
    let catalog = Catalog::register(plan, &*store, &vault).await.unwrap();
    let wait = Duration::from_millis(1);
    let settings = Settings {
        concurrency: 4,
        lease: Duration::from_mins(1),
        shutdown_timeout: Duration::from_secs(5),
        backoff: Backoff { base: wait, cap: wait },
        chance: Chance::System,
    };
    let outbound = Outbound::new().unwrap();
    let engine =
        Engine::new(store, vault, Clock::System, settings, catalog, outbound).await.unwrap();
    let (jobs, claimed) = mpsc::channel(100);
    let dispatcher = Dispatcher::new(Arc::clone(&engine), jobs).await.unwrap();
    tokio::spawn(dispatcher.run());
    let attempts = Arc::new(Attempts(Arc::clone(&engine)));
    tokio::spawn(run_worker("sinks".to_owned(), claimed, attempts));
    tokio::spawn(sinks::run(Arc::clone(&engine)));
    engine
}

async fn publish(engine: &Engine, cell: &Cell, value: &str) {
    let now = Clock::System.wall();
    let obtained = Obtained {
        value: value.to_owned().into(),
        refresh_token: None,
        origin: Origin::default(),
        sent_at: now,
        expires_at: Some(now.plus(Duration::from_mins(10))),
        renew_at: None,
    };
    cell.put(&*engine.store, &engine.vault, obtained).await.unwrap();
    engine.handed_over(cell);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_never_works_is_given_up_and_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("out")).unwrap();
    let engine = engine(dir.path(), "exit 7").await;
    let cell = engine.cell("certn", "access_token").unwrap();
    publish(&engine, &cell, "first").await;
    let trouble = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            if let Some(first) = engine.sink_troubles().await.into_iter().next() {
                break first;
            }
        }
    };
    let trouble = tokio::time::timeout(Duration::from_secs(30), trouble).await;
    let (code, account, words) = trouble.expect("a trouble");
    assert_eq!((code, account.as_str()), ("on_change_dead", "certn"));
    assert!(words.contains("was given up after 20 errors: `attendant jobs show"), "{words}");
    // A newer value gets a run of its own, and the old trouble is over until that is given up too.
    publish(&engine, &cell, "second").await;
    let file = dir.path().join("out/token");
    until("the second value", || std::fs::read(&file).unwrap() == b"second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_revokes_is_told_whether_a_file_has_the_old_value() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let engine = engine(dir.path(), "exit 0").await;
    let cell = engine.cell("certn", "access_token").unwrap();
    let older = |generation| engine.sinks_hold_older(cell.queue, "access_token", generation);
    assert!(!older(1), "a file that was never written has nothing old");
    publish(&engine, &cell, "first").await;
    let file = out.join("token");
    until("the first value", || std::fs::read(&file).is_ok_and(|read| read == b"first")).await;
    until("the word on it", || older(2)).await;
    assert!(!older(1));
    // From now on it cannot be written.
    std::fs::rename(&out, dir.path().join("moved")).unwrap();
    publish(&engine, &cell, "second").await;
    assert!(older(2));
    std::fs::rename(dir.path().join("moved"), &out).unwrap();
    until("the second value", || !older(2)).await;
    assert_eq!(std::fs::read(&file).unwrap(), b"second");
}
