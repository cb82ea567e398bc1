//! How the store does: told once when it fails, and once when it works again.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::StoreError;
use crate::telemetry::events::{Event, Name, emit};

/// What is wrong, the graver the later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Something else went wrong with it, and its writer has nothing to complain of.
    Odd(String),
    /// It passes: locked by another program, an I/O error.
    Unavailable(String),
    /// No room on the disk: it ends when somebody has made some.
    Full,
    /// The file is not intact: only a person can help.
    Damaged(String),
}

impl Trouble {
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Odd(words) => words.clone(),
            Self::Unavailable(words) => StoreError::Unavailable(words.clone()).to_string(),
            Self::Full => StoreError::Full.to_string(),
            Self::Damaged(words) => StoreError::Corrupt(words.clone()).to_string(),
        }
    }

    /// The error that whoever wants something stored is answered with at once, so that what is
    /// under way has the room that is left, and a damaged file is not written to. `None` where it
    /// is worth trying.
    #[must_use]
    pub fn refusal(&self) -> Option<StoreError> {
        match self {
            Self::Odd(_) | Self::Unavailable(_) => None,
            Self::Full => Some(StoreError::Full),
            Self::Damaged(words) => Some(StoreError::Corrupt(words.clone())),
        }
    }

    fn of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::Unavailable(words) => Some(Self::Unavailable(words.clone())),
            StoreError::Full => Some(Self::Full),
            StoreError::Corrupt(words) => Some(Self::Damaged(words.clone())),
            StoreError::Unexpected(_) | StoreError::Stale | StoreError::Closed => None,
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Odd(_) => 0,
            Self::Unavailable(_) => 1,
            Self::Full => 2,
            Self::Damaged(_) => 3,
        }
    }
}

/// How the store does at the moment.
#[derive(Debug, Default)]
pub struct Health {
    trouble: Mutex<Option<Trouble>>,
    begun: Notify,
}

impl Health {
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for trouble, for one who then looks what can be done.
    pub async fn troubled(&self) {
        self.begun.notified().await;
    }

    /// A write failed so.
    pub fn note(&self, error: &StoreError) {
        if let Some(trouble) = Trouble::of(error) {
            self.set(trouble);
        }
    }

    pub fn set(&self, trouble: Trouble) {
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let graver = last.as_ref().is_none_or(|last| last.rank() < trouble.rank());
        if !graver {
            return;
        }
        let words = trouble.words();
        *last = Some(trouble);
        drop(last);
        self.begun.notify_one();
        emit(Name::StoreTrouble, &Event { detail: Some(&words), ..Event::default() });
    }

    /// What was odd is over.
    pub fn works(&self) {
        self.clear(0);
    }

    /// As much was written as many small changes need. A small write is no proof: on a full disk it
    /// may have found its place by luck. Damage stays.
    pub fn probed(&self) {
        self.clear(2);
    }

    fn clear(&self, up_to: u8) {
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|last| last.rank() <= up_to) {
            *last = None;
            drop(last);
            emit(Name::StoreRecovered, &Event::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_is_kept_and_each_ends_in_its_own_way() {
        let health = Health::default();
        health.note(&StoreError::Stale);
        assert_eq!(health.trouble(), None);
        health.note(&StoreError::Unavailable("locked".into()));
        health.note(&StoreError::Full);
        health.note(&StoreError::Unavailable("locked".into()));
        assert!(matches!(health.trouble(), Some(Trouble::Full)));
        health.works();
        assert!(matches!(health.trouble(), Some(Trouble::Full)), "a small write is no proof");
        health.probed();
        assert_eq!(health.trouble(), None);
        health.set(Trouble::Odd("what is this".into()));
        assert!(health.trouble().is_some_and(|trouble| trouble.refusal().is_none()));
        health.works();
        assert_eq!(health.trouble(), None);
        health.note(&StoreError::Corrupt("page 3".into()));
        health.probed();
        let refusal = health.trouble().and_then(|trouble| trouble.refusal());
        assert!(matches!(refusal, Some(StoreError::Corrupt(_))), "{refusal:?}");
    }
}
