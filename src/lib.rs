//! Attendant: a daemon with a persistent job queue. (Architecture page comes with the engine.)

pub mod clock;
pub mod diagnostic;
pub mod policy;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod store;
pub mod types;
