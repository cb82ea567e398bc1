//! What operators read: log events, metrics, and systemd's status.

pub mod events;
pub mod journal;
pub mod lines;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod record;
