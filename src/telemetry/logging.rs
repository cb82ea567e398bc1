//! Where log lines go: the journal, text for a person at a terminal, JSON lines elsewhere.

use std::{io::IsTerminal as _, path::Path};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::{
    journal::{self, Journal},
    lines::Lines,
};
use crate::{
    clock::Clock,
    config::{Env, LogFormat},
};

/// Another place for the journal's socket, for tests.
const SOCKET_VARIABLE: &str = "ATTENDANT_JOURNAL_SOCKET";

/// Starts logging. A second call changes nothing.
///
/// # Errors
/// Where `filter` is not a filter.
pub fn start(format: LogFormat, filter: &str, env: &Env) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("[log] filter `{filter}`: {error}; such as \"info\""))?;
    let (layer, word) = layer(format, env);
    let started = tracing_subscriber::registry().with(layer).with(filter).try_init();
    // Where it was started already (a second daemon in one process, as in tests) that goes on.
    if let (Ok(()), Some(word)) = (started, word) {
        tracing::warn!(target: "attendant", "{word}");
    }
    Ok(())
}

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// The layer that writes, and a word to begin with where it is not the one that was asked for.
fn layer(format: LogFormat, env: &Env) -> (Boxed, Option<String>) {
    let is_journal = journal::is_stderr(env.get("JOURNAL_STREAM").map(String::as_str));
    match format {
        LogFormat::Journald => journald(env),
        LogFormat::Auto if is_journal => journald(env),
        LogFormat::Auto if std::io::stderr().is_terminal() => (text(), None),
        LogFormat::Text => (text(), None),
        LogFormat::Auto | LogFormat::Json => (json(), None),
    }
}

fn journald(env: &Env) -> (Boxed, Option<String>) {
    let path = env.get(SOCKET_VARIABLE).map_or(journal::SOCKET, String::as_str);
    match Journal::open(Path::new(path)) {
        Ok(journal) => (Box::new(journal), None),
        Err(error) => {
            let word =
                format!("{path}: {error}: there is no journal, so the log goes here as text");
            (text(), Some(word))
        }
    }
}

fn text() -> Boxed {
    Box::new(Lines::new(Clock::System, std::io::stderr()))
}

fn json() -> Boxed {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    Box::new(layer.json().flatten_event(true).with_current_span(false))
}
