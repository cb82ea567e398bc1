//! What a credential's row keeps, sealed, of a rotation under way and of values out of use.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{
    policy::{
        renewal::Life,
        rotation::{self, reconcile::Mark},
    },
    types::{Timestamp, millis},
};

/// Everything that a rotation must know after a crash.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rotation {
    /// A create is out, or may have been carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// Earlier creates of which one may still turn up in the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Intent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<Retired>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<Orphan>,
    /// Of the value in hand: what its readers were promised rests on it, whatever is configured
    /// later.
    pub overlap_ms: i64,
    /// Of the value in hand: somebody else may have made it, so it is left to expire.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
}

/// That a value is to be created, recorded before it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Intent {
    pub at: Timestamp,
    pub last_sent: Timestamp,
    /// How often the create may have been sent.
    pub sends: u32,
    /// What the provider's list showed before; `None` where it was not to be had.
    pub known: Option<Vec<Mark>>,
}

/// A created value that is not yet published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Candidate {
    #[serde(with = "clear")]
    pub value: SecretString,
    pub sent_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// Its expiry was told as a duration.
    #[serde(default)]
    pub relative: bool,
    /// Found among several new ones: it may be somebody else's.
    #[serde(default)]
    pub unsure: bool,
    #[serde(default)]
    pub verify_failures: u32,
}

/// A value out of use, until it is revoked or has expired.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Retired {
    #[serde(with = "clear")]
    pub value: SecretString,
    pub generation: i64,
    pub expires_at: Option<Timestamp>,
    /// `None`: left to expire.
    pub revoke_at: Option<Timestamp>,
    #[serde(default)]
    pub tries: u32,
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
    /// By a person's word, which outweighs whoever may still use it.
    #[serde(default)]
    pub withdrawn: bool,
}

/// A value in the provider's list that a create with a lost reply may have made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orphan {
    pub mark: Mark,
    pub seen_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

impl Rotation {
    pub(super) fn is_empty(&self) -> bool {
        self.intent.is_none()
            && self.doubt.is_none()
            && self.candidate.is_none()
            && self.retired.is_empty()
            && self.orphans.is_empty()
            && self.overlap_ms == 0
            && !self.unsure
    }

    /// Forgets what is over.
    pub(super) fn prune(&mut self, now: Timestamp) {
        self.retired.retain(|one| !one.facts().is_over(now));
        self.orphans.retain(|one| !one.is_over(now));
    }

    pub(in crate::credentials) fn stage(&self) -> Option<&'static str> {
        match (&self.candidate, &self.intent) {
            (Some(_), _) => Some("verifying"),
            (None, Some(_)) => Some("creating"),
            (None, None) => None,
        }
    }

    /// Those that may still be valid.
    pub(in crate::credentials) fn retired_at(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = &Retired> {
        self.retired.iter().filter(move |one| !one.facts().is_over(now))
    }

    pub(in crate::credentials) fn orphans_at(&self, now: Timestamp) -> usize {
        self.orphans.iter().filter(|one| !one.is_over(now)).count()
    }

    #[must_use]
    pub fn overlap(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.overlap_ms).unwrap_or(0))
    }

    pub(super) fn set_overlap(&mut self, overlap: Duration) {
        self.overlap_ms = millis(overlap);
    }

    pub(super) fn revocation(&self, generation: i64) -> Option<&Retired> {
        self.retired.iter().find(|one| one.generation == generation)
    }
}

impl Candidate {
    #[must_use]
    pub fn life(&self) -> Option<Life> {
        self.expires_at.map(|expires_at| Life { sent_at: self.sent_at, expires_at })
    }

    pub(super) fn facts(&self) -> rotation::Candidate {
        let usable_until = self.life().map(Life::usable_until);
        rotation::Candidate { usable_until, failures: self.verify_failures }
    }
}

impl Retired {
    pub(super) fn facts(&self) -> rotation::Retired {
        rotation::Retired {
            expires_at: self.expires_at,
            revoke_at: self.revoke_at,
            retry_at: self.retry_at,
        }
    }
}

impl Orphan {
    /// How long one without a known expiry is shown.
    const SHOWN: Duration = Duration::from_hours(24 * 7);

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.unwrap_or_else(|| self.seen_at.plus(Self::SHOWN)) <= now
    }
}

/// A secret in clear, to be sealed at once.
mod clear {
    use secrecy::{ExposeSecret as _, SecretString};
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose_secret())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
        SecretString::deserialize(from)
    }
}
