//! The API as a client meets it: a real engine on a real database, a server on a real socket.

mod access;
mod acting;
mod bad;
mod batch;
mod clock;
mod credentials;
mod fuzz;
mod jobs;
mod metrics;
mod operations;
mod retention;
mod rights;
mod schedules;
mod sealing;
mod steps;
mod tcp;
mod waiting;

use std::{sync::Arc, time::Duration};

use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, UnixListener},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{Listeners, access::Access, serve};
use crate::{
    chance::Chance,
    clock::{Clock, ManualClock},
    config::{self, Config, Env, Inputs},
    credentials::vault::{self, Part, Vault},
    definition::Registry,
    engine::{
        Engine, Settings,
        catalog::Catalog,
        plan::{self, Visibility},
    },
    outbound::Outbound,
    policy::backoff::Backoff,
    store::{
        Allowance, Claim, ClaimedJob, NewArtifact, NewAttempt, NewObservation, Settlement, Store,
        StoredError,
        sqlite::{self, DatabaseLock, Synchronous},
    },
    types::{JobId, JobState, Timestamp},
};

const CONFIG: &str = r#"
[accounts.certn]
provider = "certn"
base_url = "http://127.0.0.1:9"
secrets.client_id = { env = "ID" }
secrets.client_secret = { env = "SECRET" }
[accounts.acme]
provider = "acme"
"#;

/// A provider whose kind has a secret argument.
const ACME: &str = r#"
provider = "acme"
title = "Acme"
base_url = "http://127.0.0.1:9"
[jobs.user]
shape = "call"
request = { path = "/" }
args = { name = { type = "string" }, pass = { type = "string", secret = true } }
[jobs.login]
shape = "call"
secret_result = true
request = { path = "/" }
"#;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

struct Setup {
    engine: Arc<Engine>,
    clock: ManualClock,
    client: reqwest::Client,
    stop: CancellationToken,
    server: JoinHandle<()>,
    folder: TempDir,
}

/// An answer that was read.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The body of an answer with this status.
    #[track_caller]
    fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// A well-formed problem of this status.
    #[track_caller]
    fn problem(&self, status: u16) -> Value {
        let problem = self.expect(status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().unwrap().starts_with("urn:attendant:"), "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
        problem
    }
}

impl Setup {
    async fn new() -> Self {
        Self::with_access(own_user()).await
    }

    async fn with_access(access: Access) -> Self {
        Self::with(access, CONFIG).await
    }

    async fn with(access: Access, config: &str) -> Self {
        Self::build(|_| access, config, None).await
    }

    async fn build(
        access: impl FnOnce(&config::Api) -> Access,
        config: &str,
        tcp: Option<TcpListener>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("jobs.d")).unwrap();
        std::fs::write(folder.path().join("jobs.d/acme.toml"), ACME).unwrap();
        let clock = ManualClock::at(NOW);
        let engine = engine_with(&folder, clock.clone(), config).await;
        let socket = folder.path().join("attendant.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let stop = CancellationToken::new();
        let listeners = Listeners { socket: listener, tcp };
        let access = Arc::new(access(&load(&folder).api));
        let serving = serve(Arc::clone(&engine), listeners, access, stop.clone(), stop.clone());
        let server = tokio::spawn(serving);
        let client = reqwest::Client::builder().unix_socket(socket).build().unwrap();
        Self { engine, clock, client, stop, server, folder }
    }

    async fn send(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.client.request(method, format!("http://attendant{path}")).body(body);
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body.to_string()).await
    }

    /// Enqueues a job that must be new; its id.
    async fn job(&self, body: &Value) -> JobId {
        let job = self.post("/v1/jobs", body).await.expect(201);
        job["id"].as_str().unwrap().parse().unwrap()
    }

    /// Takes one ready job of an account, as the dispatcher would.
    async fn claim(&self, account: &str) -> ClaimedJob {
        let queue = self.engine.catalog().account(account).unwrap().queue;
        let claim = Claim {
            now: self.now(),
            lease_until: self.now().plus(Duration::from_mins(1)),
            allowances: vec![Allowance { queue, count: 1, max_priority: 3 }],
            promote: 10,
            buckets: vec![],
        };
        self.engine.store.claim(claim).await.unwrap().jobs.pop().unwrap()
    }

    fn now(&self) -> Timestamp {
        self.engine.clock.wall()
    }

    /// Ends an attempt, as the engine would, and tells those who wait.
    async fn settle(&self, settlement: Settlement, root: i64) {
        assert_eq!(self.engine.store.settle(vec![settlement]).await.unwrap(), [true]);
        self.engine.waiters.ended(root);
    }

    /// Takes the next job of an account and ends it as completed with this result.
    async fn complete(&self, account: &str, result: &Value) {
        let job = self.claim(account).await;
        let settlement = completed(&self.engine, &job, result);
        self.settle(settlement, job.root).await;
    }

    /// Takes the next job of an account and ends it as dead with this code.
    async fn die(&self, account: &str, code: &str) {
        let job = self.claim(account).await;
        let settlement = Settlement {
            state: JobState::Dead,
            error: Some(StoredError { code: code.into(), message: None, at: self.now() }),
            ..unchanged(&self.engine, &job)
        };
        self.settle(settlement, job.root).await;
    }
}

/// The daemon's own user and root.
fn own_user() -> Access {
    Access::of(vec![nix::unistd::Uid::effective().as_raw(), 0], Clock::System)
}

fn env() -> Env {
    [("HOME", "/tmp"), ("ID", "id"), ("SECRET", "secret")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn load(folder: &TempDir) -> Config {
    let file = folder.path().join("attendant.toml");
    Config::load(&Inputs::new(Some(&file), &env())).unwrap()
}

async fn engine_with(folder: &TempDir, clock: ManualClock, config: &str) -> Arc<Engine> {
    std::fs::write(folder.path().join("attendant.toml"), config).unwrap();
    let (env, config) = (env(), load(folder));
    let registry = Registry::load(config.jobs_dir.as_deref()).unwrap();
    let plan = plan::plan(&config, registry, &env, Visibility::Service).unwrap();
    let lock = DatabaseLock::take(&folder.path().join("attendant.db")).unwrap();
    let store: Arc<dyn Store> = Arc::new(sqlite::open(lock, Synchronous::Normal).await.unwrap());
    let vault = Arc::new(Vault::ephemeral());
    let catalog = Catalog::register(plan, &*store, &vault).await.unwrap();
    let settings = Settings {
        concurrency: 4,
        lease: Duration::from_mins(1),
        shutdown_timeout: Duration::from_secs(1),
        backoff: Backoff::default(),
        chance: Chance::System,
    };
    let outbound = Outbound::new().unwrap();
    Engine::new(store, vault, Clock::Manual(clock), settings, catalog, outbound).await.unwrap()
}

fn unchanged(engine: &Engine, job: &ClaimedJob) -> Settlement {
    Settlement {
        seq: job.seq,
        generation: job.generation,
        from: JobState::Running,
        args_rev: None,
        now: engine.clock.wall(),
        state: JobState::Running,
        run_at: job.run_at,
        ready: false,
        attempt: job.attempt,
        errors: 0,
        polls: job.polls,
        deadline: job.deadline,
        error: None,
        result: None,
        history: None,
        observation: None,
        artifact: None,
        children: vec![],
    }
}

/// With everything that an end can bring.
fn completed(engine: &Engine, job: &ClaimedJob, result: &Value) -> Settlement {
    let chain = engine.vault.chain(&job.salt.unwrap());
    let text = |part, words: &str| vault::seal(&chain, job.id, part, words.as_bytes());
    Settlement {
        state: JobState::Completed,
        attempt: job.attempt + 1,
        polls: 3,
        result: Some(vault::seal_json(&chain, job.id, Part::Result, result)),
        history: Some(NewAttempt {
            started_at: engine.clock.wall(),
            outcome: "completed",
            code: None,
            message: Some(text(Part::Attempt(job.generation), "done")),
        }),
        observation: Some(NewObservation {
            n: 1,
            polls: 3,
            status: text(Part::Status(1), "COMPLETE"),
        }),
        artifact: Some(NewArtifact {
            name: "report.pdf".into(),
            content_type: "application/pdf".into(),
            size: 4,
            sha256: "abc".into(),
            sealed: text(Part::Artifact("report.pdf"), "%PDF"),
        }),
        ..unchanged(engine, job)
    }
}

fn applicant(id: &str) -> Value {
    json!({ "kind": "certn.applicant", "args": { "industry": "hr", "id": id } })
}
