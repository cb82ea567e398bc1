//! Every rule of the daemon as pure functions of plain values: no tokio, no database, no HTTP,
//! no clock. `now` is an argument, and so is chance: a `jitter` is a number from `[0, 1)`.
//!
//! A request's way through here: [`classify`] says what its end means, [`settle`] what that does
//! to the job; [`gate`] and [`budget`] say whether the next one may go, [`backoff`], [`cadence`]
//! and [`renewal`] when. [`rotation`] says how one credential follows another, [`sink`] when a value
//! goes into another program's file, [`expiring`] when people are told that a
//! secret ends. [`schedule`] says when jobs of schedules come, [`retention`] when ended ones go.

pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod cadence;
pub mod classify;
pub mod codes;
pub mod doubt;
pub mod expiring;
pub mod gate;
pub mod gated;
pub mod limit;
pub mod lockout;
pub mod outage;
pub mod renewal;
pub mod retention;
pub mod retry_after;
pub mod rotation;
pub mod schedule;
pub mod settle;
pub mod sink;

use std::time::Duration;

/// The point that `jitter` picks between two durations. A jitter that is no number from `[0, 1]`
/// is bent into it, so that a caller's mistake cannot panic or reach past the bounds.
fn between(low: Duration, high: Duration, jitter: f64) -> Duration {
    let jitter = if jitter.is_nan() { 0.5 } else { jitter.clamp(0.0, 1.0) };
    // `mul_f64` panics where it overflows and rounds large values up: both are kept out.
    let spread = high.saturating_sub(low).min(Duration::from_millis(u64::MAX));
    low.saturating_add(spread.mul_f64(jitter).min(spread))
}
