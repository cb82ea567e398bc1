//! The right that each route takes: the one table of them, and what keeps to it.
//!
//! What is not in it is not served.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use axum::{
    extract::MatchedPath,
    response::{IntoResponse, Response},
};
use futures::future::{Either, Ready, ready};
use http::{Method, Request};
use tower::{Layer, Service};

use super::{
    access::{Caller, Peer},
    problem::{Kind, Problem},
};
use crate::config::Right::{self, Credentials, Enqueue, Operate, Read, Results};

/// What a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// To be able to connect.
    Nothing,
    /// Any right on anything.
    Any,
    /// One of these rights, on what the request is about: the handler looks at account and kind.
    One(&'static [Right]),
    /// This right on everything: a rule without limits to accounts and kinds.
    Whole(Right),
}

use Needs::{Any, Nothing, One, Whole};

pub(super) const TABLE: &[(&str, &str, Needs)] = &[
    ("GET", "/healthz", Nothing),
    ("GET", "/readyz", One(&[Read])),
    ("GET", "/metrics", Whole(Read)),
    ("GET", "/openapi.json", Any),
    ("POST", "/v1/jobs", One(&[Enqueue])),
    ("POST", "/v1/jobs/batch", One(&[Enqueue])),
    ("GET", "/v1/jobs", One(&[Read])),
    ("GET", "/v1/jobs/{id}", One(&[Read])),
    ("GET", "/v1/jobs/{id}/wait", One(&[Read])),
    // A secret one takes `credentials`.
    ("GET", "/v1/jobs/{id}/result", One(&[Results, Credentials])),
    ("GET", "/v1/jobs/{id}/artifacts/{name}", One(&[Results])),
    ("POST", "/v1/jobs/{id}/cancel", One(&[Operate])),
    ("POST", "/v1/jobs/{id}/retry", One(&[Operate])),
    ("POST", "/v1/jobs/{id}/resolve", One(&[Operate])),
    ("POST", "/v1/jobs/{id}/erase", One(&[Operate])),
    ("GET", "/v1/kinds", Any),
    ("GET", "/v1/definitions", Any),
    ("GET", "/v1/definitions/{provider}", Any),
    ("GET", "/v1/schedules", One(&[Read])),
    ("POST", "/v1/schedules/{name}/run", One(&[Operate])),
    ("GET", "/v1/credentials", One(&[Read])),
    ("GET", "/v1/credentials/{account}/{name}", One(&[Read])),
    ("GET", "/v1/credentials/{account}/{name}/value", One(&[Credentials])),
    ("POST", "/v1/credentials/{account}/{name}/renew", One(&[Operate])),
    ("POST", "/v1/credentials/{account}/{name}/revoke", One(&[Operate])),
    ("GET", "/v1/queues", One(&[Read])),
    ("POST", "/v1/queues/{account}/pause", One(&[Operate])),
    ("POST", "/v1/queues/{account}/resume", One(&[Operate])),
    ("POST", "/v1/clock/confirm", Whole(Operate)),
    ("POST", "/v1/rekey", Whole(Operate)),
    ("POST", "/v1/reload", Whole(Operate)),
    ("POST", "/v1/backup", Whole(Operate)),
];

/// What a route takes; `None` where no such route is served.
#[must_use]
pub(super) fn needs(method: &Method, path: &str) -> Option<Needs> {
    // Whoever may read may also ask for the head alone.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let row = TABLE.iter().find(|(of, at, _)| *of == method && *at == path);
    row.map(|(.., needs)| *needs)
}

impl Needs {
    fn check(self, caller: &Caller) -> Result<(), Problem> {
        match self {
            Self::Nothing | Self::Any => Ok(()),
            Self::One(rights) => {
                if rights.iter().any(|right| caller.grants.somewhere(*right)) {
                    return Ok(());
                }
                Err(caller.refuse(rights.first().copied().unwrap_or(Operate), ""))
            }
            Self::Whole(right) if caller.grants.everywhere(right) => Ok(()),
            Self::Whole(right) => Err(caller.refuse(right, " for all accounts and kinds")),
        }
    }

    /// For people, and the description of the API.
    pub(super) fn words(self) -> String {
        let list = |rights: &[Right]| {
            rights.iter().map(|right| right.name()).collect::<Vec<_>>().join(" or ")
        };
        match self {
            Self::Nothing => "none".to_owned(),
            Self::Any => "any".to_owned(),
            Self::One(rights) => list(rights),
            Self::Whole(right) => format!("{right}, without limits"),
        }
    }
}

/// Keeps every route to the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guarded;

impl<S> Layer<S> for Guarded {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Guard<S> {
    inner: S,
}

fn allowed<B>(request: &Request<B>) -> Result<(), Problem> {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let Some(needs) = needs(request.method(), path) else {
        let words = format!("{} takes no {}", request.uri().path(), request.method());
        return Err(Problem::new(Kind::Method, words));
    };
    if needs == Nothing {
        return Ok(());
    }
    let nobody = || Problem::new(Kind::Refused, "nobody knows who asks");
    needs.check(&request.extensions().get::<Peer>().ok_or_else(nobody)?.0)
}

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match allowed(&request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(problem) => Either::Right(ready(Ok(problem.into_response()))),
        }
    }
}
