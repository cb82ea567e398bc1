//! Times and durations as people read them, and as they write them in flags.

use std::time::Duration;

use crate::types::Timestamp;

/// The two largest units: `3d 4h`, `5m 10s`, `12s`.
pub(super) fn span(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = duration.as_secs();
    let first = UNITS.iter().position(|(size, _)| seconds >= *size).unwrap_or(UNITS.len() - 1);
    let (size, unit) = UNITS[first];
    let (count, rest) = (seconds / size, seconds % size);
    match UNITS.get(first + 1).map(|(size, unit)| (rest / size, unit)) {
        Some((more, lesser)) if more > 0 => format!("{count}{unit} {more}{lesser}"),
        _ => format!("{count}{unit}"),
    }
}

/// `in 5m`, `2h ago`, `now`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let (ahead, behind) = (at.since(now), now.since(at));
    if ahead.as_secs() > 0 {
        format!("in {}", span(ahead))
    } else if behind.as_secs() > 0 {
        format!("{} ago", span(behind))
    } else {
        "now".to_owned()
    }
}

/// `2026-12-31T23:59:59Z (in 5m)`.
pub(super) fn full(at: Timestamp, now: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
    format!("{seconds}Z ({})", relative(at, now))
}

/// [`relative`], or a dash.
pub(super) fn cell(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(|| "-".to_owned(), |at| relative(at, now))
}

/// A duration in a flag: humantime.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a duration: write it as 30s, 5m, 12h or 7d"))
}

/// A past time in a flag: an instant, or how long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    At(Timestamp),
    Ago(Duration),
}

impl Since {
    pub const fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.minus(ago),
        }
    }
}

pub(super) fn since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse() {
        return Ok(Since::At(at));
    }
    humantime::parse_duration(text).map(Since::Ago).map_err(|_| {
        format!("`{text}` is neither a duration (24h) nor a time (2026-12-31T23:59:59Z)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units() {
        let table = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (310, "5m 10s"),
            (3_600, "1h"),
            (86_400 + 7_200, "1d 2h"),
            (86_400 + 59, "1d"),
        ];
        for (seconds, text) in table {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let now = Timestamp(1_790_000_000_000);
        assert_eq!(relative(now.plus(Duration::from_mins(5)), now), "in 5m");
        assert_eq!(relative(now.minus(Duration::from_hours(2)), now), "2h ago");
        assert_eq!(relative(now.plus(Duration::from_millis(300)), now), "now");
        assert_eq!(full(now, now), "2026-09-21T14:13:20Z (now)");
    }

    #[test]
    fn flags_take_durations_and_times() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert!(duration("soon").is_err_and(|words| words.contains("30s, 5m")));
        assert_eq!(since("24h"), Ok(Since::Ago(Duration::from_hours(24))));
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(Since::At(Timestamp(1_000))));
        assert!(since("yesterday").is_err());
        assert_eq!(Since::Ago(Duration::from_secs(1)).at(Timestamp(3_000)), Timestamp(2_000));
    }
}
