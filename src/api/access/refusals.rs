//! Refusals in the log: the first of somebody at once, then one line a minute at most.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    clock::Clock,
    telemetry::events::{Event, Name, emit},
    types::Timestamp,
};

const QUIET: Duration = Duration::from_mins(1);
/// So many are remembered. Beyond that all are forgotten: whoever has as many names to come with
/// gets a line for each.
const MOST: usize = 1024;

/// Who was refused lately.
#[derive(Debug)]
pub struct Refusals {
    clock: Clock,
    seen: Mutex<HashMap<String, Seen>>,
}

#[derive(Debug)]
struct Seen {
    told: Timestamp,
    silent: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self::new(Clock::System)
    }
}

impl Refusals {
    pub fn new(clock: Clock) -> Self {
        Self { clock, seen: Mutex::default() }
    }

    /// Tells that somebody was kept out, unless that was told just now.
    pub fn tell(&self, who: &str, what: &str) {
        let Some(silent) = self.count(who, self.clock.wall()) else { return };
        let more = format!("{what} (and {silent} other refusals since the last line)");
        let detail = if silent == 0 { what } else { &more };
        let event = Event { actor: Some(who), detail: Some(detail), ..Event::default() };
        emit(Name::AccessRefused, &event);
    }

    /// How many were not told since the last one; `None` where this one is not told either.
    fn count(&self, who: &str, now: Timestamp) -> Option<u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST && !seen.contains_key(who) {
            seen.clear();
        }
        match seen.get_mut(who) {
            // A clock that was set back must not silence anybody.
            Some(one) if now >= one.told && now.since(one.told) < QUIET => {
                one.silent += 1;
                None
            }
            Some(one) => {
                let silent = std::mem::take(&mut one.silent);
                one.told = now;
                Some(silent)
            }
            None => {
                seen.insert(who.to_owned(), Seen { told: now, silent: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_then_one_a_minute() {
        let refusals = Refusals::default();
        let at = |seconds: i64| Timestamp(1_000_000 + seconds * 1_000);
        assert_eq!(refusals.count("mallory", at(0)), Some(0));
        assert_eq!(refusals.count("mallory", at(1)), None);
        assert_eq!(refusals.count("mallory", at(59)), None);
        assert_eq!(refusals.count("eve", at(59)), Some(0));
        assert_eq!(refusals.count("mallory", at(60)), Some(2));
        assert_eq!(refusals.count("mallory", at(61)), None);
        // The clock is set back.
        assert_eq!(refusals.count("mallory", at(-100)), Some(1));
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let refusals = Refusals::default();
        for n in 0..MOST + 10 {
            refusals.count(&n.to_string(), Timestamp(1));
        }
        assert!(refusals.seen.lock().unwrap().len() <= MOST);
    }
}
