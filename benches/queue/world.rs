//! A daemon's inside in this process: configuration, definitions, store and engine put together
//! from files in a throw-away folder, as the daemon does it.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use attendant::{
    api,
    chance::Chance,
    clock::Clock,
    config::{self, Config, Env, Inputs},
    credentials::vault::{KeyPlace, Vault},
    definition::Registry,
    engine::{
        Engine, Settings,
        backend::{Execute, run_worker},
        catalog::Catalog,
        dispatcher::{Dispatcher, RENEWAL_SLOTS},
        plan::{self, Visibility},
    },
    outbound::Outbound,
    policy::backoff::Backoff,
    store::{
        Store,
        sqlite::{self, DatabaseLock, Synchronous},
    },
};
use tempfile::TempDir;
use tokio::{net::UnixListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{driver, measure::Run};

/// The account of every job here.
pub const ACCOUNT: &str = "bench";

/// A kind that would ask a port where nobody listens, and a follow that waits.
const DEFINITION: &str = r#"
provider = "bench"
title    = "What the benchmark runs"
base_url = "http://127.0.0.1:9"

[jobs.noop]
title   = "Nothing"
shape   = "call"
args    = { n = { type = "integer" } }
request = { path = "/noop" }

[jobs.follow]
title    = "Something that takes months"
shape    = "follow"
args     = { id = { type = "id" } }
unique   = ["id"]
request  = { path = "/follow/{{ args.id }}" }
status   = "response.status"
until    = "status == 'DONE'"
deadline = "365d"
"#;

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Full,
    Normal,
}

impl Durability {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }
}

impl FromStr for Durability {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "full" => Ok(Self::Full),
            "normal" => Ok(Self::Normal),
            _ => bail!("durability is full or normal, not {text}"),
        }
    }
}

/// A new folder on the disk to be measured.
pub fn folder() -> Result<TempDir> {
    let parent = driver::folder();
    fs::create_dir_all(&parent)?;
    TempDir::with_prefix_in("bench-", &parent)
        .with_context(|| format!("no folder in {}", parent.display()))
}

/// What a database of this durability says of itself.
#[tokio::main]
pub async fn probe(durability: Durability) -> Result<String> {
    let world = World::open(durability, 1).await?;
    let info = world.engine.store.describe().await?;
    world.close().await?;
    Ok(format!(
        "{} {}, journal_mode {}, synchronous {}",
        info.engine, info.version, info.journal_mode, info.synchronous
    ))
}

/// The files of a daemon.
#[derive(Debug)]
pub struct Files {
    /// Database, key, definitions and configuration.
    pub dir: TempDir,
    /// The socket stands apart: its path may have only 108 bytes.
    socket: TempDir,
}

impl Files {
    pub fn write(durability: Durability) -> Result<Self> {
        let accounts = format!("[accounts.{ACCOUNT}]\nprovider = \"bench\"\n");
        Self::with(durability, DEFINITION, &accounts)
    }

    /// With this definition, and these accounts of it.
    pub fn with(durability: Durability, definition: &str, accounts: &str) -> Result<Self> {
        let files = Self { dir: folder()?, socket: TempDir::with_prefix("bench-")? };
        let jobs = files.dir.path().join("jobs.d");
        fs::create_dir(&jobs)?;
        fs::write(jobs.join("bench.toml"), definition)?;
        let text = format!(
            "jobs_dir = \"jobs.d\"\n[database]\nurl = \"sqlite://{}\"\nsynchronous = \"{}\"\n\
             [api]\nsocket = \"{}\"\n[log]\nfilter = \"{}\"\n{accounts}",
            files.database().display(),
            durability.text(),
            files.socket().display(),
            log_filter(),
        );
        fs::write(files.config(), text)?;
        Ok(files)
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("attendant.toml")
    }

    pub fn database(&self) -> PathBuf {
        self.dir.path().join("attendant.db")
    }

    pub fn socket(&self) -> PathBuf {
        self.socket.path().join("s")
    }
}

/// What the log tells while a row runs. A daemon tells each job by default (`info`).
pub fn log_filter() -> String {
    std::env::var("BENCH_LOG").unwrap_or_else(|_| "warn".to_owned())
}

/// A daemon whose loops are started one by one.
pub struct World {
    pub engine: Arc<Engine>,
    pub files: Files,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    worker: Option<JoinHandle<Result<(), String>>>,
}

impl World {
    pub async fn open(durability: Durability, concurrency: usize) -> Result<Self> {
        Self::reopen(Files::write(durability)?, concurrency).await
    }

    pub async fn reopen(files: Files, concurrency: usize) -> Result<Self> {
        let env = Env::default();
        let config = Config::load(&Inputs::new(Some(&files.config()), &env))?;
        attendant::telemetry::logging::start(config.log.format, &config.log.filter, &Env::new())
            .map_err(anyhow::Error::msg)?;
        let registry = Registry::load(config.jobs_dir.as_deref())?;
        let plan = plan::plan(&config, registry, &env, Visibility::Service)?;
        let (store, vault) = open_store(&config, &files.database()).await?;
        let catalog = Catalog::register(plan, &*store, &vault).await?;
        let settings = Settings {
            concurrency,
            lease: config.engine.lease,
            shutdown_timeout: config.engine.shutdown_timeout,
            backoff: Backoff::default(),
            chance: Chance::System,
        };
        let engine =
            Engine::new(store, vault, Clock::System, settings, catalog, Outbound::new()?).await?;
        Ok(Self { engine, files, stop: CancellationToken::new(), tasks: vec![], worker: None })
    }

    /// Nothing runs from now on: jobs are only stored.
    pub async fn pause(&self) -> Result<()> {
        Ok(self.engine.pause(ACCOUNT, true, "bench").await?)
    }

    /// Starts dispatcher and worker.
    pub async fn work(&mut self, execute: Arc<impl Execute>) -> Result<()> {
        let slots = self.engine.settings.concurrency + RENEWAL_SLOTS;
        let (jobs, claimed) = mpsc::channel(slots);
        let dispatcher = Dispatcher::new(Arc::clone(&self.engine), jobs).await?;
        self.tasks.push(tokio::spawn(dispatcher.run()));
        let name = format!("bench-{}", std::process::id());
        self.worker = Some(tokio::spawn(run_worker(name, claimed, execute)));
        Ok(())
    }

    /// Serves the API.
    pub fn serve(&mut self) -> Result<()> {
        let listener = UnixListener::bind(self.files.socket())?;
        let serving = api::serve(Arc::clone(&self.engine), listener, self.stop.clone());
        self.tasks.push(tokio::spawn(serving));
        Ok(())
    }

    /// Adds what the live connection says of itself.
    pub async fn describe(&self, mut run: Run) -> Result<Run> {
        let info = self.engine.store.describe().await?;
        run.durability = format!("{} {}", info.journal_mode, info.synchronous);
        run.sqlite = info.version;
        Ok(run)
    }

    /// Ends the loops and closes the database.
    pub async fn close(self) -> Result<Files> {
        self.engine.drain();
        self.stop.cancel();
        for task in self.tasks {
            task.await?;
        }
        self.engine.running.idle().await;
        if let Some(worker) = self.worker {
            // It waits for a word that nobody has; the daemon ends it so, too.
            worker.abort();
            let _ = worker.await;
        }
        self.engine.store.close().await;
        Ok(self.files)
    }
}

async fn open_store(config: &Config, database: &Path) -> Result<(Arc<dyn Store>, Arc<Vault>)> {
    let lock = DatabaseLock::take(database)?;
    let path = config.seal_key.path(None).context("a key in the folder")?;
    let place = KeyPlace { path, make: true, fixed: false };
    let (vault, _) = Vault::unlock(database, &place).await?;
    let synchronous = match config.database.synchronous {
        config::Synchronous::Full => Synchronous::Full,
        config::Synchronous::Normal => Synchronous::Normal,
    };
    Ok((Arc::new(sqlite::open(lock, synchronous).await?), Arc::new(vault)))
}
