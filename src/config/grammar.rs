//! What the texts of a configuration may say. Messages never repeat a text that could be a secret.

use std::{fmt, path::Path, str::FromStr, time::Duration};

use chrono::NaiveDate;
use reqwest::Url;
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::de::DeValue;

use crate::types::Timestamp;

/// Defines a closed set of words: the enum, its words, how it is read and shown.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident: $what:literal { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|word| word.name() == text).ok_or_else(|| {
                    let words: Vec<_> = Self::ALL.iter().map(|word| word.name()).collect();
                    format!("`{text}` is not {}: write {}", $what, words.join(", "))
                })
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(super) use words;

/// Anything that has a grammar of its own.
pub(super) fn parses<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|error| error.to_string())
}

/// A name of an account, budget, schedule, secret or parameter.
pub(super) fn name(text: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !text.is_empty() && text.bytes().all(good) {
        Ok(())
    } else {
        Err(format!("`{text}` is not a name: write lower-case letters, digits and _"))
    }
}

/// A kind, such as `certn.users`.
pub(super) fn kind(text: &str) -> Result<(), String> {
    match text.split_once('.') {
        Some((provider, job)) if name(provider).is_ok() && name(job).is_ok() => Ok(()),
        _ => Err(format!("`{text}` is not a kind: write provider.job, such as certn.users")),
    }
}

pub(super) fn nonempty(text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err("is empty".into()) } else { Ok(()) }
}

pub(super) fn path(text: &str) -> Result<(), String> {
    match text {
        "" => Err("is an empty path".into()),
        _ if text.contains('\0') => Err("a path has no NUL byte".into()),
        _ => Ok(()),
    }
}

/// The longest path that fits in `sockaddr_un` (108 bytes with its NUL; unix(7)).
pub(super) const SOCKET_PATH_MAX: usize = 107;

/// A systemd credential's name: one file name inside `$CREDENTIALS_DIRECTORY`.
pub(super) fn credential(text: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@:".contains(&byte);
    if matches!(text, "" | "." | "..") || !text.bytes().all(good) {
        return Err("is not a credential's name: write letters, digits, `.`, `_`, `-`".into());
    }
    Ok(())
}

/// The name of an environment variable.
pub(super) fn variable(text: &str) -> Result<(), String> {
    if text.is_empty() || text.contains(['=', '\0']) {
        return Err("is not the name of an environment variable".into());
    }
    Ok(())
}

pub(super) fn duration_from(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| {
        format!(
            "`{text}` is not a duration: write a number and its unit, such as \"45s\" or \"12h\""
        )
    })
}

pub(super) fn duration(text: &str) -> Result<(), String> {
    duration_from(text).map(drop)
}

pub(super) fn de_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    duration_from(&String::deserialize(from)?).map_err(D::Error::custom)
}

pub(super) fn de_duration_option<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Duration>, D::Error> {
    de_duration(from).map(Some)
}

/// A day (its first instant in UTC, the careful reading of "expires on") or an instant.
pub(super) fn instant_from(text: &str) -> Result<Timestamp, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(Timestamp(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()));
    }
    text.parse().map_err(|_| {
        format!("`{text}` is not a day or time: write 2026-12-31 or 2026-12-31T23:59:59Z")
    })
}

pub(super) fn instant(text: &str) -> Result<(), String> {
    instant_from(text).map(drop)
}

/// An absolute http or https URL that paths can be added to.
pub(super) fn base_url(text: &str) -> Result<(), String> {
    let url = Url::parse(text)
        .map_err(|error| format!("is not an absolute URL ({error}): write https://host"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme {}: write https://host", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password in it: give them as secrets".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or fragment: write only scheme, host and path".into());
    }
    Ok(())
}

/// File permissions in octal, owner-readable at least.
pub(super) fn mode_from(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is not a file mode: write octal digits, such as \"0640\"");
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mode = u32::from_str_radix(text, 8).map_err(|_| wrong())?;
    if octal && mode <= 0o777 { Ok(mode) } else { Err(wrong()) }
}

pub(super) fn mode(text: &str) -> Result<(), String> {
    mode_from(text).map(drop)
}

/// A SHA-256 in 64 hexadecimal digits. The text is not repeated: it may be the token itself.
pub(super) fn sha256_from(text: &str) -> Result<[u8; 32], String> {
    let wrong = "is not a SHA-256: write its 64 hexadecimal digits, never the token itself";
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong.into());
    }
    for (n, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).map_err(|_| wrong.to_owned())?;
    }
    Ok(digest)
}

pub(super) fn sha256(text: &str) -> Result<(), String> {
    sha256_from(text).map(drop)
}

/// Only the count of fields; the scheduler knows what they mean.
pub(super) fn cron(text: &str) -> Result<(), String> {
    match text.split_whitespace().count() {
        5 | 6 => Ok(()),
        1 if text.starts_with('@') => Ok(()),
        count => Err(format!("has {count} fields: write five, or six with the seconds first")),
    }
}

pub(super) fn log_filter(text: &str) -> Result<(), String> {
    tracing_subscriber::EnvFilter::builder()
        .parse(text)
        .map(drop)
        .map_err(|error| format!("is not a log filter: {error}; write one such as \"info\""))
}

/// The value of a TOML integer, where it fits in 64 bits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    value.as_integer().and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok())
}

/// The folder of a file; empty for a bare name.
pub(super) fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}
