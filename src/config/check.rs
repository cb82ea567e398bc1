//! The merged tree to a [`Config`]: defaults, and what no single key can tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{
    Account, Budget, Config, Engine, Env, Hooks, Log, Retention, Schedule,
    account::{self, RawAccount},
    api::{self, RawApi},
    database::{self, RawDatabase, RawSource},
    grammar,
    position::Positions,
};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// The merged tree as it is written; every value has been read against the schema.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    jobs_dir: Option<PathBuf>,
    database: RawDatabase,
    seal: RawSeal,
    engine: Engine,
    api: RawApi,
    hooks: Hooks,
    log: Log,
    accounts: BTreeMap<String, RawAccount>,
    budgets: BTreeMap<String, Budget>,
    schedules: BTreeMap<String, Schedule>,
    retention: Retention,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSeal {
    key: Option<RawSource>,
}

/// Collects problems and knows where each key stands.
#[derive(Debug)]
pub(super) struct Check {
    positions: Positions,
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Check {
    pub const fn new(positions: Positions, problems: Vec<Diagnostic>) -> Self {
        Self { positions, problems, warnings: Vec::new() }
    }

    pub fn wrong(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(self.positions.diagnostic(key, message));
    }

    pub fn warn(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(self.positions.diagnostic(key, message));
    }

    /// A key that must be there is not; silent where it is but was found bad before.
    pub fn missing(&mut self, table: &str, name: &str, example: &str) {
        if !self.positions.has(&format!("{table}.{name}")) {
            self.wrong(table, format!("`{name}` is missing: write {name} = {example}"));
        }
    }

    pub fn is_written(&self, key: &str) -> bool {
        self.positions.has(key)
    }

    pub fn path(&self, key: &str, path: &Path) -> PathBuf {
        self.positions.path(key, path)
    }

    pub const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// The configuration if nothing is wrong with it.
    pub fn finish(mut self, config: Option<Config>) -> Result<Config, Diagnostics> {
        match config {
            Some(config) if self.problems.is_empty() => {
                Ok(Config { warnings: self.warnings, positions: self.positions, ..config })
            }
            _ => {
                self.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
                Err(Diagnostics(self.problems))
            }
        }
    }
}

/// Checks every part, so that all problems come at once; `None` where something needed is not there.
pub(super) fn build(
    raw: Raw,
    main: Option<PathBuf>,
    env: &Env,
    check: &mut Check,
) -> Option<Config> {
    engine(&raw.engine, check);
    retention(&raw.retention, check);
    budgets(&raw.budgets, check);
    let accounts = account::build(raw.accounts, &raw.budgets, check);
    schedules(&raw.schedules, &accounts, check);
    let storage = database::build(&raw.database, raw.seal.key, env, check);
    let api = api::build(raw.api, &accounts, env, check);
    if raw.hooks.listen.is_some() {
        check.warn("hooks.listen", "is not served by this version: nothing listens there");
    }
    let storage = storage?;
    Some(Config {
        jobs_dir: jobs_dir(raw.jobs_dir.as_deref(), main.as_deref(), check),
        file: main,
        database: storage.database,
        artifacts_dir: storage.artifacts_dir,
        seal_key: storage.key,
        engine: raw.engine,
        api: api?,
        hooks: raw.hooks,
        log: raw.log,
        accounts,
        budgets: raw.budgets,
        schedules: raw.schedules,
        retention: raw.retention,
        warnings: Vec::new(),
        positions: Positions::default(),
    })
}

/// A folder that is named must exist, which the loader of definitions will say; the one beside the
/// configuration file may.
fn jobs_dir(written: Option<&Path>, main: Option<&Path>, check: &Check) -> Option<PathBuf> {
    match written {
        Some(path) => Some(check.path("jobs_dir", path)),
        None => main.map(|file| grammar::folder(file).join("jobs.d")).filter(|dir| dir.is_dir()),
    }
}

fn engine(engine: &Engine, check: &mut Check) {
    const HOUR: Duration = Duration::from_hours(1);
    // A shorter one would be lost to a single slow write.
    if !(Duration::from_secs(5)..=HOUR).contains(&engine.lease) {
        check.wrong("engine.lease", "must be from 5s to 1h");
    }
    if engine.shutdown_timeout.is_zero() || engine.shutdown_timeout > HOUR {
        check.wrong("engine.shutdown_timeout", "must be more than 0 and at most 1h");
    }
}

/// Whoever asked for a job must have time to fetch its result.
fn retention(retention: &Retention, check: &mut Check) {
    let Retention { completed, dead } = retention;
    for (key, kept) in [("retention.completed", completed), ("retention.dead", dead)] {
        if *kept < Duration::from_hours(1) {
            check.wrong(key, "must be at least 1h: results are fetched after the end");
        }
    }
}

fn budgets(budgets: &BTreeMap<String, Budget>, check: &mut Check) {
    for (name, budget) in budgets {
        let key = format!("budgets.{name}");
        if budget.limits.is_empty() && check.is_written(&format!("{key}.limits")) {
            check.wrong(&format!("{key}.limits"), "a budget without limits limits nothing");
        }
        check.missing(&key, "limits", "[\"60/1m\"]");
    }
}

fn schedules(
    schedules: &BTreeMap<String, Schedule>,
    accounts: &BTreeMap<String, Account>,
    check: &mut Check,
) {
    for (name, schedule) in schedules {
        let key = format!("schedules.{name}");
        check.missing(&key, "cron", "\"0 3 * * *\"");
        check.missing(&key, "kind", "\"provider.job\"");
        if let Some(account) = &schedule.account {
            account_exists(&format!("{key}.account"), account, accounts, check);
        }
    }
}

/// Says so where an account that something refers to is not configured.
pub(super) fn account_exists(
    key: &str,
    name: &str,
    accounts: &BTreeMap<String, Account>,
    check: &mut Check,
) {
    // An account that was refused above is named there.
    if !accounts.contains_key(name) && !check.is_written(&format!("accounts.{name}")) {
        let known: BTreeSet<_> = accounts.keys().map(String::as_str).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none".to_owned() } else { known };
        check.wrong(key, format!("no account is named `{name}`; there are: {known}"));
    }
}
