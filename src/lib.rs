//! Attendant: a daemon with a persistent job queue that keeps credentials fresh, makes calls at
//! other companies' APIs, and follows work there until it is complete.
//!
//! # The way of a job
//! One direction, one transaction at each end:
//!
//! ```text
//! api or a parent's end → engine::enqueue → store.enqueue        (durable: the caller is answered)
//!   → engine::dispatcher → store.claim                           (lease, generation, budget permit)
//!   → engine::backend (apalis) → engine::attempt → engine::shapes
//!   → engine::sender → outbound                                  (intent first, where it must be)
//!   → policy::classify → policy::settle
//!   → engine::settling → store.settle                            (state, history, observation,
//!                                                                 children: one transaction)
//!   → telemetry::events                                          (one event a change)
//! ```
//!
//! # Who knows what
//! - [`definition`]: what providers are, read from `jobs/*.toml`. No other module names a provider.
//! - [`config`]: accounts and settings. [`engine::catalog`] joins the two.
//! - [`policy`]: every rule as a pure function; `now` and chance are arguments. [`clock`] alone reads
//!   a clock, and [`chance`] draws the jitter: a simulation brings both of its own.
//! - [`store`]: what must survive, behind a trait that speaks in batches. [`store::batch`] is group
//!   commit: what is pending becomes one transaction, and everyone is answered after it.
//! - [`credentials`]: values and who waits for them ([`credentials::cell`]), encryption at rest
//!   ([`credentials::seal`], [`credentials::vault`]). The store sees only sealed bytes. What is
//!   erased is cut out of the key itself, so that no backup brings it back ([`engine::erase`]).
//! - [`engine`]: claims, runs, settles. apalis runs the worker and is named in one file.
//! - [`outbound`]: the one place that sends.
//! - [`backup`]: everything in one file, and back. The one part beside [`daemon`] that opens a
//!   database itself: a restore, for which no daemon may run.
//! - [`api`] and [`cli`]: the way in and out; the commands are clients of the API.
//! - [`daemon`]: puts it together, and takes it apart in order.
//!
//! # What holds it together
//! - **Fencing.** A claim has a generation. Whatever an attempt writes carries it, and changes
//!   nothing once the job was claimed anew or taken back.
//! - **Intent.** A request that must not be repeated is preceded by a durable mark on its job. A
//!   job found running with that mark after a crash is dead with `outcome_unknown`, never queued.
//! - **Ahead.** Budget permits and leases are on disk before what they permit, so that a crash can
//!   waste some and never exceed.
//! - **One queue per account.** The dispatcher claims for all of them in one statement, each within
//!   its slots, budget and gate, so that a busy or broken account delays no other.

#[cfg(test)]
mod any_json;
pub mod api;
pub mod backup;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod config;
mod crash;
pub mod credentials;
pub mod daemon;
pub mod definition;
#[cfg(feature = "sandbox")]
pub mod demo;
pub mod diagnostic;
pub mod engine;
pub mod outbound;
pub mod policy;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod types;
