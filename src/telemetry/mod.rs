//! What operators read: log events, metrics.

pub mod events;
pub mod journal;
pub mod lines;
pub mod logging;
pub mod metrics;

pub mod record;
