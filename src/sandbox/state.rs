//! What every simulated provider keeps: its tokens, its counters, the requests it was sent.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::{
    faults::{Fault, FaultKind, Faults},
    tokens::{Issued, Sort, TokenState, Tokens},
    window::Window,
};
use crate::{
    clock::Clock,
    types::{Timestamp, millis},
};

/// A long-lived sandbox remembers no more requests than this.
const REMEMBERED: usize = 10_000;

/// Requests allowed in a rolling window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    pub requests: usize,
    pub window: Duration,
}

/// What a provider would find in its books.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Access tokens; those that were there from the start do not count.
    pub tokens_issued: u64,
    /// Tokens of every sort that was issued.
    pub issued: BTreeMap<Sort, Issued>,
    /// Devices that came with a valid token.
    pub devices_joined: u64,
    /// Devices that were turned away.
    pub devices_refused: u64,
    /// Orders billed, by the person they are for: more than one is a double order.
    pub orders: BTreeMap<String, u64>,
    /// The applicant's id of each person's last order, as the provider's portal would show it.
    pub applicants: BTreeMap<String, String>,
    /// How often each applicant was asked for.
    pub polls: BTreeMap<String, u64>,
    /// By method and route: `GET /api/v1/{industry}/applicants/{id}/`.
    pub requests: BTreeMap<String, u64>,
    /// Requests refused for the rate limit.
    pub throttled: u64,
}

/// One request as it arrived, and how it was answered.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub at: Timestamp,
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What was answered; `None` where no reply was sent, or none yet.
    pub status: Option<u16>,
    pub fault: Option<FaultKind>,
    pub(super) number: u64,
}

/// A sandbox's memory.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tokens: Tokens,
    counters: Counters,
    recorded: VecDeque<Recorded>,
    next_number: u64,
    faults: Faults,
    rate: Option<Window>,
}

impl Shared {
    pub(super) fn new(clock: Clock, rate_limit: Option<RateLimit>) -> Self {
        let inner = Inner { rate: rate_limit.map(Window::new), ..Inner::default() };
        Self { clock, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_fault(&self, fault: Fault) {
        self.inner().faults.add(fault);
    }

    pub(super) fn clear_faults(&self) {
        self.inner().faults.clear();
    }

    /// Writes the request down, with what is to go wrong with it; returns its number.
    pub(super) fn record(&self, mut request: Recorded, route: String) -> (u64, Option<FaultKind>) {
        let mut inner = self.inner();
        *inner.counters.requests.entry(route).or_default() += 1;
        let fault = inner.faults.next(&request.method, &request.path);
        let number = inner.next_number;
        inner.next_number += 1;
        request.number = number;
        request.fault.clone_from(&fault);
        if inner.recorded.len() == REMEMBERED {
            inner.recorded.pop_front();
        }
        inner.recorded.push_back(request);
        (number, fault)
    }

    pub(super) fn answered(&self, number: u64, status: u16) {
        let mut inner = self.inner();
        if let Some(request) = inner.recorded.iter_mut().rev().find(|r| r.number == number) {
            request.status = Some(status);
        }
    }

    /// On the clock that does not step.
    pub(super) fn now(&self) -> i64 {
        self.clock.now().boot_ms
    }

    /// Makes a token and remembers it.
    pub(super) fn issue(&self, sort: Sort, subject: &str, life: Duration) -> String {
        let token = format!("sandbox-{}", random_uuid().simple());
        self.issue_as(&token, sort, subject, life);
        token
    }

    /// Remembers a token that was just made.
    pub(super) fn issue_as(&self, token: &str, sort: Sort, subject: &str, life: Duration) {
        let expiry = self.now().saturating_add(millis(life));
        let mut inner = self.inner();
        inner.tokens.keep(token, sort, subject, expiry);
        inner.tokens.count(sort);
        inner.counters.tokens_issued += u64::from(sort == Sort::Access);
    }

    /// Remembers an access token that was there before, and never expires.
    pub(super) fn know(&self, token: &str, subject: &str) {
        self.inner().tokens.keep(token, Sort::Access, subject, i64::MAX);
    }

    pub(super) fn token_state(&self, sort: Sort, token: &str) -> TokenState {
        let now = self.now();
        self.inner().tokens.state(token, sort, now)
    }

    /// Whose a valid token is.
    pub(super) fn subject(&self, sort: Sort, token: &str) -> Option<String> {
        let now = self.now();
        self.inner().tokens.subject(token, sort, now)
    }

    /// Ends a token at once; whether there was one.
    pub(super) fn forget_token(&self, token: &str) -> bool {
        self.inner().tokens.forget(token)
    }

    /// Ends the tokens of a subject in that time at the latest.
    pub(super) fn end_tokens(&self, subject: &str, within: Duration) {
        let expiry = self.now().saturating_add(millis(within));
        self.inner().tokens.end_by(subject, expiry);
    }

    pub(super) fn tokens_ever(&self) -> Vec<String> {
        self.inner().tokens.ever().to_vec()
    }

    pub(super) fn revoke_tokens(&self) {
        self.inner().tokens.revoke();
    }

    /// Whether a device may join with this token: the account that it joins.
    pub(super) fn device(&self, token: &str) -> Option<String> {
        let account = self.subject(Sort::Certificate, token);
        let counters = &mut self.inner().counters;
        counters.devices_joined += u64::from(account.is_some());
        counters.devices_refused += u64::from(account.is_none());
        account
    }

    /// Counts a request to the API, or tells how long to wait until one is allowed again.
    pub(super) fn throttle(&self) -> Result<(), Duration> {
        let now = self.now();
        let mut inner = self.inner();
        let admitted = inner.rate.as_mut().map_or(Ok(()), |window| window.admit(now));
        inner.counters.throttled += u64::from(admitted.is_err());
        admitted
    }

    /// Counts a request that was refused for a limit of its own.
    pub(super) fn count_throttled(&self) {
        self.inner().counters.throttled += 1;
    }

    pub(super) fn count_order(&self, person: &str, applicant: &str) {
        let counters = &mut self.inner().counters;
        *counters.orders.entry(person.to_owned()).or_default() += 1;
        counters.applicants.insert(person.to_owned(), applicant.to_owned());
    }

    pub(super) fn count_poll(&self, applicant: &str) {
        *self.inner().counters.polls.entry(applicant.to_owned()).or_default() += 1;
    }

    pub(super) fn counters(&self) -> Counters {
        let now = self.now();
        let inner = self.inner();
        Counters { issued: inner.tokens.issued(now), ..inner.counters.clone() }
    }

    pub(super) fn requests(&self) -> Vec<Recorded> {
        self.inner().recorded.iter().cloned().collect()
    }
}

/// A version 4 UUID, as the providers hand out.
pub(super) fn random_uuid() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}
