//! Named points at which a test can have this very process killed, to see what a restart makes of
//! it, or an attempt panic, or a part hang. Without the cargo feature `crash-points` they are nothing at all.

/// Kills the process with SIGKILL if `$ATTENDANT_CRASH_AT` names this point, and panics if
/// `$ATTENDANT_PANIC_AT` does.
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
    let panics = std::env::var("ATTENDANT_PANIC_AT").is_ok_and(|at| at == name);
    assert!(!panics, "asked to");
}

#[cfg(not(feature = "crash-points"))]
#[inline]
pub const fn point(_: &str) {}

/// Hangs for good where the file that `$ATTENDANT_HANG_AT` names has this part's name and this
/// process's number in it, such as `dispatcher 4711`: not the process that comes after it.
#[cfg(feature = "crash-points")]
pub async fn hang(part: &str) {
    let Some(file) = std::env::var_os("ATTENDANT_HANG_AT") else { return };
    let this = format!("{part} {}", std::process::id());
    if std::fs::read_to_string(file).is_ok_and(|text| text.trim() == this) {
        std::future::pending().await
    }
}

#[cfg(not(feature = "crash-points"))]
#[inline]
#[allow(clippy::unused_async)] // as the other
pub async fn hang(_: &str) {}
