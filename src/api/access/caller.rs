//! Somebody who asks.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{grants::Grants, refusals::Refusals};
use crate::{
    api::problem::{Kind, Problem},
    config::Right,
    store::{ActorId, JobRow, Store, StoreResult},
};

/// Somebody at the other end of a connection.
#[derive(Debug)]
pub struct Caller {
    /// The user's name, `uid 1234`, or `token NAME`: what events and pauses say.
    pub name: String,
    /// What a job that they make says of them.
    pub created_by: Value,
    pub grants: Grants,
    refusals: Arc<Refusals>,
    /// The number of `created_by` in the store: asked for once.
    actor: OnceCell<ActorId>,
}

impl Caller {
    pub(super) fn user(
        uid: u32,
        user: Option<String>,
        grants: Grants,
        refusals: Arc<Refusals>,
    ) -> Self {
        Self {
            created_by: json!({ "uid": uid, "user": user }),
            name: user.unwrap_or_else(|| format!("uid {uid}")),
            grants,
            refusals,
            actor: OnceCell::new(),
        }
    }

    pub(super) fn token(name: &str, grants: Grants, refusals: Arc<Refusals>) -> Self {
        Self {
            created_by: json!(name),
            name: format!("token {name}"),
            grants,
            refusals,
            actor: OnceCell::new(),
        }
    }

    #[cfg(test)]
    pub(in crate::api) fn with(grants: Grants) -> Self {
        Self::user(1, None, grants, Arc::default())
    }

    /// Whether they may do anything at all.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.grants.is_empty()
    }

    /// Whether a job may be shown to them.
    #[must_use]
    pub fn reads(&self, job: &JobRow) -> bool {
        self.grants.on_job(Right::Read, job)
    }

    /// What somebody without a right is told, and the log.
    pub fn refuse(&self, right: Right, on: &str) -> Problem {
        let words = format!("this needs the right `{right}`{on}, which `{}` lacks", self.name);
        self.refuse_with(&words)
    }

    pub fn refuse_with(&self, words: &str) -> Problem {
        self.refusals.tell(&self.name, words);
        Problem::new(Kind::Refused, words)
    }

    /// A right on some kind of an account. The name alone decides, so that the answer does not tell
    /// whether there is such an account.
    pub fn needs_in(&self, right: Right, account: &str) -> Result<(), Problem> {
        if self.grants.in_account(right, account) {
            return Ok(());
        }
        Err(self.refuse(right, &format!(" for the account `{account}`")))
    }

    /// A right on all kinds of an account.
    pub fn needs_account(&self, right: Right, account: &str) -> Result<(), Problem> {
        if self.grants.on_account(right, account) {
            return Ok(());
        }
        let limited = if self.grants.in_account(right, account) { "all kinds of " } else { "" };
        Err(self.refuse(right, &format!(" for {limited}the account `{account}`")))
    }

    pub fn needs_on(&self, right: Right, account: &str, kind: &str) -> Result<(), Problem> {
        if self.grants.on(right, account, kind) {
            return Ok(());
        }
        Err(self.refuse(right, &format!(" for {kind} with the account `{account}`")))
    }

    pub async fn actor(&self, store: &dyn Store) -> StoreResult<ActorId> {
        let ask = async || store.actor_id(&self.created_by.to_string()).await;
        self.actor.get_or_try_init(ask).await.copied()
    }
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
