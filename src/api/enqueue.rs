//! `POST /v1/jobs` and `POST /v1/jobs/batch`.

mod allowed;

use std::{convert::Infallible, ops::Range, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Api,
    access::{Caller, Peer},
    body, json,
    problem::{Kind, Problem},
    query::NoParams,
    view,
};
use crate::{
    engine::{
        actions::{Refusal, Submitted},
        enqueue::JobRequest,
    },
    store::StoreError,
    types::{JobId, opaque},
};

/// The most jobs of one batch.
const MAX_LINES: usize = 10_000;
/// How many of them are stored at once.
const CHUNK: usize = 500;
/// Batches that are in memory at once; they may be large.
pub(super) const MAX_BATCHES: usize = 4;
/// How long a batch waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// The earlier job, of which only the key is left.
#[derive(Debug, Serialize)]
struct Pruned {
    id: JobId,
    pruned: bool,
}

pub async fn create(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    _: NoParams,
    request: Request,
) -> Result<Response, Problem> {
    let request = body::read(request, body::MAX_BODY).await?;
    let request = body::job_request(&request)?;
    allowed::check(&api, &caller, &request)?;
    let outcome = submit(&api, &caller, vec![request]).await?.pop();
    let outcome = outcome.ok_or_else(no_outcome)?;
    let (status, job) = render(&api, &caller, outcome).await?;
    Ok(json::raw(status, job))
}

fn no_outcome() -> Problem {
    Problem::new(Kind::Internal, "the engine left a request without an outcome")
}

async fn submit(
    api: &Api,
    caller: &Caller,
    requests: Vec<JobRequest>,
) -> Result<Vec<Result<Submitted, Refusal>>, StoreError> {
    let actor = caller.actor(&*api.engine.store).await?;
    api.engine.submit(requests, actor, &caller.name).await
}

/// What became of a request, as status and JSON.
pub(super) async fn render(
    api: &Api,
    caller: &Caller,
    outcome: Result<Submitted, Refusal>,
) -> Result<(StatusCode, Vec<u8>), Problem> {
    match outcome {
        Ok(Submitted::New(prepared)) => {
            let job = view::new_job(&api.engine, &prepared, &caller.created_by);
            Ok((StatusCode::CREATED, job))
        }
        Ok(Submitted::Existing(row)) => {
            Ok((StatusCode::OK, view::for_caller(&api.engine, *row, caller).await?))
        }
        Ok(Submitted::Pruned(id)) => {
            Ok((StatusCode::OK, json::bytes(&Pruned { id, pruned: true })))
        }
        Err(refusal) => Err(api.refusal(refusal)),
    }
}

/// The whole body is read before anything is stored: a batch that is too long changes nothing.
pub async fn batch(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    _: NoParams,
    request: Request,
) -> Result<Response, Problem> {
    let turn = tokio::time::timeout(TURN, Arc::clone(&api.batches).acquire_owned());
    let Ok(Ok(turn)) = turn.await else {
        let words = format!("{MAX_BATCHES} other batches are being read");
        return Err(Problem::new(Kind::TooMany, words).retry_after(TURN));
    };
    let lines = Lines::of(body::read(request, body::MAX_BATCH).await?)?;
    let batch = Batch { api, caller, lines, done: 0, _turn: turn };
    let outcomes = stream::unfold(batch, Batch::next);
    Ok(json::with_type(StatusCode::OK, json::NDJSON, Body::from_stream(outcomes)))
}

/// A batch on its way; it holds its turn until it is done or its client has gone.
struct Batch {
    api: Arc<Api>,
    caller: Arc<Caller>,
    lines: Lines,
    done: usize,
    _turn: OwnedSemaphorePermit,
}

impl Batch {
    /// Stores the next lines; what became of them.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let chunk = self.lines.chunk(self.done)?;
        let mut out = Vec::with_capacity(chunk.len() * 1024);
        store_chunk(&self.api, &self.caller, &chunk, &mut out).await;
        self.done += chunk.len();
        Some((Ok(out.into()), self))
    }
}

/// The lines of a batch that are not blank.
struct Lines {
    text: Bytes,
    lines: Vec<Range<usize>>,
}

opaque!(Lines);

impl Lines {
    fn of(text: Bytes) -> Result<Self, Problem> {
        let mut lines = vec![];
        let mut start = 0;
        for line in text.split(|byte| *byte == b'\n') {
            if !line.trim_ascii().is_empty() {
                lines.push(start..start + line.len());
            }
            start += line.len() + 1;
        }
        if lines.len() > MAX_LINES {
            let words = format!("a batch has at most {MAX_LINES} jobs, not {}", lines.len());
            return Err(Problem::new(Kind::TooLarge, words));
        }
        Ok(Self { text, lines })
    }

    /// The next lines to be stored together; `None` when all are done.
    fn chunk(&self, done: usize) -> Option<Vec<Bytes>> {
        let next = self.lines.get(done..)?.iter().take(CHUNK);
        let chunk: Vec<Bytes> = next.map(|range| self.text.slice(range.clone())).collect();
        (!chunk.is_empty()).then_some(chunk)
    }
}

/// Stores some lines in one go and writes one outcome for each, in order.
async fn store_chunk(api: &Api, caller: &Caller, lines: &[Bytes], out: &mut Vec<u8>) {
    let mut requests = vec![];
    let mut refused = vec![];
    for line in lines {
        let request = body::job_request(line);
        match request.and_then(|one| allowed::check(api, caller, &one).map(|()| one)) {
            Ok(request) => {
                requests.push(request);
                refused.push(None);
            }
            Err(problem) => refused.push(Some(problem)),
        }
    }
    let (outcomes, trouble) = match submit(api, caller, requests).await {
        Ok(outcomes) => (outcomes, None),
        Err(error) => (vec![], Some(error)),
    };
    let mut outcomes = outcomes.into_iter();
    for refused in refused {
        let outcome = match (refused, &trouble) {
            (Some(problem), _) => Err(problem),
            (None, Some(error)) => Err(error.clone().into()),
            (None, None) => match outcomes.next() {
                Some(outcome) => render(api, caller, outcome).await,
                None => Err(no_outcome()),
            },
        };
        write_outcome(outcome, out);
    }
}

fn write_outcome(outcome: Result<(StatusCode, Vec<u8>), Problem>, out: &mut Vec<u8>) {
    let (status, name, json) = match outcome {
        Ok((status, job)) => (status, "job", job),
        Err(problem) => (problem.status(), "problem", problem.to_json()),
    };
    out.extend_from_slice(b"{\"status\":");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(&json);
    out.extend_from_slice(b"}\n");
}
