//! Attendant: a daemon with a persistent job queue. (Architecture page comes with the engine.)

pub mod clock;
pub mod config;
pub mod credentials;
pub mod diagnostic;
pub mod policy;
pub mod store;
pub mod types;
