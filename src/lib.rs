//! Attendant: a daemon with a persistent job queue. (Architecture page comes with the engine.)

pub mod clock;
pub mod definition;
pub mod diagnostic;
pub mod policy;
pub mod types;
