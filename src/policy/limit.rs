//! A request limit such as `240/1m`: so many requests in any rolling window of that length.

use std::{fmt, str::FromStr, time::Duration};

/// At most `count` requests in any window of length `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    pub count: u32,
    pub window: Duration,
}

/// Why a text is not a limit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a limit: write requests per window, such as \"240/1m\" or \"14400/24h\"")]
pub struct LimitError(String);

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let wrong = || LimitError(text.to_owned());
        let (count, window) = text.split_once('/').ok_or_else(wrong)?;
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        let window = humantime::parse_duration(window.trim()).map_err(|_| wrong())?;
        if count == 0 || window < Duration::from_secs(1) {
            return Err(wrong());
        }
        Ok(Self { count, window })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.count)?;
        let seconds = self.window.as_secs();
        // As people write them: humantime makes `1day` of 24h, and reads either.
        match (seconds, self.window.subsec_nanos()) {
            (_, 1..) => write!(f, "{}", humantime::format_duration(self.window)),
            (s, 0) if s % 3600 == 0 => write!(f, "{}h", s / 3600),
            (s, 0) if s % 60 == 0 => write!(f, "{}m", s / 60),
            (s, 0) => write!(f, "{s}s"),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Limit {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Limit {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_contract_writes() {
        let limit: Limit = "14400/24h".parse().unwrap();
        assert_eq!((limit.count, limit.window), (14400, Duration::from_hours(24)));
    }

    #[test]
    fn is_shown_as_it_was_written() {
        for text in ["240/1m", "14400/24h", "100/168h", "5/90m", "10/30s", "1/1s 500ms"] {
            let limit: Limit = text.parse().unwrap();
            assert_eq!(limit.to_string(), text);
        }
        assert_eq!("14400/1day".parse::<Limit>().unwrap().to_string(), "14400/24h");
    }

    #[test]
    fn refuses_what_has_no_meaning() {
        for text in ["", "240", "240/", "/1m", "0/1m", "-1/1m", "240/0s", "many/1m"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }
}
