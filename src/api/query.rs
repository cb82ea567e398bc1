//! Query parameters: each known, each once, each with its meaning; every problem at once.

use std::{str::FromStr, time::Duration};

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;

use super::problem::{Kind, Problem};
use crate::{definition::FieldProblem, types::Timestamp};

/// The parameters of one request.
#[derive(Debug)]
pub struct Params {
    pairs: Vec<(String, String)>,
    problems: Vec<FieldProblem>,
}

/// The parameters as they came, not yet checked.
#[derive(Debug, Default)]
pub struct Raw(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Raw {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_none_or(str::is_empty) {
            return Ok(Self(vec![]));
        }
        Query::try_from_uri(&parts.uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|error| Problem::new(Kind::Malformed, error.body_text()))
    }
}

/// For routes that take no parameters.
#[derive(Debug)]
pub struct NoParams;

impl<S: Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Raw::from_request_parts(parts, state).await?.only(&[]).done().map(|()| Self)
    }
}

impl Raw {
    /// Lets only these names pass, each at most once.
    #[must_use]
    pub fn only(self, allowed: &[&str]) -> Params {
        let mut problems = vec![];
        let mut problem = |field: &str, message: String| {
            problems.push(FieldProblem { field: field.to_owned(), message });
        };
        for (n, (name, _)) in self.0.iter().enumerate() {
            if !allowed.contains(&name.as_str()) {
                problem(name, unknown(allowed));
            } else if self.0[..n].iter().any(|(other, _)| other == name) {
                problem(name, "is given twice".to_owned());
            }
        }
        Params { pairs: self.0, problems }
    }
}

fn unknown(allowed: &[&str]) -> String {
    match allowed {
        [] => "is not a parameter: this route takes none".to_owned(),
        allowed => format!("is not a parameter; allowed: {}", allowed.join(", ")),
    }
}

impl Params {
    /// A parameter with its meaning; `None` where it is not given or not right.
    pub fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (_, text) = self.pairs.iter().find(|(other, _)| other == name)?;
        match read(text) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problems.push(FieldProblem { field: name.to_owned(), message });
                None
            }
        }
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        self.take(name, |text| {
            if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text.to_owned()) }
        })
    }

    pub fn done(self) -> Result<(), Problem> {
        if self.problems.is_empty() { Ok(()) } else { Err(Problem::invalid(self.problems)) }
    }
}

/// A humantime duration of at most `most`.
pub fn duration(text: &str, most: Duration) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a duration: write 30s, 5m or 12h"))?;
    if duration > most {
        return Err(format!("may be at most {}", humantime::format_duration(most)));
    }
    Ok(duration)
}

/// A time, or a duration that means "that long ago".
pub fn since(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(duration) = humantime::parse_duration(text) {
        return Ok(now.minus(duration));
    }
    Timestamp::from_str(text).map_err(|_| {
        format!("`{text}` is neither a time (2026-12-31T23:59:59Z) nor a duration (12h)")
    })
}

/// How many items a list may have.
pub fn limit(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(limit @ 1..=1000) => Ok(limit),
        _ => Err(format!("must be a whole number from 1 to 1000, not `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(pairs: &[(&str, &str)]) -> Raw {
        Raw(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn unknown_repeated_and_wrong_ones_are_told_together() {
        let mut params = raw(&[("limit", "0"), ("x", "1"), ("state", "a"), ("state", "b")])
            .only(&["limit", "state"]);
        assert_eq!(params.take("limit", limit), None);
        let problem = params.done().unwrap_err();
        let body: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(
            body["errors"],
            serde_json::json!([
                {"field": "x", "message": "is not a parameter; allowed: limit, state"},
                {"field": "state", "message": "is given twice"},
                {"field": "limit",
                 "message": "must be a whole number from 1 to 1000, not `0`"},
            ])
        );
    }

    #[test]
    fn a_duration_ago_or_a_time() {
        let now = Timestamp(10_000_000);
        assert_eq!(since("1h", now), Ok(Timestamp(6_400_000)));
        assert_eq!(since("1970-01-01T00:00:01Z", now), Ok(Timestamp(1_000)));
        assert!(since("yesterday", now).is_err());
    }

    #[test]
    fn durations_have_a_limit() {
        let hour = Duration::from_hours(1);
        assert_eq!(duration("90s", hour), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0s", hour), Ok(Duration::ZERO));
        assert_eq!(duration("2h", hour), Err("may be at most 1h".to_owned()));
        assert!(duration("5", hour).is_err());
        assert!(duration("-1s", hour).is_err());
    }

    #[test]
    fn limits() {
        assert_eq!(limit("1000"), Ok(1000));
        for text in ["0", "1001", "-1", "ten", "", "1.5"] {
            assert!(limit(text).is_err(), "{text}");
        }
    }
}
