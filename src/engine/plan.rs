//! Configuration and definitions joined and checked, as far as that goes without a database.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::{
    catalog::Account,
    schedules::{self, Schedule},
};
use crate::{
    config::{self, Config, Env},
    credentials::{sink, vault::Vault},
    definition::{CredentialShape, Need, Provider, Registry},
    diagnostic::{Diagnostic, Diagnostics},
    policy::limit::Limit,
    store::QueueId,
    types::Timestamp,
};

/// How the name of a budget begins that accounts may share.
pub(super) const SHARED: &str = "budget:";

/// An account that is checked but not yet known to a store.
#[derive(Debug)]
pub struct Draft {
    pub(super) name: String,
    provider: Arc<Provider>,
    base_url: Url,
    budget: String,
    limits: Vec<Limit>,
    is_default: bool,
    params: Map<String, Value>,
    secrets: BTreeMap<String, SecretString>,
    expiries: BTreeMap<String, Timestamp>,
    overlap: Option<Duration>,
    sinks: Vec<config::Sink>,
}

/// Everything that can be checked without a database.
#[derive(Debug)]
pub struct Plan {
    pub registry: Registry,
    pub drafts: Vec<Draft>,
    pub schedules: Vec<Schedule>,
    pub retention: config::Retention,
    pub warnings: Vec<Diagnostic>,
}

/// Whether secrets that only the service can see count as problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    Service,
    /// `attendant check` outside the service: such a secret is a note.
    Outside,
}

/// Joins configuration and definitions, or says everything that does not fit.
pub fn plan(
    config: &Config,
    registry: Registry,
    env: &Env,
    visibility: Visibility,
) -> Result<Plan, Diagnostics> {
    let mut problems = vec![];
    let mut warnings = config.warnings.clone();
    let mut drafts = vec![];
    for account in config.accounts.values() {
        let mut found = Findings { problems: &mut problems, warnings: &mut warnings };
        if let Some(draft) = draft(config, &registry, account, env, visibility, &mut found) {
            drafts.push(draft);
        }
    }
    let schedules = schedules::read(config, &registry, &mut problems);
    if problems.is_empty() {
        let retention = config.retention.clone();
        Ok(Plan { registry, drafts, schedules, retention, warnings })
    } else {
        Err(Diagnostics(problems))
    }
}

struct Findings<'a> {
    problems: &'a mut Vec<Diagnostic>,
    warnings: &'a mut Vec<Diagnostic>,
}

fn draft(
    config: &Config,
    registry: &Registry,
    account: &config::Account,
    env: &Env,
    visibility: Visibility,
    found: &mut Findings<'_>,
) -> Option<Draft> {
    let key = |rest: &str| format!("accounts.{}{rest}", account.name);
    let Some(provider) = registry.provider(&account.provider) else {
        let known: Vec<&str> = registry.providers().map(|one| one.name.as_str()).collect();
        found.problems.push(config.diagnostic(
            &key(".provider"),
            format!(
                "there is no definition of `{}`; known: {}",
                account.provider,
                known.join(", ")
            ),
        ));
        return None;
    };
    let base_url = base_url(config, account, provider, found);
    let params = params(config, account, provider, found);
    let secrets = secrets(config, account, provider, env, visibility, found);
    sinks(config, account, provider, found);
    ways(config, account, provider, found);
    let limits = match (&account.budget, &account.limits) {
        (Some(name), _) => config.budgets.get(name).map(|one| one.limits.clone()),
        (None, Some(limits)) => Some(limits.clone()),
        (None, None) => None,
    };
    Some(Draft {
        name: account.name.clone(),
        provider: Arc::clone(provider),
        base_url: base_url?,
        budget: account
            .budget
            .as_ref()
            .map_or_else(|| format!("account:{}", account.name), |name| format!("{SHARED}{name}")),
        limits: limits.unwrap_or_else(|| provider.limits.clone()),
        is_default: account.is_default,
        params: params?,
        secrets,
        expiries: account.expiries().collect(),
        overlap: account.overlap,
        sinks: account.sinks.clone(),
    })
}

/// Each credential must be obtainable with the secrets that are given. Those that are required are
/// spoken of elsewhere.
fn ways(config: &Config, account: &config::Account, provider: &Provider, found: &mut Findings<'_>) {
    for spec in provider.credentials.values() {
        let CredentialShape::Exchange(exchange) = &spec.shape else { continue };
        let mut choices = vec![];
        for way in exchange.ways.iter().filter(|way| !way.needs.contains(&Need::RefreshToken)) {
            let names: Vec<&str> = way.secrets().collect();
            let lacks = |name: &&str| !account.secrets.contains_key(*name);
            let optional = |name: &str| provider.secrets.get(name).is_some_and(|one| one.optional);
            if !names.iter().any(|name| lacks(name) && optional(name)) {
                choices.clear();
                break;
            }
            choices.push(names.join(" and "));
        }
        if !choices.is_empty() {
            let message = format!(
                "credential `{}` cannot be obtained with the secrets that are given: give {}",
                spec.name,
                choices.join(", or ")
            );
            let key = format!("accounts.{}.secrets", account.name);
            found.problems.push(config.diagnostic(&key, message));
        }
    }
}

/// What a sink hands over must be kept by its account. Users and groups may be made later, so they
/// are only warned of.
fn sinks(
    config: &Config,
    account: &config::Account,
    provider: &Provider,
    found: &mut Findings<'_>,
) {
    for (n, one) in account.sinks.iter().enumerate() {
        let key = |rest: &str| format!("accounts.{}.sinks[{n}].{rest}", account.name);
        if !provider.credentials.contains_key(&one.credential) {
            let known: Vec<&str> = provider.credentials.keys().map(String::as_str).collect();
            let known = known.join(", ");
            let message = format!(
                "{} keeps no credential `{}`; it keeps: {known}",
                provider.name, one.credential
            );
            found.problems.push(config.diagnostic(&key("credential"), message));
        }
        let owner = one.owner.as_deref().map(|name| sink::owner_id(name).map(drop));
        let group = one.group.as_deref().map(|name| sink::group_id(name).map(drop));
        for (name, looked_up) in [("owner", owner), ("group", group)] {
            if let Some(Err(error)) = looked_up {
                found.warnings.push(config.diagnostic(&key(name), error.to_string()));
            }
        }
    }
}

fn base_url(
    config: &Config,
    account: &config::Account,
    provider: &Provider,
    found: &mut Findings<'_>,
) -> Option<Url> {
    if let Some(url) = &account.base_url {
        return Some(url.clone());
    }
    let key = format!("accounts.{}.base_url", account.name);
    let Some(text) = &provider.base_url else {
        let hosts: Vec<String> =
            provider.hosts.iter().map(|(name, url)| format!("{url} ({name})")).collect();
        let hint = if hosts.is_empty() { String::new() } else { format!(": {}", hosts.join(", ")) };
        found.problems.push(config.diagnostic(
            &key,
            format!("is required, for {} has several hosts or any{hint}", provider.name),
        ));
        return None;
    };
    match Url::parse(text) {
        Ok(url) => Some(url),
        Err(error) => {
            found.problems.push(config.diagnostic(&key, format!("the definition's: {error}")));
            None
        }
    }
}

fn params(
    config: &Config,
    account: &config::Account,
    provider: &Provider,
    found: &mut Findings<'_>,
) -> Option<Map<String, Value>> {
    let given: Map<String, Value> =
        account.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    match provider.params.validate(&Value::Object(given)) {
        Ok(params) => Some(params),
        Err(problems) => {
            for problem in problems {
                let key = format!("accounts.{}.params.{}", account.name, problem.field);
                found.problems.push(config.diagnostic(&key, problem.message));
            }
            None
        }
    }
}

fn secrets(
    config: &Config,
    account: &config::Account,
    provider: &Provider,
    env: &Env,
    visibility: Visibility,
    found: &mut Findings<'_>,
) -> BTreeMap<String, SecretString> {
    let mut secrets = BTreeMap::new();
    let credentials_dir = env.get("CREDENTIALS_DIRECTORY").map(Path::new);
    for (name, source) in &account.secrets {
        let key = format!("accounts.{}.secrets.{name}", account.name);
        if !provider.secrets.contains_key(name) {
            let known: Vec<&str> = provider.secrets.keys().map(String::as_str).collect();
            let message = format!(
                "{} has no secret of this name; it has: {}",
                provider.name,
                known.join(", ")
            );
            found.problems.push(config.diagnostic(&key, message));
            continue;
        }
        match source.resolve(env, credentials_dir) {
            Ok(resolved) => {
                found.warnings.extend(resolved.warnings);
                secrets.insert(name.clone(), resolved.value);
            }
            Err(error)
                if visibility == Visibility::Outside
                    && error.problem == config::SecretProblem::NotVisibleHere =>
            {
                found.warnings.push(source.diagnostic(&error));
            }
            Err(error) => found.problems.push(source.diagnostic(&error)),
        }
    }
    for (name, spec) in &provider.secrets {
        if !spec.optional && !account.secrets.contains_key(name) {
            let key = format!("accounts.{}.secrets.{name}", account.name);
            let message = format!(
                "is required ({}): set it to {{ credential = \"…\" }}, {{ file = \"…\" }} or \
                 {{ env = \"…\" }}",
                spec.title
            );
            found.problems.push(config.diagnostic(&key, message));
        }
    }
    secrets
}

impl Draft {
    pub(super) fn into_account(self, queue: QueueId, vault: &Vault) -> Account {
        let mut parts: Vec<&[u8]> = vec![];
        for (name, value) in &self.secrets {
            parts.push(name.as_bytes());
            parts.push(value.expose_secret().as_bytes());
        }
        Account {
            fingerprint: vault.hash("secrets", &parts),
            blocking: self.provider.common_credentials(),
            name: self.name,
            queue,
            provider: self.provider,
            base_url: self.base_url,
            budget: self.budget,
            limits: self.limits,
            is_default: self.is_default,
            params: self.params,
            secrets: self.secrets,
            expiries: self.expiries,
            overlap: self.overlap,
            sinks: self.sinks,
        }
    }
}
