//! The engine in this process, on a real database and the simulated provider.

use std::{sync::Arc, time::Duration};

use attendant::{
    chance::Chance,
    clock::Clock,
    config::{Config, Env, Inputs},
    credentials::vault::Vault,
    definition::Registry,
    engine::{
        Engine, Settings,
        actions::Submitted,
        attempt::Attempts,
        backend::run_worker,
        cadence::Cadence,
        catalog::Catalog,
        dispatcher::Dispatcher,
        enqueue::JobRequest,
        plan::{self, Visibility},
    },
    outbound::Outbound,
    policy::backoff::Backoff,
    sandbox::{Options, Sandbox},
    store::{
        Store,
        sqlite::{self, DatabaseLock, Synchronous},
    },
    types::JobState,
};
use serde_json::json;
use tokio::sync::mpsc;

async fn engine(dir: &std::path::Path, base_url: &str) -> Arc<Engine> {
    let file = dir.join("attendant.toml");
    std::fs::write(dir.join("id"), "sandbox-client").unwrap();
    std::fs::write(dir.join("secret"), "sandbox-secret").unwrap();
    std::fs::create_dir_all(dir.join("jobs.d")).unwrap();
    let registry = Registry::load(None).unwrap();
    let quick = registry
        .provider("certn")
        .unwrap()
        .source_toml
        .replace("[jobs.applicant]\n", "[jobs.applicant]\nevery = \"400ms\"\n");
    std::fs::write(dir.join("jobs.d/certn.toml"), quick).unwrap();
    std::fs::write(
        &file,
        format!(
            "[database]\nurl = \"sqlite://{}/db\"\n[api]\nsocket = \"s\"\n\
             [accounts.certn]\nprovider = \"certn\"\nbase_url = \"{base_url}\"\n\
             limits = [\"240/1m\"]\n\
             secrets.client_id = {{ file = \"id\" }}\n\
             secrets.client_secret = {{ file = \"secret\" }}\n",
            dir.display()
        ),
    )
    .unwrap();
    let env = Env::new();
    let config = Config::load(&Inputs::new(Some(&file), &env)).unwrap();
    let registry = Registry::load(config.jobs_dir.as_deref()).unwrap();
    let plan = plan::plan(&config, registry, &env, Visibility::Service).unwrap();
    let lock = DatabaseLock::take(&dir.join("db")).unwrap();
    let store: Arc<dyn Store> = Arc::new(sqlite::open(lock, Synchronous::Full).await.unwrap());
    let vault = Arc::new(Vault::ephemeral());
    let catalog = Catalog::register(plan, &*store, &vault).await.unwrap();
    let settings = Settings {
        concurrency: 8,
        lease: Duration::from_mins(1),
        shutdown_timeout: Duration::from_secs(5),
        backoff: Backoff::default(),
        chance: Chance::System,
    };
    Engine::new(store, vault, Clock::System, settings, catalog, Outbound::new().unwrap())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_followed_to_its_report() {
    let _ = attendant::telemetry::logging::start(
        attendant::config::LogFormat::Text,
        "debug",
        &Env::new(),
    );
    let sandbox =
        Sandbox::start(([127, 0, 0, 1], 0).into(), Options::certn(Clock::System)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path(), &sandbox.base_url()).await;
    let (jobs, claimed) = mpsc::channel(16);
    let dispatcher = Dispatcher::new(Arc::clone(&engine), jobs).await.unwrap();
    tokio::spawn(dispatcher.run());
    tokio::spawn(run_worker("test".to_owned(), claimed, Arc::new(Attempts(Arc::clone(&engine)))));
    let request = JobRequest {
        kind: "certn.application".to_owned(),
        args: json!({
            "industry": "hr", "report": "pdf",
            "application": {"information": {"first_name": "Ada", "last_name": "Byron"}},
        }),
        key: Some("k".to_owned()),
        ..JobRequest::default()
    };
    let submitted = engine.submit(vec![request], engine.actor, "test").await.unwrap().remove(0);
    let Ok(Submitted::New(prepared)) = submitted else { panic!("{submitted:?}") };
    let root = engine.store.job(prepared.row.id).await.unwrap().unwrap();
    let mut ends = engine.waiters.subscribe(root.seq);
    let chain = loop {
        let chain = engine.store.chain(root.seq).await.unwrap();
        if chain.len() == 3 && chain.iter().all(|job| job.state.has_ended()) {
            break chain;
        }
        tokio::time::timeout(Duration::from_secs(20), ends.changed()).await.unwrap().unwrap();
    };
    assert!(chain.iter().all(|job| job.state == JobState::Completed), "{chain:?}");
    assert_eq!(sandbox.counters().orders["Ada Byron"], 1);
    let files = engine.store.artifacts(chain.iter().map(|job| job.seq).collect()).await.unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].name, "report.pdf");
    assert!(engine.store.cadence().await.unwrap().is_empty(), "not with every poll");
    engine.cadence.save(&*engine.store, engine.clock.wall()).await.unwrap();
    let learned = engine.store.cadence().await.unwrap();
    assert!(learned.iter().any(|row| row.status.is_none()), "{learned:?}");
    // It is read back, and so are the numbers in it.
    let again = Cadence::load(&*engine.store).await.unwrap();
    engine.store.save_cadence(learned[0].clone()).await.unwrap();
    again.save(&*engine.store, engine.clock.wall()).await.unwrap();
    assert_eq!(engine.store.cadence().await.unwrap().len(), learned.len());
}
