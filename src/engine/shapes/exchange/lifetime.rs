//! How long an obtained value lives, by its definition's rules.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::{
    definition::{Expr, Lifetime, Vars},
    policy::renewal,
    types::Timestamp,
};

/// When a value expires, and whether that was told as a duration. The first rule that yields an
/// expiry counts.
pub(in crate::engine) fn expiry(
    value: &SecretString,
    sent_at: Timestamp,
    lifetime: &Lifetime,
    vars: &Vars,
) -> (Option<Timestamp>, bool) {
    let eval = |expr: &Option<Expr>| expr.as_ref().and_then(|expr| expr.eval(vars).ok());
    let seconds = eval(&lifetime.expires_in).and_then(|value| number(&value));
    let at = eval(&lifetime.expires_at).and_then(|value| time(&value));
    let rules: BTreeMap<u8, Option<renewal::Lifetime<'_>>> = BTreeMap::from([
        (0, seconds.map(renewal::Lifetime::ExpiresIn)),
        (1, at.map(renewal::Lifetime::At)),
        (2, lifetime.jwt_exp.then(|| renewal::Lifetime::JwtExp(value.expose_secret()))),
        (3, lifetime.ttl.map(renewal::Lifetime::Ttl)),
    ]);
    let told = rules.into_values().flatten().find_map(|rule| {
        let relative = matches!(rule, renewal::Lifetime::ExpiresIn(_) | renewal::Lifetime::Ttl(_));
        Some((renewal::expiry(sent_at, rule)?, relative))
    });
    (told.map(|(at, _)| at), told.is_none_or(|(_, relative)| relative))
}

/// RFC 3339, or seconds since the epoch.
pub(in crate::engine) fn time(value: &Value) -> Option<Timestamp> {
    let written = value.as_str().and_then(|text| text.parse().ok());
    written.or_else(|| number(value).and_then(from_epoch))
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[allow(clippy::cast_possible_truncation)] // `as` saturates
fn from_epoch(seconds: f64) -> Option<Timestamp> {
    (seconds > 0.0).then_some(Timestamp((seconds * 1_000.0) as i64))
}
