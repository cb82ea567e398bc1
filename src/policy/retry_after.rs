//! How long a provider asks us to stay away: the `Retry-After` field of RFC 9110, 10.2.3.

use std::time::Duration;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::types::Timestamp;

/// What a provider asks for is believed within these bounds: a wait of nothing would be a busy
/// loop, and one of days is more likely a mistake (or an attack) than a wish.
pub const BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(6));

/// A wait asked for by the provider, between 1 s and 6 h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RetryAfter(Duration);

impl RetryAfter {
    #[must_use]
    pub fn new(wait: Duration) -> Self {
        Self(wait.clamp(BOUNDS.0, BOUNDS.1))
    }

    /// From a number of seconds, such as a definition's expression takes from a body. `None`
    /// where it is negative or no number.
    #[must_use]
    pub fn from_secs(seconds: f64) -> Option<Self> {
        (seconds >= 0.0).then(|| Self::new(Duration::from_secs_f64(seconds.min(1e9))))
    }

    /// From the header: seconds (decimals are tolerated) or an HTTP date. A date is measured from
    /// the answer's own `Date` where there is one, so that a wrong clock on either side does not
    /// matter, else from `now`. Anything else is `None`.
    #[must_use]
    pub fn parse(text: &str, now: Timestamp, date: Option<&str>) -> Option<Self> {
        let text = text.trim();
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
            return if plain { Self::from_secs(text.parse().ok()?) } else { None };
        }
        let until = http_date(text, now)?;
        let from = date.and_then(|date| http_date(date, now)).unwrap_or(now);
        Some(Self::new(until.since(from)))
    }

    #[must_use]
    pub const fn wait(self) -> Duration {
        self.0
    }
}

/// Reads an HTTP date (RFC 9110, 5.6.7) in any of its three forms; the weekday is not checked.
/// A year of two digits is the one nearest to `now` that is at most 50 years ahead.
#[must_use]
pub fn http_date(text: &str, now: Timestamp) -> Option<Timestamp> {
    let words: Vec<&str> = text.split([' ', ',', '-']).filter(|word| !word.is_empty()).collect();
    let ([_, day, month, year, time, "GMT" | "UTC"] | [_, month, day, time, year]) = words[..]
    else {
        return None;
    };
    let date = NaiveDate::from_ymd_opt(full_year(year, now)?, month_number(month)?, digits(day)?)?;
    let [hour, minute, second] = time.split(':').map(digits).collect::<Option<Vec<_>>>()?[..]
    else {
        return None;
    };
    // A leap second is taken as the one before it.
    let second = if second == 60 { 59 } else { second };
    Some(Timestamp(date.and_hms_opt(hour, minute, second)?.and_utc().timestamp_millis()))
}

fn digits(text: &str) -> Option<u32> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn month_number(text: &str) -> Option<u32> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    (1..).zip(MONTHS).find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(number, _)| number)
}

fn full_year(text: &str, now: Timestamp) -> Option<i32> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let year: i32 = text.parse().ok()?;
    match text.len() {
        4 => Some(year),
        2 => {
            const MS_PER_YEAR: i64 = 31_556_952_000;
            let this = 1970 + i32::try_from(now.0.div_euclid(MS_PER_YEAR)).ok()?;
            let year = this.checked_sub(this.rem_euclid(100))?.checked_add(year)?;
            Some(if year > this.checked_add(50)? { year - 100 } else { year })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1994-11-06T08:49:37Z, the example of RFC 9110.
    const THEN: Timestamp = Timestamp(784_111_777_000);

    #[test]
    fn all_three_forms_of_a_date() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(http_date(text, THEN), Some(THEN), "{text}");
        }
    }

    #[test]
    fn two_digit_years_look_back_past_fifty_years() {
        let now: Timestamp = "2026-07-01T00:00:00Z".parse().unwrap();
        for (short, full) in [("26", "2026"), ("76", "2076"), ("77", "1977"), ("99", "1999")] {
            assert_eq!(
                http_date(&format!("Monday, 01-Jun-{short} 00:00:00 GMT"), now),
                Some(format!("{full}-06-01T00:00:00Z").parse().unwrap())
            );
        }
    }

    #[test]
    fn what_headers_say() {
        let date = Some("Sun, 06 Nov 1994 08:49:00 GMT");
        let table = [
            ("120", None, Some(120.0)),
            (" 7 ", None, Some(7.0)),
            ("1.5", None, Some(1.5)),
            ("0", None, Some(1.0)),
            ("86400", None, Some(21_600.0)),
            ("99999999999999999999999999", None, Some(21_600.0)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", None, Some(120.0)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", date, Some(157.0)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some("junk"), Some(120.0)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", None, Some(1.0)),
            ("Sun, 06 Nov 1994 23:59:60 GMT", None, Some(21_600.0)),
            ("-5", None, None),
            ("1.2.3", None, None),
            ("1e3", None, None),
            ("", None, None),
            ("soon", None, None),
            ("Sun, 31 Feb 1994 08:49:37 GMT", None, None),
            ("Sun, 06 Nov 1994 08:49:37 PST", None, None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None, None),
        ];
        for (text, date, expected) in table {
            let got = RetryAfter::parse(text, THEN, date).map(|after| after.wait().as_secs_f64());
            assert_eq!(got, expected, "{text:?}");
        }
    }

    #[test]
    fn seconds_from_a_body() {
        for (seconds, expected) in [(f64::INFINITY, Some(BOUNDS.1)), (2.0, Some(2 * BOUNDS.0))] {
            assert_eq!(RetryAfter::from_secs(seconds).map(RetryAfter::wait), expected);
        }
        assert_eq!(RetryAfter::from_secs(f64::NAN), None);
        assert_eq!(RetryAfter::from_secs(-1.0), None);
    }

    proptest! {
        #[test]
        fn no_text_panics_or_leaves_the_bounds(text: String, date: Option<String>, now: i64) {
            let after = RetryAfter::parse(&text, Timestamp(now), date.as_deref());
            prop_assert!(after.is_none_or(|a| (BOUNDS.0..=BOUNDS.1).contains(&a.wait())));
        }

        #[test]
        fn nor_one_that_looks_like_a_date(
            text in "[A-Z][a-z]{2},? [0-9]{1,3}[ -][A-Z][a-z]{2}[ -][0-9]{1,5} [0-9:]{1,9} GMT",
            now: i64,
        ) {
            let _ = RetryAfter::parse(&text, Timestamp(now), Some(&text));
        }
    }
}
