//! Jobs as JSON: exactly the fields of the contract.

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::access::Caller;
use crate::{
    config::Right,
    credentials::{
        seal::ChainKey,
        vault::{self, Part, Payload},
        view::LastError,
    },
    definition::{ArgsSchema, Kind},
    engine::{
        Engine,
        catalog::{Catalog, KindRef, ON_CHANGE},
        enqueue::Prepared,
        gates::Hold,
        holds::{class_of, shown_priority},
    },
    store::{JobRow, StoreResult},
    types::{JobId, JobState, Timestamp, opaque},
};

/// What stands for a secret.
const HIDDEN: &str = "***";

/// A job as clients see it.
#[derive(Serialize)]
pub struct JobView<'a> {
    id: JobId,
    kind: &'a str,
    account: &'a str,
    /// Null once erased.
    args: Option<Args<'a>>,
    key: Option<&'a str>,
    state: JobState,
    priority: u8,
    attempt: i64,
    errors: u32,
    max_errors: u32,
    polls: i64,
    created_at: Timestamp,
    created_by: &'a Value,
    run_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    deadline: Option<Timestamp>,
    status: Option<&'a str>,
    waiting_for: Option<&'a Hold>,
    last_error: Option<&'a LastError>,
    result: Option<&'a Value>,
    parent_id: Option<JobId>,
    tags: &'a [String],
}

/// Arguments with the secret ones hidden.
struct Args<'a> {
    args: &'a Map<String, Value>,
    shown: Shown<'a>,
}

opaque!(JobView<'_>, Args<'_>, OpenJob);

/// Which arguments may be shown.
#[derive(Debug, Clone, Copy)]
enum Shown<'a> {
    NotSecret(&'a ArgsSchema),
    /// The daemon's own: ids and names.
    Everything,
    /// The kind is no longer defined: nobody knows which of its arguments are secret.
    Nothing,
}

impl Shown<'_> {
    fn hides(self, name: &str) -> bool {
        match self {
            Self::NotSecret(schema) => schema.get(name).is_none_or(|arg| arg.secret),
            Self::Everything => false,
            Self::Nothing => true,
        }
    }
}

impl Serialize for Args<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.args.len()))?;
        for (name, value) in self.args {
            if self.shown.hides(name) {
                map.serialize_entry(name, HIDDEN)?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

/// A job that has just been stored, as JSON. It is not read again.
#[must_use]
pub fn new_job(engine: &Engine, prepared: &Prepared, created_by: &Value) -> Vec<u8> {
    let row = &prepared.row;
    let hold = engine
        .gates
        .kind_is_shut(row.queue, row.kind)
        .map(|detail| Hold { code: "gate", until: None, detail })
        .or_else(|| row.ready.then(|| engine.queue_hold(row.queue, class_of(row.priority)))?);
    super::json::bytes(&JobView {
        id: row.id,
        kind: &prepared.kind.name,
        account: &prepared.account.name,
        args: Some(Args {
            args: &prepared.payload.args,
            shown: Shown::NotSecret(&prepared.kind.args),
        }),
        key: prepared.payload.key.as_deref(),
        state: JobState::Queued,
        priority: shown_priority(row.priority),
        attempt: 0,
        errors: 0,
        max_errors: row.max_errors,
        polls: 0,
        created_at: row.created_at,
        created_by,
        run_at: row.run_at,
        started_at: None,
        finished_at: None,
        deadline: row.deadline,
        status: None,
        waiting_for: hold.as_ref(),
        last_error: None,
        result: None,
        parent_id: None,
        tags: &row.tags,
    })
}

/// A stored job with its sealed parts opened, as far as they may be shown.
pub struct OpenJob {
    pub row: JobRow,
    /// `None` once erased.
    key: Option<ChainKey>,
    payload: Option<Payload>,
    kind: Option<Arc<Kind>>,
    created_by: Value,
    status: Option<String>,
    waiting_for: Option<Hold>,
    deadline: Option<Timestamp>,
    last_error: Option<LastError>,
    result: Option<Value>,
}

/// As it was given, and of a live job as it is by now.
fn deadline(engine: &Engine, row: &JobRow) -> Option<Timestamp> {
    let live = matches!(row.state, JobState::Queued | JobState::Running);
    let kind = engine.catalog().kind_id(&row.kind).filter(|_| live);
    let Some(kind) = kind else { return row.deadline };
    engine.deadline((row.queue, kind), row.created_at, row.deadline)
}

impl OpenJob {
    #[must_use]
    pub fn open(engine: &Engine, row: JobRow) -> Self {
        let key = row.salt.map(|salt| engine.vault.chain(&salt));
        let status = key
            .as_ref()
            .zip(row.status.as_ref())
            .and_then(|(key, (n, sealed))| vault::open_text(key, row.id, Part::Status(*n), sealed));
        Self {
            payload: key
                .as_ref()
                .and_then(|key| vault::open_json(key, row.id, Part::Args, &row.args).ok()),
            kind: kind_of(&engine.catalog(), &row.kind),
            created_by: serde_json::from_str(&row.created_by).unwrap_or_default(),
            waiting_for: engine.hold(&row),
            deadline: deadline(engine, &row),
            last_error: last_error(&row, key.as_ref()),
            result: None,
            status,
            key,
            row,
        }
    }

    /// Reads the result too, where there is one that the caller may see.
    pub async fn with_result(mut self, engine: &Engine, caller: &Caller) -> StoreResult<Self> {
        let may = self.row.has_result && caller.grants.on_job(Right::Results, &self.row);
        if may && is_secret(self.kind.as_deref()) {
            self.result = Some(HIDDEN.into());
        } else if may
            && let Some(key) = &self.key
            && let Some(stored) = engine.store.result(self.row.id).await?
            && let Some(sealed) = stored.result
        {
            self.result = vault::open_json(key, self.row.id, Part::Result, &sealed).ok();
        }
        Ok(self)
    }

    /// A sealed text of this job in clear.
    #[must_use]
    pub fn text(&self, part: Part<'_>, sealed: &[u8]) -> Option<String> {
        vault::open_text(self.key.as_ref()?, self.row.id, part, sealed)
    }

    #[must_use]
    pub fn view(&self) -> JobView<'_> {
        let row = &self.row;
        let shown = match &self.kind {
            Some(kind) => Shown::NotSecret(&kind.args),
            None if row.kind == ON_CHANGE => Shown::Everything,
            None => Shown::Nothing,
        };
        let payload = self.payload.as_ref();
        JobView {
            id: row.id,
            kind: &row.kind,
            account: &row.account,
            args: payload.map(|payload| Args { args: &payload.args, shown }),
            key: payload.and_then(|payload| payload.key.as_deref()),
            state: row.state,
            priority: shown_priority(row.priority),
            attempt: row.attempt,
            errors: row.errors,
            max_errors: row.max_errors,
            polls: row.polls,
            created_at: row.created_at,
            created_by: &self.created_by,
            run_at: row.run_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            deadline: self.deadline,
            status: self.status.as_deref(),
            waiting_for: self.waiting_for.as_ref(),
            last_error: self.last_error.as_ref(),
            result: self.result.as_ref(),
            parent_id: row.parent,
            tags: &row.tags,
        }
    }
}

/// What is left of a job for somebody who may not read it, but did something with it.
#[derive(Debug, Serialize)]
pub struct Outline<'a> {
    id: JobId,
    kind: &'a str,
    account: &'a str,
    state: JobState,
}

#[must_use]
pub fn outline(row: &JobRow) -> Outline<'_> {
    Outline { id: row.id, kind: &row.kind, account: &row.account, state: row.state }
}

/// A stored job, as JSON, as far as this caller may see it.
pub async fn for_caller(engine: &Engine, row: JobRow, caller: &Caller) -> StoreResult<Vec<u8>> {
    if !caller.reads(&row) {
        return Ok(super::json::bytes(&outline(&row)));
    }
    let job = OpenJob::open(engine, row).with_result(engine, caller).await?;
    Ok(super::json::bytes(&job.view()))
}

/// Whether a kind's result is only for those who may have credentials. Of one that is no longer
/// defined nobody knows.
pub(super) fn is_secret(kind: Option<&Kind>) -> bool {
    kind.is_none_or(|kind| kind.secret_result)
}

pub(super) fn kind_of(catalog: &Catalog, name: &str) -> Option<Arc<Kind>> {
    match catalog.kind(catalog.kind_id(name)?)? {
        KindRef::Job(_, kind) => Some(Arc::clone(kind)),
        KindRef::Renewal(..) | KindRef::OnChange => None,
    }
}

fn last_error(row: &JobRow, key: Option<&ChainKey>) -> Option<LastError> {
    let error = row.error.as_ref()?;
    let message = error
        .message
        .as_ref()
        .zip(key)
        .and_then(|(sealed, key)| vault::open_text(key, row.id, Part::Error, sealed));
    Some(LastError { code: error.code.clone(), message, at: error.at })
}
