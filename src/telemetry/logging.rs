//! Where log lines go: text for a person at a terminal, JSON lines elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::LogFormat;

/// Starts logging to standard error. A second call changes nothing.
///
/// # Errors
/// Where `filter` is not a filter.
pub fn start(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("[log] filter `{filter}`: {error}; such as \"info\""))?;
    let json = match format {
        LogFormat::Json | LogFormat::Journald => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = if json {
        registry.with(layer.json().flatten_event(true).with_current_span(false)).try_init()
    } else {
        registry.with(layer.compact().with_target(false)).try_init()
    };
    // Already started: a second daemon in one process, as in tests.
    drop(started);
    Ok(())
}
