//! What the integration tests share.
#![allow(clippy::unwrap_used, reason = "clippy sees no test in the helpers of tests")]

pub mod oauth;
