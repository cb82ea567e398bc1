//! Attendant: a daemon with a persistent job queue. (Architecture page comes with the engine.)

pub mod api;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod definition;
pub mod diagnostic;
pub mod engine;
pub mod outbound;
pub mod policy;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod types;
