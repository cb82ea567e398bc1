//! Looking at jobs: the list, one job, its result, its artifacts.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{
    Api,
    access::{Caller, Peer},
    detail, json,
    path::{Id, Named},
    problem::{Kind, Problem},
    query::{self, NoParams, Raw},
    view::{self, JobView, OpenJob},
};
use crate::{
    clock,
    config::Right,
    credentials::vault::{self, Part},
    engine::enqueue::parse_id,
    store::{JobFilter, StoredArtifact, StoredResult},
    types::{JobId, JobState, Timestamp},
};

const PARAMS: [&str; 8] = ["state", "kind", "account", "tag", "code", "since", "limit", "cursor"];
const DEFAULT_LIMIT: u32 = 50;

#[derive(Serialize)]
struct List<'a> {
    jobs: Vec<JobView<'a>>,
    /// The last job's id, where there are more.
    cursor: Option<JobId>,
}

pub async fn list(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    query: Raw,
) -> Result<Response, Problem> {
    let filter = filter(query, api.engine.clock.wall())?;
    if let Some(account) = &filter.account {
        caller.needs_in(Right::Read, account)?;
    }
    let filter = JobFilter { within: caller.grants.limits(Right::Read), ..filter };
    // One such list at a time: the readers of the database are the engine's too.
    let _turn = match &filter.within {
        Some(_) => api.sieves.acquire().await.ok(),
        None => None,
    };
    let limit = filter.limit as usize;
    // One more, to know whether there are more.
    let filter = JobFilter { limit: filter.limit + 1, ..filter };
    let mut rows = api.engine.store.jobs(filter).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let cursor = rows.last().map(|row| row.id).filter(|_| more);
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        jobs.push(OpenJob::open(&api.engine, row));
    }
    Ok(json::ok(&List { jobs: jobs.iter().map(OpenJob::view).collect(), cursor }))
}

fn filter(query: Raw, now: Timestamp) -> Result<JobFilter, Problem> {
    let mut params = query.only(&PARAMS);
    let filter = JobFilter {
        state: params.take("state", str::parse),
        kind: params.text("kind"),
        account: params.text("account"),
        tag: params.text("tag"),
        code: params.text("code"),
        since: params.take("since", |text| query::since(text, now)),
        before: params.take("cursor", parse_id),
        within: None,
        limit: params.take("limit", query::limit).unwrap_or(DEFAULT_LIMIT),
    };
    params.done()?;
    Ok(filter)
}

pub async fn get(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Id(id): Id,
    _: NoParams,
) -> Result<Response, Problem> {
    let row = api.job(&caller, &[Right::Read], id).await?;
    Ok(json::raw(StatusCode::OK, detail::of(&api.engine, row, &caller).await?))
}

/// The one place that shows a secret result, to those who may have credentials.
pub async fn result(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Id(id): Id,
    _: NoParams,
) -> Result<Response, Problem> {
    let row = api.job(&caller, &[Right::Results, Right::Credentials], id).await?;
    let secret = view::is_secret(view::kind_of(&api.engine.catalog(), &row.kind).as_deref());
    let right = if secret { Right::Credentials } else { Right::Results };
    if !caller.grants.on_job(right, &row) {
        let problem = caller.refuse(right, &format!(" for job {id}"));
        let why = format!("the result of {} holds secrets", row.kind);
        return Err(match caller.reads(&row) {
            true if secret => problem.because(&why),
            true => problem,
            false => absent(&api, id),
        });
    }
    let stored = api.engine.store.result(id).await?.ok_or_else(|| absent(&api, id))?;
    let StoredResult { state, salt, result, .. } = stored;
    let gone = || Problem::new(Kind::Gone, format!("the result of {id} was erased")).job(id);
    let salt = salt.ok_or_else(gone)?;
    if state != JobState::Completed {
        let words = format!("job {id} is {state}: it has no result");
        return Err(Problem::new(Kind::State, words).job(id));
    }
    let sealed = result.ok_or_else(gone)?;
    let chain = api.engine.vault.chain(&salt);
    let clear = vault::open(&chain, id, Part::Result, &sealed)
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()).job(id))?;
    Ok(json::raw(StatusCode::OK, clear.to_vec()))
}

/// A job that is not there: one that had a key has left a tombstone. That says neither account nor
/// kind, so it is for those alone whose rights have no limits.
pub(super) async fn unknown(
    api: &Api,
    caller: &Caller,
    rights: &[Right],
    id: JobId,
) -> Result<Problem, Problem> {
    if rights.iter().any(|right| caller.grants.everywhere(*right))
        && let Some(ended) = api.engine.store.tombstone(id).await?
    {
        let words = format!("job {id} ended as {ended} and is not kept any longer ([retention])");
        return Ok(Problem::new(Kind::Gone, words).job(id));
    }
    Ok(absent(api, id))
}

/// The same for a job that is there and for one that is not.
pub(super) fn absent(api: &Api, id: JobId) -> Problem {
    let made_at = clock::made_at(id).filter(|at| api.engine.may_be_pruned(*at));
    let words = match made_at {
        Some(at) => format!("there is no job {id}; one from {at} may not be kept any longer"),
        None => format!("there is no job {id}"),
    };
    Problem::new(Kind::NotFound, words).job(id)
}

pub async fn artifact(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Named((_, name)): Named<(String, String)>,
    Id(id): Id,
    _: NoParams,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = api.job(&caller, &[Right::Results], id).await?;
    let Some(stored) = api.engine.store.artifact(id, &name).await? else {
        if row.salt.is_none() {
            let words = format!("the artifacts of {id} were erased");
            return Err(Problem::new(Kind::Gone, words).job(id));
        }
        let words = format!("job {id} has no artifact `{name}`");
        return Err(Problem::new(Kind::NotFound, words).job(id));
    };
    let etag = format!("\"{}\"", stored.row.sha256);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let StoredArtifact { row, salt, sealed } = stored;
    let gone = || Problem::new(Kind::Gone, format!("the artifacts of {id} were erased")).job(id);
    let chain = api.engine.vault.chain(&salt.ok_or_else(gone)?);
    let clear = vault::open(&chain, id, Part::Artifact(&name), &sealed)
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()).job(id))?;
    let content_type = HeaderValue::from_str(&row.content_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let mut response = json::with_type(StatusCode::OK, content_type, clear.to_vec());
    let headers = response.headers_mut();
    headers.extend(HeaderValue::from_str(&etag).ok().map(|etag| (header::ETAG, etag)));
    headers.extend(disposition(&name).map(|value| (header::CONTENT_DISPOSITION, value)));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// To be saved and never shown: an HTML report must not run in anybody's browser.
fn disposition(name: &str) -> Option<HeaderValue> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    let name: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_stays_within_its_quotes() {
        let value = |name| disposition(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(value("report.pdf"), "attachment; filename=\"report.pdf\"");
        assert_eq!(value("a\"; b\r\n/é"), "attachment; filename=\"a__ b____\"");
    }
}
