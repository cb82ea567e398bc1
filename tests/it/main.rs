//! The integration tests, one binary.
#![allow(clippy::unwrap_used)] // helpers of tests are tests too

mod backup;
mod bad_input;
mod canary;
mod chaos;
mod continuity;
#[cfg(feature = "crash-points")]
mod crash;
mod demo;
mod doubt;
mod engine;
mod faults;
mod hostile;
mod journal;
mod logins;
mod night;
mod oauth;
mod oidc;
mod outage;
mod providers;
mod reload;
mod rotation;
mod scantrust;
mod schedules;
mod sealing;
mod simulation;
mod sinks;
mod sinks_inside;
mod store;
mod strangers;
mod support;
#[cfg(feature = "crash-points")]
mod systemd;
