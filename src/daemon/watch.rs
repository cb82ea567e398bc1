//! What is told to systemd while the daemon runs: its status when that changes, and that all parts
//! turn. [`notify`] decides; here is who asks when.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    engine::Engine,
    policy::gate,
    telemetry::notify::{self, Facts},
};

/// Between two looks at what the status should say.
const LOOK: Duration = Duration::from_secs(2);
/// While the daemon starts, systemd is told so often that it does,
const START_TICK: Duration = Duration::from_secs(10);
/// and is to wait that long for the next word.
const START_PATIENCE: Duration = Duration::from_mins(1);

/// Tells until it is dropped that the start goes on: opening and migrating a large database takes
/// its time. A start that hangs as a whole says nothing, and ends with the unit's timeout.
pub(super) fn starting() -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async {
        loop {
            notify::starting(START_PATIENCE);
            tokio::time::sleep(START_TICK).await;
        }
    }))
}

/// Keeps the status and feeds the watchdog, until it is aborted.
pub(super) fn start(engine: &Arc<Engine>) -> JoinHandle<()> {
    let status = keep_status(Arc::clone(engine));
    let watchdog = feed(Arc::clone(engine), notify::watchdog());
    tokio::spawn(async move {
        tokio::join!(status, watchdog);
    })
}

async fn keep_status(engine: Arc<Engine>) {
    let mut told = String::new();
    loop {
        let line = notify::line(&facts(&engine));
        if line != told {
            notify::status(&line);
            told = line;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Feeds the watchdog each time that every part has turned since it was last fed. A part may take
/// as long as the watchdog waits.
async fn feed(engine: Arc<Engine>, every: Option<Duration>) {
    let Some(every) = every else { return };
    let mut fed = engine.turns.rounds();
    let mut told = false;
    loop {
        engine.poke();
        tokio::time::sleep(every / 4).await;
        let now = engine.turns.rounds();
        match notify::stalled(&fed, &now, engine.is_draining()) {
            None => {
                notify::alive();
                (fed, told) = (now, false);
            }
            Some(part) if !told => {
                told = true;
                tracing::warn!(
                    target: "attendant",
                    "the {part} has not turned for {:?}: unless it does, systemd starts this daemon \
                     anew after {every:?}",
                    every / 4
                );
            }
            Some(_) => {}
        }
    }
}

fn facts(engine: &Engine) -> Facts {
    let catalog = engine.catalog();
    Facts {
        draining: engine.is_draining(),
        accounts: catalog.accounts.len(),
        running: engine.running.count(),
        waiting: engine.waiting(),
        troubles: troubles(engine),
    }
}

/// As `/readyz` has them.
fn troubles(engine: &Engine) -> Vec<String> {
    let now = engine.clock.wall();
    let mut found: Vec<String> = engine.store_trouble().iter().map(|one| one.words()).collect();
    for cell in engine.credentials.all() {
        let state = cell.view(now).state;
        if matches!(state, "missing" | "locked_out") {
            found.push(format!("{}/{} is {state}", cell.account, cell.name));
        }
    }
    for account in engine.catalog().accounts.values() {
        let gate = engine.gates.gate_of(account.queue, now);
        if matches!(gate, Some((gate::Reason::Breaker, _))) {
            found.push(format!("{}: breaker_open", account.name));
        }
        if !engine.gates.shut_kinds(account.queue).is_empty() {
            found.push(format!("{}: provider_changed", account.name));
        }
    }
    found
}

/// SIGHUP means reload, as for most daemons; `attendant reload` also says what came of it.
pub(super) fn reload_on_hangup(engine: &Arc<Engine>) -> std::io::Result<JoinHandle<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = signal(SignalKind::hangup())?;
    let engine = Arc::clone(engine);
    Ok(tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            // What came of it is an event.
            let _ = engine.reload("SIGHUP").await;
        }
    }))
}

/// The socket that was passed is not the one that clients look for.
pub(super) fn warn_of_another_socket(configured: &std::path::Path, passed: &std::path::Path) {
    let detail = format!(
        "listening on {}, which systemd passes, and not on [api] socket = \"{}\": take that out of \
         the configuration, or clients look for the daemon there",
        passed.display(),
        configured.display()
    );
    tracing::warn!(target: "attendant", "{detail}");
}
