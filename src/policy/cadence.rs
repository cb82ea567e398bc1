//! How often a follow asks "done yet?".
//!
//! What is scarce is the provider's budget, and this is where it is shared out. A follow is polled
//! when its expected waiting since the last poll has reached a [`price`], the same for all follows
//! of a budget, which a slow controller moves so that the budget is just used. The expectation is
//! a [`model`] of when follows complete, by age, by status and by hour of the week, learned from
//! each poll. While nothing is learned all follows are equal, and so are their shares. A [`pace`]
//! keeps many that are overdue from going all at once.
//!
//! Clocks that step back are no trouble: ages are never negative, and what a poll costs is counted
//! in polls.

// What is counted here is estimates: a rounded one is as good.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
mod ages;
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub mod model;
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
pub mod pace;
mod packed;
pub mod price;
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
mod week;

use std::time::Duration;

use self::{
    model::{Model, Subject},
    price::Price,
};
use super::{between, limit::Limit};
use crate::types::Timestamp;

/// Polls together use about this share of the tightest limit. The rest is for calls, renewals, the
/// pages and repeats of polls, and for chance.
const SHARE: f64 = 0.8;
/// The share of a limit that follows must leave to others.
const FOLLOWS_END: f64 = 0.9;

/// The shortest time between two polls of one follow where nothing else is configured.
pub const MIN_INTERVAL: Duration = Duration::from_secs(15);

/// The first poll of a follow comes within this time (or its minimal interval, if shorter) where
/// the budget has room: what is followed may be complete soon.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// No follow waits longer than so many even shares, whatever is believed of it.
const MOST_SHARES: f64 = 20.0;

/// An even share longer than this is not improved upon: the follows are far too many.
const LONGEST_SHARE_S: f64 = 7.0 * 86_400.0;

/// What there is to know when a poll has been answered, or a follow begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PollState {
    pub subject: Subject,
    /// Live follows that share this one's budget, itself included.
    pub live_follows: u32,
    pub min_interval: Duration,
    /// How much of the tightest limit is used, by whomever: from 0 to 1.
    pub used: f64,
}

/// When to poll next: when the follow's expected waiting reaches the price, ±10 % by `jitter` so
/// that follows that began together drift apart; never more often than `min_interval`. Where the
/// budget allows that to all of them, that often. Moves the price.
pub fn next_poll(
    now: Timestamp,
    state: &PollState,
    model: &Model,
    price: &mut Price,
    limits: &[Limit],
    jitter: f64,
) -> Timestamp {
    let even = even_share(state.live_follows, limits);
    let wait = if even <= state.min_interval {
        state.min_interval
    } else {
        let even_s = even.as_secs_f64();
        let wait_s = if even_s > LONGEST_SHARE_S {
            even_s
        } else {
            let lambda = price.lambda(model.level(), even_s, scarcity(state.used));
            price::wait_s(model, &state.subject, now, lambda, MOST_SHARES * even_s)
        };
        let wait = Duration::from_secs_f64(wait_s).max(state.min_interval);
        let scarcity = scarcity(state.used);
        price.settle(wait.as_secs_f64(), even_s, f64::from(state.live_follows), scarcity);
        wait
    };
    // The minimal interval is a promise to the provider: jitter lengthens it only.
    let low = (wait / 10 * 9).max(state.min_interval);
    now.plus(between(low, wait.saturating_add(wait / 10), jitter))
}

/// When to poll for the first time what has just been ordered: soon where there is room, else
/// when it may have completed, like any other.
pub fn first_poll(
    now: Timestamp,
    state: &PollState,
    model: &Model,
    price: &mut Price,
    limits: &[Limit],
    jitter: f64,
) -> Timestamp {
    if even_share(state.live_follows, limits) > state.min_interval {
        return next_poll(now, state, model, price, limits, jitter);
    }
    now.plus(between(Duration::ZERO, FIRST_WITHIN.min(state.min_interval), jitter))
}

/// How scarce the budget is: 0 where no more is used than polls aim at, 1 where they may have none.
fn scarcity(used: f64) -> f64 {
    ((used - SHARE) / (FOLLOWS_END - SHARE)).clamp(0.0, 1.0)
}

/// The interval at which `follows` polls in turn use four fifths of the tightest limit; zero without
/// any limit, and a century at most.
#[must_use]
pub fn even_share(follows: u32, limits: &[Limit]) -> Duration {
    let seconds = rate(limits).map_or(0.0, |rate| f64::from(follows) / (rate * SHARE));
    Duration::from_secs_f64(seconds.min(3_200_000_000.0))
}

/// Requests per second that the tightest limit allows in the long run.
fn rate(limits: &[Limit]) -> Option<f64> {
    let rate = |limit: &Limit| f64::from(limit.count) / limit.window.as_secs_f64().max(0.001);
    limits.iter().map(rate).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests;
