//! Who asks, and what they may do: the one place that decides it.
//!
//! A peer on the Unix socket is known by the credentials that the kernel gives with the
//! connection. Only the daemon's own user and root are let in, with every right. Each route says
//! which right it needs ([`Guard`]); what a peer has is decided in [`Access::rights_of`] alone.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use futures::future::{Either, Ready, ready};
use http::{Request, request::Parts};
use nix::unistd::{Uid, User};
use serde_json::{Value, json};
use tokio::{net::unix::UCred, sync::OnceCell};
use tower::{Layer, Service};

use super::problem::{Kind, Problem};
use crate::{
    config::Right,
    store::{ActorId, Store, StoreResult},
    telemetry::events::{Event, Name, emit},
};

/// Somebody at the other end of a connection.
#[derive(Debug)]
pub struct Caller {
    /// The user's name, or `uid 1234`: what events and pauses say.
    pub name: String,
    /// What a job that they make says of them.
    pub created_by: Value,
    rights: BTreeSet<Right>,
    /// The number of `created_by` in the store: asked for once.
    actor: OnceCell<ActorId>,
}

impl Caller {
    fn new(uid: u32, user: Option<String>, rights: BTreeSet<Right>) -> Self {
        Self {
            created_by: json!({ "uid": uid, "user": user }),
            name: user.unwrap_or_else(|| format!("uid {uid}")),
            rights,
            actor: OnceCell::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn with(rights: BTreeSet<Right>) -> Self {
        Self::new(1, None, rights)
    }

    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    /// What a caller without this right is told.
    pub fn needs(&self, right: Right) -> Result<(), Problem> {
        if self.may(right) {
            return Ok(());
        }
        tell_refused(self, &format!("the right `{right}` is missing"));
        let words = format!("this needs the right `{right}`, which {} does not have", self.name);
        Err(Problem::new(Kind::Refused, words))
    }

    /// Whether they may do anything at all.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.rights.is_empty()
    }

    pub async fn actor(&self, store: &dyn Store) -> StoreResult<ActorId> {
        let ask = async || store.actor_id(&self.created_by.to_string()).await;
        self.actor.get_or_try_init(ask).await.copied()
    }
}

/// Who is let in. Names are looked up once per user: on some machines that asks a directory.
#[derive(Debug)]
pub struct Access {
    let_in: Vec<u32>,
    callers: Mutex<HashMap<u32, Arc<Caller>>>,
}

impl Access {
    /// The daemon's own user and root.
    #[must_use]
    pub fn own_user() -> Self {
        Self::of(vec![Uid::effective().as_raw(), 0])
    }

    pub(super) fn of(let_in: Vec<u32>) -> Self {
        Self { let_in, callers: Mutex::default() }
    }

    fn rights_of(&self, uid: u32) -> BTreeSet<Right> {
        if self.let_in.contains(&uid) { Right::ALL.iter().copied().collect() } else { [].into() }
    }

    pub async fn caller(&self, peer: &UCred) -> Arc<Caller> {
        let uid = peer.uid();
        let callers = || self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(caller) = callers().get(&uid) {
            return Arc::clone(caller);
        }
        let user = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid))).await;
        let name = user.ok().and_then(Result::ok).flatten().map(|user| user.name);
        let caller = Arc::new(Caller::new(uid, name, self.rights_of(uid)));
        callers().insert(uid, Arc::clone(&caller));
        caller
    }
}

/// Tells that somebody was kept out.
pub(super) fn tell_refused(caller: &Caller, what: &str) {
    let event = Event { actor: Some(&caller.name), detail: Some(what), ..Event::default() };
    emit(Name::AccessRefused, &event);
}

/// The answer to somebody who may do nothing.
pub(super) fn stranger(caller: &Caller) -> Problem {
    Problem::new(
        Kind::Refused,
        format!("{} is not let in: only the daemon's own user and root are", caller.name),
    )
}

/// The caller of a request, for handlers.
#[derive(Debug, Clone)]
pub struct Peer(pub Arc<Caller>);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let nobody = || Problem::new(Kind::Refused, "nobody knows who asks");
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}

/// Lets only callers with a right through to a route.
#[derive(Debug, Clone, Copy)]
pub struct Needs(pub Right);

impl<S> Layer<S> for Needs {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { right: self.0, inner }
    }
}

#[derive(Debug, Clone)]
pub struct Guard<S> {
    right: Right,
    inner: S,
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
        let nobody = || Problem::new(Kind::Refused, "nobody knows who asks");
        let caller = request.extensions().get::<Peer>().ok_or_else(nobody);
        match caller.and_then(|caller| caller.0.needs(self.right)) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(problem) => Either::Right(ready(Ok(problem.into_response()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn status(rights: &[Right], needed: Right) -> u16 {
        let caller = Caller::new(1, None, rights.iter().copied().collect());
        let inner = tower::service_fn(async |_: Request<Body>| Ok(Response::new(Body::empty())));
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(Peer(Arc::new(caller)));
        Needs(needed).layer(inner).call(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_route_takes_the_right_that_it_declares() {
        assert_eq!(status(&[Right::Read], Right::Read).await, 200);
        assert_eq!(status(&[Right::Read, Right::Operate], Right::Credentials).await, 403);
        assert_eq!(status(&[], Right::Read).await, 403);
    }

    #[tokio::test]
    async fn a_request_of_nobody_is_refused() {
        let inner = tower::service_fn(async |_: Request<Body>| Ok(Response::new(Body::empty())));
        let answer = Needs(Right::Read).layer(inner).call(Request::new(Body::empty())).await;
        assert_eq!(answer.unwrap().status(), 403);
    }

    #[test]
    fn only_the_own_user_and_root_are_let_in() {
        let access = Access::of(vec![1000, 0]);
        assert_eq!(access.rights_of(1000).len(), Right::ALL.len());
        assert_eq!(access.rights_of(0).len(), Right::ALL.len());
        assert!(access.rights_of(1001).is_empty());
    }
}
