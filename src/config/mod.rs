//! Raw files to a validated [`Config`].
//!
//! One TOML file, then `conf.d/*.toml` beside it in name order, then environment variables
//! `ATTENDANT__SECTION__KEY`, then flags: the later wins, tables merge, arrays and values replace.
//! Two steps, because one library cannot do both well. Each layer is first read alone against
//! `schema`, so that a misspelt key is named with its file and line, and all problems come at
//! once; then the `config` crate merges what was read. What no single key can tell (a budget that
//! is not there, two default accounts) is checked last, on the whole.
//!
//! Relative paths stand for the folder of the file that they are written in; those of environment
//! variables and flags for the working directory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

mod account;
mod api;
mod check;
mod database;
mod grammar;
mod layer;
mod places;
mod position;
mod restart;
mod schema;
mod secret;
mod sections;
mod shape;
mod source;
#[cfg(test)]
mod tests;

pub use account::{Account, DEFAULT_ON_CHANGE_TIMEOUT, DEFAULT_TEMPLATE, OnExpire, Sink};
pub use api::{Access, Allow, Api, Peer, Right, Token, TokenDigest};
pub use database::{Database, DatabaseUrl, KeySource, Synchronous};
pub use places::client_socket;
pub use position::Position;
pub use restart::NeedsRestart;
pub use secret::{Resolved, SecretError, SecretFrom, SecretProblem, SecretSource};
pub use sections::{Budget, Engine, Hooks, Log, LogFormat, Misfire, Retention, Schedule};

use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    policy::expiring,
    types::Timestamp,
};

/// Read where neither `--config` nor `$ATTENDANT_CONFIG` names a file; it may be absent.
pub const SYSTEM_FILE: &str = "/etc/attendant/attendant.toml";

/// Environment variables by name: an argument, so that nothing here reads the process.
pub type Env = BTreeMap<String, String>;

/// The process's environment; variables that are not UTF-8 are left out.
#[must_use]
pub fn process_env() -> Env {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// A flag that overrides one key, such as `--socket` for `api.socket`.
#[derive(Debug, Clone)]
pub struct Override {
    /// As the user wrote it; named in problems.
    pub flag: String,
    /// Dotted key.
    pub key: String,
    /// Read like an environment variable's value.
    pub value: String,
}

/// What a configuration is made from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// `--config`.
    pub file: Option<&'a Path>,
    pub env: &'a Env,
    pub overrides: &'a [Override],
}

// The environment may hold secrets.
crate::types::opaque!(Inputs<'_>);

impl<'a> Inputs<'a> {
    #[must_use]
    pub const fn new(file: Option<&'a Path>, env: &'a Env) -> Self {
        Self { file, env, overrides: &[] }
    }
}

/// A configuration in which every key is known, every value has its meaning, and the parts agree.
/// What depends on the definitions (providers, declared secrets, parameters) is not yet checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The main file, where one was read.
    pub file: Option<PathBuf>,
    /// Definitions that add to or replace the built-in ones. Default: `jobs.d` beside the
    /// configuration file if that folder exists.
    pub jobs_dir: Option<PathBuf>,
    pub database: Database,
    /// Downloaded files: beside the database.
    pub artifacts_dir: PathBuf,
    pub seal_key: KeySource,
    pub engine: Engine,
    pub api: Api,
    pub hooks: Hooks,
    pub log: Log,
    pub accounts: BTreeMap<String, Account>,
    pub budgets: BTreeMap<String, Budget>,
    pub schedules: BTreeMap<String, Schedule>,
    pub retention: Retention,
    /// What works but should be looked at.
    pub warnings: Vec<Diagnostic>,
    positions: position::Positions,
}

impl Config {
    /// Reads, layers and checks everything.
    ///
    /// # Errors
    /// Every problem found, in the order of files and lines; where a file is not even TOML, only
    /// the problems of single files.
    pub fn load(inputs: &Inputs<'_>) -> Result<Self, Diagnostics> {
        Self::load_with(inputs, Path::new(SYSTEM_FILE))
    }

    fn load_with(inputs: &Inputs<'_>, system_file: &Path) -> Result<Self, Diagnostics> {
        let found = source::read(inputs, system_file);
        if found.unreadable {
            return Err(Diagnostics(found.problems));
        }
        let stacked = layer::stack(found.layers).map_err(|one| Diagnostics(vec![one]))?;
        let mut check = check::Check::new(stacked.positions, found.problems);
        let config = check::build(stacked.raw, found.main, inputs.env, &mut check);
        check.finish(config)
    }

    /// Where a dotted key, such as `accounts.certn.secrets.client_id`, is written; for a key that
    /// is not written, where the nearest part around it is.
    #[must_use]
    pub fn position(&self, key: &str) -> Option<&Position> {
        self.positions.nearest(key)
    }

    /// Warnings of secrets that end soon or have ended.
    #[must_use]
    pub fn expiring(&self, now: Timestamp) -> Vec<Diagnostic> {
        let mut found = vec![];
        for account in self.accounts.values() {
            for (name, expires) in account.expiries() {
                let Some(ending) = expiring::ending(now, expires) else { continue };
                let key = format!("accounts.{}.secrets.{name}.expires", account.name);
                let message =
                    format!("the secret {ending} ({expires}): put a new one in its place");
                found.push(self.diagnostic(&key, message));
            }
        }
        found
    }

    /// A problem with a key, told with its place.
    #[must_use]
    pub fn diagnostic(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        self.positions.diagnostic(key, message)
    }
}
