//! Named points at which a test can have this very process killed, to see what a restart makes of
//! it. Without the cargo feature `crash-points` they are nothing at all.

/// Kills the process with SIGKILL if `$ATTENDANT_CRASH_AT` names this point.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    if std::env::var("ATTENDANT_CRASH_AT").is_ok_and(|at| at == name) {
        // Nothing is flushed, closed or told, as when the power goes.
        let _ = kill(Pid::this(), Signal::SIGKILL);
    }
}

#[cfg(not(feature = "crash-points"))]
#[inline]
pub const fn point(_: &str) {}
