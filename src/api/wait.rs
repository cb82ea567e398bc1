//! `GET /v1/jobs/{id}/wait`: answers when it has ended.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;

use super::{
    Api,
    access::Peer,
    detail, json,
    path::Id,
    problem::{Kind, Problem},
    query::{self, Raw},
};
use crate::{config::Right, store::JobRow};

const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(1);
/// Looked again so often even if nothing was heard: another node may have ended it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// So many may wait at once; whoever comes to look at the daemon still finds a connection.
pub(super) const MAX_WAITS: usize = 384;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Job,
    Chain,
}

fn scope(text: &str) -> Result<Scope, String> {
    match text {
        "job" => Ok(Scope::Job),
        "chain" => Ok(Scope::Chain),
        _ => Err(format!("`{text}` is not a scope: write job or chain")),
    }
}

pub async fn wait(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    Id(id): Id,
    query: Raw,
) -> Result<Response, Problem> {
    let mut params = query.only(&["scope", "timeout"]);
    let scope = params.take("scope", scope).unwrap_or(Scope::Job);
    let timeout =
        params.take("timeout", |text| query::duration(text, LONGEST)).unwrap_or(DEFAULT_TIMEOUT);
    params.done()?;
    let row = api.job(&caller, &[Right::Read], id).await?;
    let Ok(_waits) = api.waits.try_acquire() else {
        let words = format!("{MAX_WAITS} requests wait already: ask for the job now and then");
        return Err(Problem::new(Kind::TooMany, words).retry_after(LOOK_AGAIN));
    };
    tokio::select! {
        ended = tokio::time::timeout(timeout, ended(&api, row, scope)) => match ended {
            Ok(row) => Ok(json::raw(StatusCode::OK, detail::of(&api.engine, row?, &caller).await?)),
            Err(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        },
        () = api.stopping.cancelled() => Err(Problem::draining()),
    }
}

async fn ended(api: &Api, first: JobRow, scope: Scope) -> Result<JobRow, Problem> {
    // Subscribed before the look that counts, so that no end falls in between.
    let mut ends = api.engine.waiters.subscribe(first.root);
    loop {
        let row = api.engine.find(first.id).await.map_err(|no| api.refusal(no))?;
        let over = match scope {
            Scope::Job => row.state.has_ended(),
            Scope::Chain => !detail::is_live(&api.engine.store.chain(row.root).await?),
        };
        if over {
            return Ok(row);
        }
        let _ = tokio::time::timeout(LOOK_AGAIN, ends.changed()).await;
    }
}
