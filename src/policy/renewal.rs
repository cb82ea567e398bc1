//! When a credential expires, when it is renewed, and while when it may be handed out.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::between;
use crate::types::Timestamp;

/// What a provider or a definition tells of how long a credential lives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lifetime<'a> {
    /// `expires_in` of RFC 6749, 5.1: seconds from the answer; counted from the sending, which
    /// came earlier. Zero, less, or no number says nothing.
    ExpiresIn(f64),
    /// A time that the provider names.
    At(Timestamp),
    /// The `exp` claim of a JWT (RFC 7519, 4.1.4); the signature is not ours to check.
    JwtExp(&'a str),
    /// A life that the definition gives where the provider tells none.
    Ttl(Duration),
    /// Kept until a 401 says that it has expired.
    Unknown,
}

/// When a credential that was asked for at `sent_at` expires; `None` where nothing tells.
#[must_use]
pub fn expiry(sent_at: Timestamp, lifetime: Lifetime<'_>) -> Option<Timestamp> {
    match lifetime {
        // 1e10 s are 300 years.
        Lifetime::ExpiresIn(seconds) => {
            (seconds > 0.0).then(|| sent_at.plus(Duration::from_secs_f64(seconds.min(1e10))))
        }
        Lifetime::At(at) => Some(at),
        Lifetime::JwtExp(token) => jwt_exp(token).map(|exp| Timestamp(exp.saturating_mul(1_000))),
        Lifetime::Ttl(ttl) => Some(sent_at.plus(ttl)),
        Lifetime::Unknown => None,
    }
}

/// The `exp` claim of a JWT, in seconds since the epoch, rounded down; `None` where the text is
/// no JWT or has none. The signature is not checked: the provider does that.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // `as` saturates, and fractions are to be cut
pub fn jwt_exp(token: &str) -> Option<i64> {
    let mut parts = token.trim().split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let exp = claims.get("exp")?;
    exp.as_i64().or_else(|| exp.as_f64().map(|exp| exp.floor() as i64)).filter(|exp| *exp > 0)
}

/// A credential's time from the sending of the request for it to its expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    pub sent_at: Timestamp,
    pub expires_at: Timestamp,
}

impl Life {
    /// Zero where it had expired before it was asked for (a clock is wrong, or it was no use).
    #[must_use]
    pub fn length(self) -> Duration {
        self.expires_at.since(self.sent_at)
    }

    /// When to renew: jittered around two thirds of the life (0.62 to 0.70), so that a third is
    /// left for tries that fail. One that came expired is asked for again after half a minute
    /// and not at once.
    #[must_use]
    pub fn renew_at(self, jitter: f64) -> Timestamp {
        let life = self.length();
        if life.is_zero() {
            return self.sent_at.plus(Duration::from_secs(30));
        }
        self.sent_at.plus(between(life.mul_f64(0.62), life.mul_f64(0.70), jitter))
    }

    /// The expiry less a leeway for clocks that differ: 30 s, or a 20th of a life under 10 min.
    #[must_use]
    pub fn usable_until(self) -> Timestamp {
        self.expires_at.minus((self.length() / 20).min(Duration::from_secs(30)))
    }

    /// Whether tries fail so late that it may lapse: a sixth of the life is left, or less. Renewals
    /// begin with a third.
    #[must_use]
    pub fn is_at_risk(self, now: Timestamp) -> bool {
        self.expires_at.since(now) <= self.length() / 6
    }

    /// How long a fresh one is good for.
    #[must_use]
    pub fn longest(self) -> Duration {
        self.usable_until().since(self.sent_at)
    }

    /// Whether a fresh one could satisfy a `min_ttl`; if not, no renewal helps.
    #[must_use]
    pub fn reaches(self, min_ttl: Duration) -> bool {
        min_ttl < self.longest()
    }
}

/// Whether a value that is usable until then (`None`: until a 401) may be handed out as valid for
/// at least `min_ttl` more. With a planned revocation, pass the earlier of the two.
#[must_use]
pub fn may_hand_out(now: Timestamp, usable_until: Option<Timestamp>, min_ttl: Duration) -> bool {
    usable_until.is_none_or(|until| now < until && now.plus(min_ttl) <= until)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SENT: Timestamp = Timestamp(1_000_000);

    fn jwt(claims: &str) -> String {
        format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn life(seconds: u64) -> Life {
        Life { sent_at: SENT, expires_at: SENT.plus(Duration::from_secs(seconds)) }
    }

    #[test]
    fn what_tells_an_expiry() {
        let token = jwt(r#"{"exp":1700000000}"#);
        let table = [
            (Lifetime::ExpiresIn(36_000.0), Some(SENT.plus(Duration::from_hours(10)))),
            (Lifetime::ExpiresIn(1.5), Some(Timestamp(SENT.0 + 1_500))),
            (Lifetime::ExpiresIn(0.0), None),
            (Lifetime::ExpiresIn(-3.0), None),
            (Lifetime::ExpiresIn(f64::NAN), None),
            (Lifetime::At(Timestamp(5)), Some(Timestamp(5))),
            (Lifetime::JwtExp(&token), Some(Timestamp(1_700_000_000_000))),
            (Lifetime::JwtExp("opaque"), None),
            (Lifetime::Ttl(Duration::from_secs(2)), Some(Timestamp(SENT.0 + 2_000))),
            (Lifetime::Unknown, None),
        ];
        for (lifetime, expected) in table {
            assert_eq!(expiry(SENT, lifetime), expected, "{lifetime:?}");
        }
        assert!(expiry(SENT, Lifetime::ExpiresIn(f64::INFINITY)).is_some());
    }

    #[test]
    fn exp_of_tokens() {
        let table = [
            (jwt(r#"{"exp":1700000000}"#), Some(1_700_000_000)),
            (jwt(r#"{"exp":1700000000.9}"#), Some(1_700_000_000)),
            (format!(" {}\n", jwt(r#"{"exp":7}"#)), Some(7)),
            (jwt(r#"{"exp":"1700000000"}"#), None),
            (jwt(r#"{"exp":null}"#), None),
            (jwt(r#"{"exp":-1}"#), None),
            (jwt("{}"), None),
            (jwt("[1]"), None),
            ("a.b.c".into(), None),
            ("a.b".into(), None),
            (String::new(), None),
        ];
        for (token, expected) in table {
            assert_eq!(jwt_exp(&token), expected, "{token}");
        }
        // Padded, as some servers write it.
        assert_eq!(jwt_exp("e30.eyJleHAiOjEyfQ==.x"), Some(12));
    }

    #[test]
    fn renewed_at_two_thirds_and_handed_out_with_leeway() {
        let ten_hours = life(36_000);
        assert_eq!(ten_hours.renew_at(0.0), SENT.plus(Duration::from_mins(372)));
        assert_eq!(ten_hours.renew_at(1.0), SENT.plus(Duration::from_hours(7)));
        assert_eq!(ten_hours.usable_until(), SENT.plus(Duration::from_secs(35_970)));
        assert_eq!(life(2).usable_until(), Timestamp(SENT.0 + 1_900));
        assert!(ten_hours.reaches(Duration::from_secs(35_000)));
        assert!(!ten_hours.reaches(Duration::from_hours(10)));
        assert_eq!(life(0).renew_at(0.5), SENT.plus(Duration::from_secs(30)));
    }

    #[test]
    fn a_value_is_at_risk_in_the_last_sixth_of_its_life() {
        for (at, risk) in [(0, false), (499, false), (500, true), (600, true), (9_999, true)] {
            assert_eq!(life(600).is_at_risk(SENT.plus(Duration::from_secs(at))), risk, "{at}");
        }
    }

    #[test]
    fn min_ttl_decides_a_hand_out() {
        let until = Some(Timestamp(10_000));
        for (now, min_ttl, may) in
            [(0, 10_000, true), (1, 10_000, false), (9_999, 0, true), (10_000, 0, false)]
        {
            let min_ttl = Duration::from_millis(min_ttl);
            assert_eq!(may_hand_out(Timestamp(now), until, min_ttl), may, "{now}");
        }
        assert!(may_hand_out(Timestamp(i64::MAX), None, Duration::MAX));
    }

    proptest! {
        #[test]
        fn renewal_lies_inside_the_life(length in 1_i64..i64::MAX / 4, jitter: f64) {
            let life = Life { sent_at: SENT, expires_at: Timestamp(SENT.0 + length) };
            let at = life.renew_at(jitter);
            prop_assert!(SENT <= at && at <= life.usable_until() && life.usable_until() <= life.expires_at);
        }

        #[test]
        fn no_token_panics(token: String, sent: i64, seconds: f64) {
            let _ = jwt_exp(&token);
            let _ = expiry(Timestamp(sent), Lifetime::ExpiresIn(seconds));
        }
    }
}
