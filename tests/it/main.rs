//! The integration tests, one binary.
#![allow(clippy::unwrap_used)] // helpers of tests are tests too

mod engine;
mod store;
