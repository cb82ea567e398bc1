//! Whole commands in process, against a small server on a real Unix socket.

mod acting;
mod asking;
mod daemonless;
mod enqueueing;
mod fake;
#[cfg(feature = "sandbox")]
mod simulated;
mod waiting;
