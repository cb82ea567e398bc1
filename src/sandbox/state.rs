//! What every simulated provider keeps: its tokens, its counters, the requests it was sent.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::faults::{Fault, FaultKind, Faults};
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
    pub tokens_issued: u64,
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

/// How a presented token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenState {
    Valid,
    Expired,
    Unknown,
}

/// A sandbox's memory.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    rate_limit: Option<RateLimit>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Expiry on the clock that does not step.
    tokens: HashMap<String, i64>,
    counters: Counters,
    recorded: VecDeque<Recorded>,
    next_number: u64,
    faults: Faults,
    /// When the API was asked lately, oldest first, for the rate limit.
    asked: VecDeque<i64>,
}

impl Shared {
    pub(super) fn new(clock: Clock, rate_limit: Option<RateLimit>) -> Self {
        Self { clock, rate_limit, inner: Mutex::default() }
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

    pub(super) fn issue_token(&self, life: Duration) -> String {
        let token = format!("sandbox-{}", random_uuid().simple());
        let expiry = self.clock.now().boot_ms.saturating_add(millis(life));
        let mut inner = self.inner();
        inner.tokens.insert(token.clone(), expiry);
        inner.counters.tokens_issued += 1;
        token
    }

    pub(super) fn token_state(&self, token: &str) -> TokenState {
        let now = self.clock.now().boot_ms;
        match self.inner().tokens.get(token) {
            None => TokenState::Unknown,
            Some(expiry) if *expiry <= now => TokenState::Expired,
            Some(_) => TokenState::Valid,
        }
    }

    pub(super) fn revoke_tokens(&self) {
        self.inner().tokens.clear();
    }

    /// Counts a request to the API, or tells how long to wait until one is allowed again.
    pub(super) fn throttle(&self) -> Result<(), Duration> {
        let Some(limit) = self.rate_limit else { return Ok(()) };
        let now = self.clock.now().boot_ms;
        let window = millis(limit.window);
        let mut inner = self.inner();
        while inner.asked.front().is_some_and(|at| at.saturating_add(window) <= now) {
            inner.asked.pop_front();
        }
        if inner.asked.len() < limit.requests {
            inner.asked.push_back(now);
            return Ok(());
        }
        inner.counters.throttled += 1;
        let wait = inner.asked.front().map_or(window, |at| at + window - now);
        Err(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
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
        self.inner().counters.clone()
    }

    pub(super) fn requests(&self) -> Vec<Recorded> {
        self.inner().recorded.iter().cloned().collect()
    }
}

/// A version 4 UUID, as the providers hand out.
pub(super) fn random_uuid() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}
