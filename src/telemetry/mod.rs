//! What operators read: log events, later metrics, and systemd's status.

pub mod events;
pub mod logging;
pub mod notify;
