//! The sections that need nothing but their own keys.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;

use super::grammar::{self, words};
use crate::policy::limit::Limit;

/// `[engine]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Attempts that run at once, over all accounts.
    pub concurrency: usize,
    /// How long a claim holds without being extended.
    #[serde(deserialize_with = "grammar::de_duration")]
    pub lease: Duration,
    /// How long running attempts may go on after SIGTERM.
    #[serde(deserialize_with = "grammar::de_duration")]
    pub shutdown_timeout: Duration,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            concurrency: 64,
            lease: Duration::from_mins(1),
            shutdown_timeout: Duration::from_secs(45),
        }
    }
}

words! {
    /// How log lines are written.
    LogFormat: "a log format" {
        /// The journal's own protocol under systemd, text on a terminal, else JSON.
        Auto = "auto",
        Journald = "journald",
        Json = "json",
        Text = "text",
    }
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, filter: "info".into() }
    }
}

/// `[hooks]`: the listener for providers' webhooks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hooks {
    pub listen: Option<SocketAddr>,
}

/// `[budgets.<name>]`: one provider's quota behind several accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    pub limits: Vec<Limit>,
}

words! {
    /// What becomes of occurrences that passed while nothing ran.
    Misfire: "a misfire rule" {
        Skip = "skip",
        /// All missed ones become one run.
        Coalesce = "coalesce",
        CatchUp = "catch_up",
    }
}

/// `[schedules.<name>]`: a job for every occurrence of a cron expression.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Five fields, or six with seconds first; only their count has been checked.
    pub cron: String,
    /// IANA name; not yet checked.
    pub timezone: String,
    pub misfire: Misfire,
    pub kind: String,
    pub account: Option<String>,
    pub args: serde_json::Map<String, serde_json::Value>,
    pub priority: Option<u8>,
    pub max_errors: Option<u32>,
    /// From the occurrence on.
    #[serde(deserialize_with = "grammar::de_duration_option")]
    pub deadline: Option<Duration>,
    pub tags: Vec<String>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            cron: String::new(),
            timezone: "UTC".into(),
            misfire: Misfire::Coalesce,
            kind: String::new(),
            account: None,
            args: serde_json::Map::new(),
            priority: None,
            max_errors: None,
            deadline: None,
            tags: Vec::new(),
        }
    }
}

/// `[retention]`, counted from the end of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    #[serde(deserialize_with = "grammar::de_duration")]
    pub completed: Duration,
    #[serde(deserialize_with = "grammar::de_duration")]
    pub dead: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self { completed: DAY * 30, dead: DAY * 180 }
    }
}
