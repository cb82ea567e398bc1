//! The applicants and how far their checks are.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Industry;
use crate::types::millis;

/// One step of an applicant's progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Since the order.
    pub after: Duration,
    /// As it is sent, in any case; `None` is sent as `null`.
    pub status: Option<String>,
}

impl Stage {
    pub fn new(after: Duration, status: &str) -> Self {
        Self { after, status: Some(status.to_owned()) }
    }
}

/// Why there is nothing to show of an applicant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unavailable {
    Unknown,
    Incomplete(Industry),
}

#[derive(Debug)]
pub(super) struct Applicants {
    stages: Vec<Stage>,
    known: Mutex<HashMap<String, Applicant>>,
}

#[derive(Debug, Clone, Copy)]
struct Applicant {
    industry: Industry,
    /// When the check was ordered, on the clock that does not step.
    ordered: i64,
}

impl Applicants {
    pub(super) fn new(stages: Vec<Stage>) -> Self {
        Self { stages, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Applicant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, industry: Industry, id: String, now: i64) {
        self.known().insert(id, Applicant { industry, ordered: now });
    }

    /// The `report_status` to send for an applicant of this industry.
    pub(super) fn status(
        &self,
        industry: Industry,
        id: &str,
        now: i64,
    ) -> Result<Option<String>, Unavailable> {
        let applicant = self.find(id)?;
        if applicant.industry == industry {
            Ok(self.status_of(applicant, now))
        } else {
            Err(Unavailable::Unknown)
        }
    }

    /// Whether there is a report.
    pub(super) fn report(&self, id: &str, now: i64) -> Result<(), Unavailable> {
        let applicant = self.find(id)?;
        match self.status_of(applicant, now) {
            Some(status) if status.eq_ignore_ascii_case("COMPLETE") => Ok(()),
            _ => Err(Unavailable::Incomplete(applicant.industry)),
        }
    }

    fn find(&self, id: &str) -> Result<Applicant, Unavailable> {
        self.known().get(id).copied().ok_or(Unavailable::Unknown)
    }

    /// The last stage that has begun: a later one may go back to an earlier one's status.
    fn status_of(&self, applicant: Applicant, now: i64) -> Option<String> {
        let age = now.saturating_sub(applicant.ordered);
        let begun = |stage: &&Stage| millis(stage.after) <= age;
        self.stages.iter().rfind(begun).and_then(|stage| stage.status.clone())
    }
}
