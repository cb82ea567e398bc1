//! A request for a job, validated whole and made into a row.

use std::{str::FromStr, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    catalog::{Account, Catalog},
    holds::stored_priority,
};
use crate::{
    clock,
    credentials::{
        seal,
        vault::{self, Part, Payload, Vault},
    },
    definition::{FieldProblem, Kind, Repeat, Shape},
    policy,
    store::{ActorId, Hash16, KeyClaim, KindId, NewJob, Parentage},
    types::{JobId, Timestamp, opaque},
};

/// The longest client key and tag, in bytes, and the most tags.
const LONGEST_NAME: usize = 256;
const MOST_TAGS: usize = 32;

/// `POST /v1/jobs`.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    pub kind: String,
    pub account: Option<String>,
    #[serde(default)]
    pub args: Value,
    pub key: Option<String>,
    #[serde(default)]
    pub unkeyed: bool,
    pub run_at: Option<String>,
    pub priority: Option<i64>,
    pub max_errors: Option<i64>,
    /// A time, or a duration from now.
    pub deadline: Option<String>,
    #[serde(default)]
    pub tags: Vec<String>,
}

opaque!(JobRequest);

/// A job that may be stored, with what its creator should see of it.
#[derive(Debug)]
pub struct Prepared {
    pub row: NewJob,
    pub account: Arc<Account>,
    pub kind: Arc<Kind>,
    pub payload: Payload,
}

/// Checks a request against the catalogue; every problem at once.
pub fn prepare(
    request: JobRequest,
    catalog: &Catalog,
    vault: &Vault,
    actor: ActorId,
    now: Timestamp,
) -> Result<Prepared, Vec<FieldProblem>> {
    let mut problems = Problems::default();
    let Some((provider, kind)) = catalog.registry.kind(&request.kind) else {
        return Err(vec![unknown_kind(catalog, &request.kind)]);
    };
    let account = match &request.account {
        None => catalog.default_account(&provider.name).map(Arc::clone),
        Some(name) => named_account(catalog, name, &provider.name),
    };
    let account = problems.keep("account", account);
    let sent = if request.args.is_null() { Value::Object(Map::new()) } else { request.args };
    let args = match kind.args.validate(&sent) {
        Ok(args) => Some(args),
        Err(found) => {
            problems.0.extend(found.into_iter().map(|one| FieldProblem {
                field: if one.field.is_empty() {
                    "args".into()
                } else {
                    format!("args.{}", one.field)
                },
                message: one.message,
            }));
            None
        }
    };
    let key = problems.keep("key", checked_key(request.key, request.unkeyed, kind));
    let run_at = problems.keep("run_at", parse_time(request.run_at.as_deref()));
    let deadline = problems.keep("deadline", parse_deadline(request.deadline.as_deref(), now));
    let priority = problems.keep("priority", in_range(request.priority, 0, 3));
    let max_errors = problems.keep("max_errors", in_range(request.max_errors, 1, 1_000_000));
    let tags = problems.keep("tags", checked_tags(request.tags));
    let Some(kind_id) = catalog.kind_id(&kind.name) else {
        return Err(vec![unknown_kind(catalog, &request.kind)]);
    };
    let (Some(account), Some(args), Some(key), Some(run_at), Some(deadline), Some(tags)) =
        (account, args, key, run_at, deadline, tags)
    else {
        return Err(problems.0);
    };
    let start = run_at.map_or(now, |at| at.max(now));
    if deadline.is_some_and(|deadline| deadline <= start) {
        problems.say("deadline", "is not after `run_at`: the job could never run");
    }
    problems.done()?;
    let salt = seal::new_salt();
    let build =
        Build { kind, kind_id, account: &account, vault, actor, now, salt: &salt, family: None };
    let payload = Payload { args, key, more: vec![] };
    let mut row = build.row(&payload, start);
    row.salt = Some(salt);
    row.key = payload.key.as_ref().map(|key| KeyClaim {
        hash: vault.key_hash(key),
        request: vault.request_hash(&kind.name, &sent),
    });
    row.tags = tags;
    if let Some(priority) = priority.flatten() {
        row.priority = u8::try_from(priority).map_or(row.priority, stored_priority);
    }
    if let Some(max) = max_errors.flatten() {
        row.max_errors = u32::try_from(max).unwrap_or(row.max_errors);
    }
    if deadline.is_some() {
        row.deadline = deadline;
    }
    Ok(Prepared { row, account, kind: Arc::clone(kind), payload })
}

/// Makes a row of a kind for an account: a first job, or a child.
#[derive(Debug)]
pub struct Build<'a> {
    pub kind: &'a Kind,
    pub kind_id: KindId,
    pub account: &'a Account,
    pub vault: &'a Vault,
    pub actor: ActorId,
    pub now: Timestamp,
    /// The chain's.
    pub salt: &'a Hash16,
    pub family: Option<Parentage>,
}

impl Build<'_> {
    #[must_use]
    pub fn row(&self, payload: &Payload, run_at: Timestamp) -> NewJob {
        let id = clock::new_job_id(self.now);
        let chain = self.vault.chain(self.salt);
        let (priority, deadline, max_errors) = match &self.kind.shape {
            Shape::Call { .. } | Shape::Download { .. } => (1, None, self.kind.max_errors),
            Shape::Follow { deadline, .. } => (
                2,
                Some(run_at.plus(*deadline)),
                self.kind.max_errors.max(policy::settle::MAX_ERRORS_FOLLOW),
            ),
        };
        NewJob {
            id,
            queue: self.account.queue,
            kind: self.kind_id,
            priority: stored_priority(priority),
            run_at,
            ready: run_at <= self.now,
            max_errors,
            deadline,
            created_at: self.now,
            created_by: self.actor,
            salt: None,
            family: self.family,
            args: vault::seal_json(&chain, id, Part::Args, payload),
            uniq: natural_key(self.vault, self.kind, &payload.args),
            key: None,
            tags: vec![],
        }
    }
}

/// The hash of the arguments that identify a live follow, where its kind names some.
#[must_use]
pub fn natural_key(vault: &Vault, kind: &Kind, args: &Map<String, Value>) -> Option<Hash16> {
    if kind.unique.is_empty() {
        return None;
    }
    let identity: Map<String, Value> = kind
        .unique
        .iter()
        .filter_map(|name| Some((name.clone(), args.get(name)?.clone())))
        .collect();
    Some(vault.natural_key(&kind.name, &Value::Object(identity)))
}

/// Whether `asked` asks for something that a live follow with `payload` does not yet give.
#[must_use]
pub fn asks_for_more(payload: &Payload, asked: &Map<String, Value>) -> bool {
    payload.args != *asked && !payload.more.contains(asked)
}

#[derive(Default)]
struct Problems(Vec<FieldProblem>);

impl Problems {
    fn keep<T>(&mut self, field: &str, outcome: Result<T, String>) -> Option<T> {
        outcome
            .map_err(|message| self.0.push(FieldProblem { field: field.to_owned(), message }))
            .ok()
    }

    fn say(&mut self, field: &str, message: &str) {
        self.0.push(FieldProblem { field: field.to_owned(), message: message.to_owned() });
    }

    fn done(self) -> Result<(), Vec<FieldProblem>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

fn unknown_kind(catalog: &Catalog, name: &str) -> FieldProblem {
    let known: Vec<&str> = catalog.registry.kinds().map(|(_, kind)| kind.name.as_str()).collect();
    FieldProblem {
        field: "kind".to_owned(),
        message: format!("`{name}` is not a job kind; known: {}", known.join(", ")),
    }
}

fn named_account(catalog: &Catalog, name: &str, provider: &str) -> Result<Arc<Account>, String> {
    let known: Vec<&str> = catalog
        .accounts
        .values()
        .filter(|one| one.provider.name == provider)
        .map(|one| one.name.as_str())
        .collect();
    let account = catalog.account(name).ok_or_else(|| {
        format!("there is no account `{name}`; accounts of {provider}: {}", known.join(", "))
    })?;
    if account.provider.name != provider {
        return Err(format!(
            "account `{name}` is of {}, the kind is of {provider}; accounts of {provider}: {}",
            account.provider.name,
            known.join(", ")
        ));
    }
    Ok(Arc::clone(account))
}

fn checked_key(key: Option<String>, unkeyed: bool, kind: &Kind) -> Result<Option<String>, String> {
    match key {
        Some(_) if unkeyed => Err("give a key or `unkeyed`, not both".to_owned()),
        Some(key) if key.is_empty() || key.len() > LONGEST_NAME => {
            Err(format!("must have 1 to {LONGEST_NAME} bytes"))
        }
        Some(key) if key.chars().any(char::is_control) => {
            Err("must not contain control characters".to_owned())
        }
        None if kind.repeat == Repeat::Never && !unkeyed => Err(format!(
            "is required, for {} must not be done twice: choose one that names this very request, \
             and send it again with the same key if in doubt; or say `unkeyed: true`",
            kind.name
        )),
        key => Ok(key),
    }
}

pub(super) fn checked_tags(tags: Vec<String>) -> Result<Vec<String>, String> {
    let bad = |tag: &String| {
        tag.is_empty() || tag.len() > LONGEST_NAME || tag.chars().any(char::is_control)
    };
    if tags.len() > MOST_TAGS || tags.iter().any(bad) {
        return Err(format!(
            "at most {MOST_TAGS} tags of 1 to {LONGEST_NAME} bytes without control characters"
        ));
    }
    Ok(tags)
}

fn in_range(value: Option<i64>, least: i64, most: i64) -> Result<Option<i64>, String> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(format!("must be from {least} to {most}, not {value}"))
        }
        value => Ok(value),
    }
}

fn parse_time(text: Option<&str>) -> Result<Option<Timestamp>, String> {
    text.map(|text| Timestamp::from_str(text).map_err(|error| error.to_string())).transpose()
}

fn parse_deadline(text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let Some(text) = text else { return Ok(None) };
    let at = match humantime::parse_duration(text) {
        Ok(duration) if duration <= Duration::from_hours(10 * 366 * 24) => now.plus(duration),
        _ => Timestamp::from_str(text).map_err(|_| {
            format!(
                "`{text}` is neither a time (2026-12-31T23:59:59Z) nor a duration (60d) of at most \
                 ten years"
            )
        })?,
    };
    if at <= now { Err(format!("{at} has passed")) } else { Ok(Some(at)) }
}

/// An id as people paste it.
pub fn parse_id(text: &str) -> Result<JobId, String> {
    text.parse().map_err(|_| format!("`{text}` is not a job id (a UUID)"))
}
