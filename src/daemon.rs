//! The daemon: from configuration to ready, and from the signal to the last line.

mod listen;
mod watch;

use std::{
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::listen::Listening;
use crate::{
    api::{
        self, Listeners,
        access::{self, Access},
    },
    backup::migration::{BeforeMigration, backup_before},
    chance::Chance,
    clock::Clock,
    config::{self, Config, DatabaseUrl, Inputs, KeySource, Override},
    credentials::vault::{KeyPlace, UnlockError, Vault},
    definition::Registry,
    diagnostic::{Diagnostic, Diagnostics},
    engine::{
        Engine, Settings,
        attempt::Attempts,
        backend::run_worker,
        catalog::Catalog,
        dispatcher::{Dispatcher, LOCAL_SLOTS, RENEWAL_SLOTS},
        plan::{self, Visibility},
        reaper,
        reload::Source,
        retention,
        running::Stop,
        scheduler, sinks,
    },
    outbound::Outbound,
    policy::backoff::Backoff,
    store::{
        Store, StoreError,
        sqlite::{self, DatabaseLock, OpenError, Synchronous},
    },
    telemetry::{
        events::{Event, Name, emit},
        logging, notify,
    },
};

/// What `attendant run` is given.
#[derive(Debug, Clone, Default)]
pub struct DaemonOptions {
    pub config: Option<PathBuf>,
    pub socket: Option<PathBuf>,
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Configuration(#[from] Diagnostics),
    #[error("{0}")]
    Key(#[from] UnlockError),
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}")]
    NoBackup(#[from] BeforeMigration),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{path}: {error}; create the folder, or give this user the right to write there")]
    Path { path: PathBuf, error: std::io::Error },
    #[error("{path}: {error}; another program listens there, or [api] socket names a bad place")]
    Socket { path: PathBuf, error: std::io::Error },
    #[error(
        "{address}: {error}; another program listens there, or it is no address of this machine"
    )]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error("the socket that systemd passes cannot be used: {0}")]
    Passed(std::io::Error),
    #[error("the TLS library cannot be set up: {0}")]
    Tls(reqwest::Error),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    #[error("{0}")]
    Log(String),
    /// Not at the start: a part of the running daemon ended, so that the whole must begin anew.
    #[error("the {0} ended by itself, which is a fault of this program; start it again")]
    Broken(&'static str),
}

impl StartError {
    /// 2 where a person's configuration is at fault, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Store(_)
            | Self::NoBackup(BeforeMigration::NoBackup { .. })
            | Self::Tls(_)
            | Self::Signals(_)
            | Self::Broken(_) => 1,
            Self::Open(error)
            | Self::Key(UnlockError::Open(error))
            | Self::NoBackup(BeforeMigration::Open(error))
                if error.is_of_the_data() =>
            {
                1
            }
            _ => 2,
        }
    }
}

/// Runs the daemon until it is told to stop.
pub async fn run(options: DaemonOptions) -> Result<(), StartError> {
    let env = config::process_env();
    let overrides = options.socket.as_deref().map(socket_flag);
    let inputs =
        Inputs { file: options.config.as_deref(), env: &env, overrides: overrides.as_slice() };
    let config = Config::load(&inputs)?;
    logging::start(config.log.format, &config.log.filter, &env).map_err(StartError::Log)?;
    emit(
        Name::DaemonStarted,
        &Event {
            detail: Some(concat!("attendant ", env!("CARGO_PKG_VERSION"))),
            ..Event::default()
        },
    );
    let registry = Registry::load(config.jobs_dir.as_deref())?;
    let plan = plan::plan(&config, registry, &env, Visibility::Service)?;
    for warning in &plan.warnings {
        tracing::warn!(target: "attendant", "{warning}");
    }
    // From here on: what has been read so far (definitions, secrets) has no reason to take long.
    let starting = watch::starting();
    let (store, vault) = open(&config, &env).await?;
    let catalog = Catalog::register(plan, &*store, &vault).await?;
    let outbound = Outbound::new().map_err(StartError::Tls)?;
    let engine =
        Engine::new(store, vault, Clock::System, settings(&config), catalog, outbound).await?;
    let config = Arc::new(config);
    engine.reloads_from(Source::new(
        options.config,
        env,
        overrides.into_iter().collect(),
        Arc::clone(&config),
    ));
    let mut stop = Signals::new().map_err(StartError::Signals)?;
    let mut running = Daemon::start(engine, &config).await?;
    drop(starting);
    let broken = tokio::select! {
        () = stop.wait() => None,
        part = running.broken() => Some(part),
    };
    running.stop(&mut stop).await;
    broken.map_or(Ok(()), |part| Err(StartError::Broken(part)))
}

fn socket_flag(path: &Path) -> Override {
    Override {
        flag: "--socket".to_owned(),
        key: "api.socket".to_owned(),
        value: path.display().to_string(),
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        concurrency: config.engine.concurrency,
        lease: config.engine.lease,
        shutdown_timeout: config.engine.shutdown_timeout,
        backoff: Backoff::default(),
        chance: Chance::System,
    }
}

/// Lock, then key, then database: nothing is changed before all are known to fit.
async fn open(
    config: &Config,
    env: &config::Env,
) -> Result<(Arc<dyn Store>, Arc<Vault>), StartError> {
    let DatabaseUrl::Sqlite(path) = &config.database.url else {
        let message = "PostgreSQL is not built in yet; use sqlite://";
        let problem = Diagnostic::new("configuration", "database.url", message);
        return Err(Diagnostics(vec![problem]).into());
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| StartError::Path { path: folder.to_owned(), error })?;
    }
    let lock = DatabaseLock::take(path)?;
    let credentials_dir = env.get("CREDENTIALS_DIRECTORY").map(Path::new);
    let Some(key_file) = config.seal_key.path(credentials_dir) else {
        let message = format!("{} is not visible here: only the service sees it", config.seal_key);
        return Err(Diagnostics(vec![config.diagnostic("seal.key", message)]).into());
    };
    let place = KeyPlace {
        path: key_file,
        make: matches!(config.seal_key, KeySource::BesideDatabase(_)),
        fixed: matches!(config.seal_key, KeySource::Credential(_)),
    };
    let (vault, warning) = Vault::unlock(path, &place).await?;
    if let Some(warning) = warning {
        tracing::warn!(target: "attendant", "{warning}");
    }
    backup_before(path, Clock::System.wall()).await?;
    let synchronous = match config.database.synchronous {
        config::Synchronous::Full => Synchronous::Full,
        config::Synchronous::Normal => Synchronous::Normal,
    };
    let store = sqlite::open(lock, synchronous).await?;
    Ok((Arc::new(store), Arc::new(vault)))
}

/// What a stop may take beyond the time for draining: closing connections, the last writes.
const AROUND_DRAINING: Duration = Duration::from_secs(40);

/// A started daemon.
struct Daemon {
    engine: Arc<Engine>,
    socket: Listening,
    /// Where the socket outlives this process, nobody is taken in any more once it drains.
    stop_accepting: CancellationToken,
    stop_api: CancellationToken,
    api: JoinHandle<()>,
    dispatcher: JoinHandle<()>,
    worker: JoinHandle<Result<(), String>>,
    reaper: JoinHandle<()>,
    sinks: JoinHandle<()>,
    scheduler: JoinHandle<()>,
    retention: JoinHandle<()>,
    watch: JoinHandle<()>,
    hangups: JoinHandle<()>,
}

impl Daemon {
    async fn start(engine: Arc<Engine>, config: &Config) -> Result<Self, StartError> {
        let reclaimed = reaper::reclaim_all(&engine).await?;
        engine.depths().await?;
        let mode = access::socket_mode(&config.api);
        let (socket, listener) = Listening::start(&config.api.socket, mode).await?;
        let access = Access::new(&config.api, engine.clock.clone());
        let access = if socket.inherited { access } else { access.at(socket.path.clone()) };
        let tcp = listen_on_tcp(config.api.listen).await?;
        // As it came to be, where the configuration leaves the port to the system.
        let on_tcp = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
        let listeners = Listeners { socket: listener, tcp };
        if config.api.socket_is_configured && socket.path != config.api.socket {
            watch::warn_of_another_socket(&config.api.socket, &socket.path);
        }
        let slots = engine.settings.concurrency + RENEWAL_SLOTS + LOCAL_SLOTS;
        let (jobs, claimed) = mpsc::channel(slots);
        let dispatcher = Dispatcher::new(Arc::clone(&engine), jobs).await?;
        let stop_api = CancellationToken::new();
        let stop_accepting = stop_api.child_token();
        let name = format!("attendant-{}-{}", std::process::id(), engine.clock.wall().0);
        let attempts = Arc::new(Attempts(Arc::clone(&engine)));
        let detail = format!(
            "listening on {}{}; accounts: {}; interrupted jobs taken up again: {reclaimed}",
            socket.path.display(),
            on_tcp.map(|address| format!(" and {address}")).unwrap_or_default(),
            engine.catalog().accounts.len(),
        );
        let daemon = Self {
            api: tokio::spawn(api::serve(
                Arc::clone(&engine),
                listeners,
                Arc::new(access),
                stop_accepting.clone(),
                stop_api.clone(),
            )),
            dispatcher: tokio::spawn(dispatcher.run()),
            worker: tokio::spawn(run_worker(name, claimed, attempts)),
            reaper: tokio::spawn(reaper::run(Arc::clone(&engine))),
            sinks: tokio::spawn(sinks::run(Arc::clone(&engine))),
            scheduler: tokio::spawn(scheduler::run(Arc::clone(&engine))),
            retention: tokio::spawn(retention::run(Arc::clone(&engine))),
            watch: watch::start(&engine),
            hangups: watch::reload_on_hangup(&engine).map_err(StartError::Signals)?,
            socket,
            engine,
            stop_accepting,
            stop_api,
        };
        tokio::spawn(Arc::clone(&daemon.engine).resume_rekey());
        emit(Name::DaemonReady, &Event { detail: Some(&detail), ..Event::default() });
        notify::ready();
        Ok(daemon)
    }

    /// Waits for a part to end that never should.
    async fn broken(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.dispatcher => "dispatcher",
            _ = &mut self.worker => "worker",
            _ = &mut self.reaper => "reaper",
            _ = &mut self.sinks => "writer of sinks",
            _ = &mut self.scheduler => "scheduler",
            _ = &mut self.retention => "pruner",
            _ = &mut self.api => "API",
        }
    }

    /// Drains: nothing new is begun, what runs may end, the rest is given back unspent.
    async fn stop(mut self, again: &mut Signals) {
        let engine = Arc::clone(&self.engine);
        let detail = format!("{} attempts are running", engine.running.count());
        emit(Name::DaemonDraining, &Event { detail: Some(&detail), ..Event::default() });
        notify::stopping(engine.settings.shutdown_timeout + AROUND_DRAINING);
        self.hangups.abort();
        if self.socket.inherited {
            self.stop_accepting.cancel();
        }
        engine.drain();
        // A claim on its way is waited for: its jobs are given back, not left to their leases.
        if !self.dispatcher.is_finished() {
            let _ = tokio::time::timeout(Duration::from_secs(5), &mut self.dispatcher).await;
        }
        let limit = engine.settings.shutdown_timeout;
        let drained = tokio::time::timeout(limit, drain_attempts(&engine, again)).await.is_ok();
        if !drained {
            let left = engine.running.count();
            let detail = format!("{left} attempts did not end within {limit:?}");
            emit(Name::DaemonDraining, &Event { detail: Some(&detail), ..Event::default() });
            engine.running.stop_all(Stop::Shutdown);
            // What can be stopped ends now; an intent that is out is told at the next start.
            let _ = tokio::time::timeout(Duration::from_secs(2), engine.running.idle()).await;
        }
        // Until here the API answers, so that whoever asks hears that the daemon is draining.
        self.stop_api.cancel();
        if !self.api.is_finished() {
            let _ = tokio::time::timeout(Duration::from_secs(5), &mut self.api).await;
        }
        self.dispatcher.abort();
        self.worker.abort();
        self.reaper.abort();
        self.sinks.abort();
        self.scheduler.abort();
        self.retention.abort();
        self.watch.abort();
        if let Err(error) = engine.keep_time_now().await {
            engine.store_works(Some(error.to_string()));
        }
        if let Err(error) = engine.save_held().await {
            engine.store_works(Some(error.to_string()));
        }
        if let Err(error) = engine.budgets.settle(&*engine.store).await {
            engine.store_works(Some(error.to_string()));
        }
        if let Err(error) = engine.cadence.save(&*engine.store, engine.clock.wall()).await {
            engine.store_works(Some(error.to_string()));
        }
        engine.store.close().await;
        self.socket.remove();
        emit(Name::DaemonStopped, &Event::default());
    }
}

/// Waits for the running attempts. A second signal stops those that can be stopped; a request that
/// must not be repeated is waited for all the same.
async fn drain_attempts(engine: &Engine, again: &mut Signals) {
    tokio::select! {
        () = engine.running.idle() => return,
        () = again.wait() => {}
    }
    let detail = "asked again: only requests that must not be repeated are waited for";
    emit(Name::DaemonDraining, &Event { detail: Some(detail), ..Event::default() });
    engine.running.stop_all(Stop::Shutdown);
    engine.running.idle().await;
}

async fn listen_on_tcp(address: Option<SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|error| StartError::Listen { address, error })
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
