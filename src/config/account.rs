//! `[accounts.<name>]`: providers configured for use.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use reqwest::Url;
use serde::Deserialize;

use super::{
    Budget, SecretSource,
    check::Check,
    database::RawSource,
    grammar::{self, words},
    secret,
};
use crate::{policy::limit::Limit, types::Timestamp};

/// One account. Whether its provider, secrets and parameters exist is for the definitions to say.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    pub provider: String,
    /// Absolute, http or https, without user, query and fragment.
    pub base_url: Option<Url>,
    /// Instead of the definition's; an empty list is "none".
    pub limits: Option<Vec<Limit>>,
    /// A name in [`super::Config::budgets`].
    pub budget: Option<String>,
    /// Meant where a job names no account of this provider.
    pub is_default: bool,
    pub params: BTreeMap<String, serde_json::Value>,
    pub secrets: BTreeMap<String, SecretSource>,
    /// How long an old credential stays valid beside its successor.
    pub overlap: Option<Duration>,
    pub sinks: Vec<Sink>,
}

impl Account {
    /// When its secrets end, where that is written, by their names.
    pub fn expiries(&self) -> impl Iterator<Item = (String, Timestamp)> {
        let all = self.secrets.iter();
        all.filter_map(|(name, secret)| Some((name.clone(), secret.expires?)))
    }
}

words! {
    /// What becomes of a sink's file when its value has expired.
    OnExpire: "a rule for expiry" {
        Keep = "keep",
        Remove = "remove",
    }
}

/// What a sink writes where no `template` is given.
pub const DEFAULT_TEMPLATE: &str = "{{ value }}";

/// How long `on_change` may take where no `timeout` is given.
pub const DEFAULT_ON_CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// `[[accounts.<name>.sinks]]`: a file that a fresh value is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// The credential's name within the account.
    pub credential: String,
    pub file: PathBuf,
    /// Permission bits; default 0600.
    pub mode: u32,
    /// Name or number; default: the daemon's own user. Only root can give files away.
    pub owner: Option<String>,
    /// Name or number.
    pub group: Option<String>,
    /// minijinja source; it has been rendered once with made-up values.
    pub template: String,
    pub on_expire: OnExpire,
    /// Program and arguments, run after the file has changed; empty for none.
    pub on_change: Vec<String>,
    /// How long that program may run; default [`DEFAULT_ON_CHANGE_TIMEOUT`].
    pub timeout: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAccount {
    provider: Option<String>,
    base_url: Option<String>,
    allow_insecure_http: bool,
    limits: Option<Vec<Limit>>,
    budget: Option<String>,
    default: bool,
    params: BTreeMap<String, serde_json::Value>,
    secrets: BTreeMap<String, RawSource>,
    #[serde(deserialize_with = "grammar::de_duration_option")]
    overlap: Option<Duration>,
    sinks: Vec<RawSink>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSink {
    credential: Option<String>,
    file: Option<PathBuf>,
    mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    template: Option<String>,
    on_expire: Option<OnExpire>,
    on_change: Vec<String>,
    #[serde(deserialize_with = "grammar::de_duration_option")]
    timeout: Option<Duration>,
}

pub(super) fn build(
    raw: BTreeMap<String, RawAccount>,
    budgets: &BTreeMap<String, Budget>,
    check: &mut Check,
) -> BTreeMap<String, Account> {
    let mut accounts = BTreeMap::new();
    for (name, raw) in raw {
        if let Some(account) = account(&name, raw, budgets, check) {
            accounts.insert(name, account);
        }
    }
    defaults(&accounts, check);
    sink_files(&accounts, check);
    accounts
}

fn account(
    name: &str,
    raw: RawAccount,
    budgets: &BTreeMap<String, Budget>,
    check: &mut Check,
) -> Option<Account> {
    let key = format!("accounts.{name}");
    check.missing(&key, "provider", "\"certn\" or another");
    let base_url = raw.base_url.and_then(|text| Url::parse(&text).ok());
    if let Some(url) = &base_url {
        plain_http(&format!("{key}.base_url"), url, raw.allow_insecure_http, check);
    }
    if let Some(budget) = raw.budget.as_ref().filter(|budget| !budgets.contains_key(*budget)) {
        let message = format!("no budget is named `{budget}`: write [budgets.{budget}]");
        check.wrong(&format!("{key}.budget"), message);
    }
    let secrets = secrets(&key, raw.secrets, check);
    let sinks = raw.sinks.into_iter().enumerate();
    let sinks =
        sinks.filter_map(|(n, raw)| sink(&format!("{key}.sinks[{n}]"), raw, check)).collect();
    Some(Account {
        name: name.to_owned(),
        provider: raw.provider?,
        base_url,
        limits: raw.limits,
        budget: raw.budget,
        is_default: raw.default,
        params: raw.params,
        secrets,
        overlap: raw.overlap,
        sinks,
    })
}

fn secrets(
    account: &str,
    raw: BTreeMap<String, RawSource>,
    check: &mut Check,
) -> BTreeMap<String, SecretSource> {
    let mut secrets = BTreeMap::new();
    for (name, raw) in raw {
        if let Some(source) = secret::build(&format!("{account}.secrets.{name}"), raw, check) {
            secrets.insert(name, source);
        }
    }
    secrets
}

fn sink(key: &str, raw: RawSink, check: &mut Check) -> Option<Sink> {
    check.missing(key, "credential", "\"…\"");
    check.missing(key, "file", "\"/absolute/path\"");
    if raw.on_change.first().is_some_and(|program| !program.starts_with('/')) {
        check.wrong(&format!("{key}.on_change"), "the program must be an absolute path");
    }
    let timeout = raw.timeout.unwrap_or(DEFAULT_ON_CHANGE_TIMEOUT);
    if raw.timeout.is_some() && raw.on_change.is_empty() {
        check.wrong(&format!("{key}.timeout"), "limits `on_change`, which is not there");
    } else if !(Duration::from_millis(100)..=Duration::from_hours(1)).contains(&timeout) {
        check.wrong(&format!("{key}.timeout"), "must be from 100ms to 1h");
    }
    let mode = raw.mode.map_or(Ok(0o600), |text| grammar::mode_from(&text)).ok()?;
    if mode & 0o007 != 0 {
        check.warn(&format!("{key}.mode"), "lets every user of this machine at the credential");
    }
    let file = check.path(&format!("{key}.file"), &raw.file?);
    if file.file_name().is_none() {
        check.wrong(&format!("{key}.file"), "does not end in the name of a file");
    }
    Some(Sink {
        credential: raw.credential?,
        file,
        mode,
        owner: raw.owner,
        group: raw.group,
        template: raw.template.unwrap_or_else(|| DEFAULT_TEMPLATE.into()),
        on_expire: raw.on_expire.unwrap_or(OnExpire::Keep),
        on_change: raw.on_change,
        timeout,
    })
}

fn plain_http(key: &str, url: &Url, allowed: bool, check: &mut Check) {
    if url.scheme() == "http" && !allowed && !is_loopback(url) {
        check.wrong(
            key,
            "is plain http to another host, where secrets would travel in clear: write https, or \
             allow_insecure_http = true in the account",
        );
    }
}

/// RFC 6761, section 6.3: `localhost` and the names below it are this machine.
fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().map_or_else(
        |_| host == "localhost" || host.ends_with(".localhost"),
        |address| address.is_loopback(),
    )
}

fn defaults(accounts: &BTreeMap<String, Account>, check: &mut Check) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, account) in accounts.iter().filter(|(_, account)| account.is_default) {
        if let Some(first) = taken.insert(&account.provider, name) {
            let message = format!("`{first}` is already the default of `{}`", account.provider);
            check.wrong(&format!("accounts.{name}.default"), message);
        }
    }
}

/// Two sinks on one file would overwrite each other for ever.
fn sink_files(accounts: &BTreeMap<String, Account>, check: &mut Check) {
    let mut taken = BTreeSet::new();
    for (name, account) in accounts {
        for (n, sink) in account.sinks.iter().enumerate() {
            if !taken.insert(&sink.file) {
                let key = format!("accounts.{name}.sinks[{n}].file");
                check.wrong(&key, "another sink writes this file");
            }
        }
    }
}
