//! `POST /v1/backup`: everything in one file, as a stream.

use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{Api, access::Peer, body, json, problem::Problem, query::NoParams};
use crate::config::Right;

const TAR: HeaderValue = HeaderValue::from_static("application/x-tar");
/// How much is read ahead of a client.
const PART: usize = 256 << 10;
const PARTS: usize = 4;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    with_key: bool,
}

/// The key opens every secret, so it takes the right to have them.
pub async fn backup(
    State(api): State<Arc<Api>>,
    Peer(caller): Peer,
    _: NoParams,
    request: Request,
) -> Result<Response, Problem> {
    let request = body::read(request, body::MAX_BODY).await?;
    let Wanted { with_key } = body::parse(&request)?;
    if with_key && !caller.grants.everywhere(Right::Credentials) {
        return Err(caller.refuse(Right::Credentials, " for all accounts and kinds"));
    }
    let content = api.engine.backup(with_key).await.map_err(|no| api.refusal(no))?;
    let (parts, mut written) = mpsc::channel(PARTS);
    tokio::task::spawn_blocking(move || {
        let failed = parts.clone();
        match content.write(BufWriter::with_capacity(PART, Parts(parts))) {
            Ok(()) => api.engine.tell_backed_up(&caller.name, with_key),
            // The connection is broken off: half a backup is not taken for a whole one.
            Err(error) => drop(failed.blocking_send(Err(error))),
        }
    });
    let parts = stream::poll_fn(move |context| written.poll_recv(context));
    Ok(json::with_type(StatusCode::OK, TAR, Body::from_stream(parts)))
}

/// Hands what is written to the connection. Who has gone away ends it.
struct Parts(mpsc::Sender<io::Result<Bytes>>);

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = Ok(Bytes::copy_from_slice(bytes));
        self.0.blocking_send(part).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
