//! Secrets that end at a time which their operator wrote down: when to warn of it.

use std::{fmt, time::Duration};

use crate::types::Timestamp;

const DAY: Duration = Duration::from_hours(24);
/// From so long before the end on it is warned of.
pub const AHEAD: Duration = Duration::from_hours(14 * 24);

/// How soon a secret ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In so many whole days; 0: in less than one.
    In(u64),
    Over,
}

/// `None` while that is far off.
#[must_use]
pub fn ending(now: Timestamp, expires: Timestamp) -> Option<Ending> {
    if expires <= now {
        return Some(Ending::Over);
    }
    let left = expires.since(now);
    (left <= AHEAD).then(|| Ending::In(left.as_secs() / DAY.as_secs()))
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(0) => f.write_str("expires within a day"),
            Self::In(1) => f.write_str("expires in 1 day"),
            Self::In(days) => write!(f, "expires in {days} days"),
            Self::Over => f.write_str("has expired"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fourteen_days_ahead_and_ever_after() {
        let end = Timestamp(100 * 86_400_000);
        let table = [
            (-14 * 86_400_000 - 1, None),
            (-14 * 86_400_000, Some("expires in 14 days")),
            (-14 * 86_400_000 + 1, Some("expires in 13 days")),
            (-86_400_000, Some("expires in 1 day")),
            (-86_400_000 + 1, Some("expires within a day")),
            (-1, Some("expires within a day")),
            (0, Some("has expired")),
            (i64::MAX - end.0, Some("has expired")),
        ];
        for (ms, words) in table {
            let told = ending(Timestamp(end.0 + ms), end).map(|ending| ending.to_string());
            assert_eq!(told.as_deref(), words, "{ms}");
        }
    }
}
