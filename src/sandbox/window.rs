//! A rolling window of requests.

use std::{collections::VecDeque, time::Duration};

use super::state::RateLimit;
use crate::types::millis;

#[derive(Debug)]
pub(super) struct Window {
    limit: RateLimit,
    /// When it was asked lately, oldest first.
    asked: VecDeque<i64>,
}

impl Window {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, asked: VecDeque::new() }
    }

    /// Counts a request, or tells how long to wait until one is allowed again.
    pub(super) fn admit(&mut self, now: i64) -> Result<(), Duration> {
        let window = millis(self.limit.window);
        while self.asked.front().is_some_and(|at| at.saturating_add(window) <= now) {
            self.asked.pop_front();
        }
        if self.asked.len() < self.limit.requests {
            self.asked.push_back(now);
            return Ok(());
        }
        let wait = self.asked.front().map_or(window, |at| at + window - now);
        Err(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
    }
}
