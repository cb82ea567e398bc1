//! What holds a queue, or one kind of it, shut.

use serde::{Deserialize, Serialize};

use crate::types::JobId;

pub use super::breaker::{Admission, Breaker};

/// Why a gate is shut; the names are those of `waiting_for.detail` and the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The provider asked for it.
    RetryAfter,
    /// Too many failures in a row.
    Breaker,
    /// The API seems to have moved: a new definition or an operator opens it.
    ProviderChanged,
    /// An operator shut it and will open it.
    Paused,
}

/// Watches the follows of one kind for 403 and 404: of one follow it says little, of several
/// different ones in a row that the provider has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Suspicion {
    jobs: Vec<JobId>,
}

impl Suspicion {
    /// So many different follows in a row convict a provider; two where there are no more.
    const SEVERAL: usize = 3;

    /// A follow was answered with 403 or 404; `live` follows of the kind there are. Whether the
    /// gate of the kind is to be shut as [`Reason::ProviderChanged`].
    pub fn suspect(&mut self, job: JobId, live: u32) -> bool {
        if !self.jobs.contains(&job) && self.jobs.len() < Self::SEVERAL {
            self.jobs.push(job);
        }
        let live = usize::try_from(live).unwrap_or(usize::MAX);
        self.jobs.len() >= live.clamp(2, Self::SEVERAL)
    }

    /// A follow was answered otherwise, or the gate was opened.
    pub fn clear(&mut self) {
        self.jobs.clear();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn one_missing_applicant_does_not_convict() {
        let job = |n| JobId(Uuid::from_u128(n));
        let mut suspicion = Suspicion::default();
        assert!(!(0..9).any(|_| suspicion.suspect(job(1), 100)));
        assert!(!suspicion.suspect(job(2), 100));
        assert!(suspicion.suspect(job(3), 100));
        assert!(suspicion.suspect(job(4), 100));
        suspicion.clear();
        assert!(!suspicion.suspect(job(1), 2));
        assert!(suspicion.suspect(job(2), 2), "both of two");
        suspicion.clear();
        assert!(!suspicion.suspect(job(1), 1), "one alone may just be gone");
    }

    #[test]
    fn state_is_kept_as_json() {
        let mut suspicion = Suspicion::default();
        suspicion.suspect(JobId(Uuid::nil()), 5);
        let back: Suspicion =
            serde_json::from_str(&serde_json::to_string(&suspicion).unwrap()).unwrap();
        assert_eq!(back, suspicion);
    }
}
