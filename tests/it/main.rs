//! The integration tests, one binary.
#![allow(clippy::unwrap_used)] // helpers of tests are tests too

#[cfg(feature = "crash-points")]
mod crash;
mod engine;
mod store;
mod support;
