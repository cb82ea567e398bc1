//! Secrets whose end is near: told at the start and once a day, and to whoever asks.

use std::time::Duration;

use super::Engine;
use crate::{
    clock::Now,
    policy::expiring::{Ending, ending},
    telemetry::events::{Event, Name, emit},
    types::{Timestamp, millis},
};

/// It is told again after so long.
const AGAIN: Duration = Duration::from_hours(24);

/// A secret that ends soon or has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    pub account: String,
    pub secret: String,
    pub expires: Timestamp,
    pub ending: Ending,
}

impl Expiring {
    /// What it means and what to do.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "secret `{}` of account {} {} ({}): put a new one in its place, write its `expires`, \
             and restart",
            self.secret, self.account, self.ending, self.expires
        )
    }
}

/// When it was told last, on the clock that never steps.
#[derive(Debug, Default)]
pub struct Reminder {
    told_ms: Option<i64>,
}

impl Reminder {
    /// Whether it is time to tell.
    pub const fn is_due(&mut self, now: Now) -> bool {
        let due = match self.told_ms {
            Some(told) => now.boot_ms.saturating_sub(told) >= millis(AGAIN),
            None => true,
        };
        if due {
            self.told_ms = Some(now.boot_ms);
        }
        due
    }
}

impl Engine {
    /// By account and secret.
    #[must_use]
    pub fn expiring_secrets(&self, now: Timestamp) -> Vec<Expiring> {
        let catalog = self.catalog();
        let all = catalog.accounts.values().flat_map(|account| {
            account.expiries.iter().filter_map(|(secret, expires)| {
                Some(Expiring {
                    account: account.name.clone(),
                    secret: secret.clone(),
                    expires: *expires,
                    ending: ending(now, *expires)?,
                })
            })
        });
        all.collect()
    }

    pub(super) fn tell_expiring(&self, reminder: &mut Reminder) {
        let now = self.clock.now();
        if !reminder.is_due(now) {
            return;
        }
        for one in self.expiring_secrets(now.wall) {
            let words = one.words();
            emit(
                Name::SecretExpiring,
                &Event { account: Some(&one.account), detail: Some(&words), ..Event::default() },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_at_once_and_once_a_day() {
        let mut reminder = Reminder::default();
        let hours = [(0, true), (1, false), (23, false), (24, true), (47, false), (60, true)];
        for (hour, due) in hours {
            let now = Now { wall: Timestamp(0), boot_ms: 5_000 + hour * 3_600_000 };
            assert_eq!(reminder.is_due(now), due, "{hour}");
        }
    }
}
