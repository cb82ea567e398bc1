//! What systemd is told: ready, reloading, stopping, one line of status, and that the engine turns.
//!
//! Without systemd (no `$NOTIFY_SOCKET`) all of this is nothing at all. What to say is decided here
//! by pure functions; who says it when is in [`crate::daemon`].

use std::time::Duration;

use sd_notify::NotifyState;

use crate::engine::turns::Rounds;

/// A message that does not get through is not worth failing for: systemd has its own timeouts.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// Requests are answered.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read anew, until [`ready`]. systemd 253 wants to know since when.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(since) => tell(&[NotifyState::Reloading, since]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The daemon stops, which may take this long, whatever the unit's `TimeoutStopSec=` says.
pub fn stopping(at_most: Duration) {
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros(at_most))]);
}

/// The start goes on and takes a while: migrations of a large database, say.
pub fn starting(at_most: Duration) {
    tell(&[NotifyState::ExtendTimeoutUsec(micros(at_most))]);
}

/// For `systemctl status`.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// The watchdog is fed.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often systemd wants to be told that the daemon is alive; `None` where it does not ask.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|every| !every.is_zero())
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// Which part has not turned since the watchdog was last fed; `None` where all have, and it may be
/// fed again. While the daemon drains nothing is dispatched any more.
#[must_use]
pub const fn stalled(fed: &Rounds, now: &Rounds, draining: bool) -> Option<&'static str> {
    if now.dispatcher == fed.dispatcher && !draining {
        return Some("dispatcher");
    }
    if now.reaper == fed.reaper {
        return Some("reaper");
    }
    if now.writer == fed.writer {
        return Some("store's writer");
    }
    None
}

/// What matters now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub draining: bool,
    pub accounts: usize,
    pub running: usize,
    /// Due or to come, by the last count.
    pub waiting: i64,
    /// What is not as it should be, the gravest first.
    pub troubles: Vec<String>,
}

/// The longest line of status: the journal and `systemctl` cut long ones anyway.
const LONGEST: usize = 240;

/// The line of status: trouble first, for that is what matters.
#[must_use]
pub fn line(facts: &Facts) -> String {
    let work = format!(
        "{}, {} running, {} waiting",
        counted(facts.accounts, "account"),
        facts.running,
        facts.waiting
    );
    if facts.draining {
        return format!("stopping: {} to end", counted(facts.running, "running attempt"));
    }
    let text = match facts.troubles.as_slice() {
        [] => work,
        [one] => format!("{one} ({work})"),
        [first, rest @ ..] => format!("{first}; and {} more ({work})", rest.len()),
    };
    one_line(&text)
}

fn counted(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= LONGEST {
        return clean;
    }
    clean.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FED: Rounds = Rounds { dispatcher: 7, reaper: 3, writer: 5 };

    #[test]
    fn the_watchdog_is_fed_only_after_all_have_turned() {
        let all = Rounds { dispatcher: 8, reaper: 4, writer: 6 };
        assert_eq!(stalled(&FED, &all, false), None);
        for (now, part) in [
            (FED, "dispatcher"),
            (Rounds { dispatcher: 7, ..all }, "dispatcher"),
            (Rounds { reaper: 3, ..all }, "reaper"),
            (Rounds { writer: 5, ..all }, "store's writer"),
        ] {
            assert_eq!(stalled(&FED, &now, false), Some(part));
        }
        assert_eq!(stalled(&FED, &Rounds { dispatcher: 7, ..all }, true), None);
        assert_eq!(stalled(&FED, &Rounds { reaper: 3, ..all }, true), Some("reaper"));
    }

    #[test]
    fn trouble_comes_first_in_one_line() {
        let mut facts = Facts { accounts: 1, running: 2, waiting: 40, ..Facts::default() };
        assert_eq!(line(&facts), "1 account, 2 running, 40 waiting");
        facts.troubles.push("disk_full: no\nroom".to_owned());
        assert_eq!(line(&facts), "disk_full: no room (1 account, 2 running, 40 waiting)");
        facts.troubles.push("certn: breaker_open".to_owned());
        let both = "disk_full: no room; and 1 more (1 account, 2 running, 40 waiting)";
        assert_eq!(line(&facts), both);
        facts.troubles = vec!["x".repeat(1_000)];
        assert_eq!(line(&facts).chars().count(), LONGEST);
        facts.draining = true;
        assert_eq!(line(&facts), "stopping: 2 running attempts to end");
    }

    #[test]
    fn a_long_time_is_the_longest_that_can_be_told() {
        assert_eq!(micros(Duration::from_secs(1)), 1_000_000);
        assert_eq!(micros(Duration::from_hours(2)), u32::MAX);
    }
}
