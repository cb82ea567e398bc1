//! The tokens that a provider has handed out, and how they stand.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Lets its bearer use the API.
    Access,
    /// Brings access tokens.
    Refresh,
    /// Lets a device join an account.
    Certificate,
}

/// How a presented token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenState {
    Valid,
    Expired,
    Unknown,
}

/// How many tokens of a sort there were, and how many of them are valid now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Issued {
    pub total: u64,
    pub alive: u64,
}

#[derive(Debug)]
struct Token {
    sort: Sort,
    /// Whose it is: a user, a client, an account.
    subject: String,
    /// On the clock that does not step.
    expiry: i64,
}

#[derive(Debug, Default)]
pub(super) struct Tokens {
    known: HashMap<String, Token>,
    total: BTreeMap<Sort, u64>,
    /// All that ever were, those that are forgotten too.
    ever: Vec<String>,
}

impl Tokens {
    /// A token that was there before, or has been made elsewhere.
    pub(super) fn keep(&mut self, token: &str, sort: Sort, subject: &str, expiry: i64) {
        let kept = Token { sort, subject: subject.to_owned(), expiry };
        self.known.insert(token.to_owned(), kept);
        self.ever.push(token.to_owned());
    }

    pub(super) fn ever(&self) -> &[String] {
        &self.ever
    }

    pub(super) fn count(&mut self, sort: Sort) {
        *self.total.entry(sort).or_default() += 1;
    }

    pub(super) fn state(&self, token: &str, sort: Sort, now: i64) -> TokenState {
        match self.known.get(token).filter(|token| token.sort == sort) {
            None => TokenState::Unknown,
            Some(token) if token.expiry <= now => TokenState::Expired,
            Some(_) => TokenState::Valid,
        }
    }

    /// Whose a valid token is.
    pub(super) fn subject(&self, token: &str, sort: Sort, now: i64) -> Option<String> {
        let token = self.known.get(token).filter(|token| token.sort == sort)?;
        (token.expiry > now).then(|| token.subject.clone())
    }

    pub(super) fn forget(&mut self, token: &str) -> bool {
        self.known.remove(token).is_some()
    }

    /// The tokens of this subject live until then at most.
    pub(super) fn end_by(&mut self, subject: &str, expiry: i64) {
        for token in self.known.values_mut().filter(|token| token.subject == subject) {
            token.expiry = token.expiry.min(expiry);
        }
    }

    /// Forgets what lets anybody use the API; devices keep what they have.
    pub(super) fn revoke(&mut self) {
        self.known.retain(|_, token| token.sort == Sort::Certificate);
    }

    pub(super) fn issued(&self, now: i64) -> BTreeMap<Sort, Issued> {
        let alive = |sort: Sort| {
            let alive = self.known.values().filter(|one| one.sort == sort && one.expiry > now);
            u64::try_from(alive.count()).unwrap_or(u64::MAX)
        };
        let issued =
            |(sort, total): (&Sort, &u64)| (*sort, Issued { total: *total, alive: alive(*sort) });
        self.total.iter().map(issued).collect()
    }
}
