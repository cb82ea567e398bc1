//! A simulated Certn (background checks, API v1): tokens, users, orders, applicants, reports.
//!
//! Answers have the shapes of Django REST framework and django-oauth-toolkit, which is what
//! Certn's documented errors look like. Every order "bills": [`super::Counters::orders`] says
//! for whom and how often.

mod access;
mod applicants;
mod reports;
mod routes;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::Router;
use serde::Deserialize;

pub use self::applicants::Stage;
use super::state::Shared;

/// How the simulated Certn behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    pub client_id: String,
    pub client_secret: String,
    pub token_life: Duration,
    /// What an applicant's `report_status` is, from when on; in order of time.
    pub stages: Vec<Stage>,
    /// Applicants that were ordered before the sandbox started, with the ids given here.
    pub applicants: Vec<(Industry, String)>,
    pub users: usize,
    /// Users on one page.
    pub page_size: usize,
}

/// The demo's: tokens of 10 s, complete reports after 4 s.
impl Default for Settings {
    fn default() -> Self {
        Self {
            client_id: "sandbox-client".to_owned(),
            client_secret: "sandbox-secret".to_owned(),
            token_life: Duration::from_secs(10),
            stages: vec![
                Stage::new(Duration::ZERO, "ANALYZING"),
                Stage::new(Duration::from_secs(2), "PARTIAL"),
                Stage::new(Duration::from_secs(4), "COMPLETE"),
            ],
            applicants: Vec::new(),
            users: 5,
            page_size: 2,
        }
    }
}

/// What the check is for: its part of the API's paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Industry {
    /// Human resources.
    Hr,
    /// Property management.
    Pm,
}

impl Industry {
    const fn name(self) -> &'static str {
        match self {
            Self::Hr => "hr",
            Self::Pm => "pm",
        }
    }
}

/// What Certn's handlers share.
#[derive(Debug)]
struct Certn {
    shared: Arc<Shared>,
    settings: Settings,
    /// One id for each user, made at the start.
    users: Vec<String>,
    applicants: applicants::Applicants,
}

pub(super) fn routes(shared: &Arc<Shared>, mut settings: Settings) -> Router {
    let applicants = applicants::Applicants::new(std::mem::take(&mut settings.stages));
    let now = shared.now();
    for (industry, id) in std::mem::take(&mut settings.applicants) {
        applicants.add(industry, id, now);
    }
    let users = (0..settings.users).map(|_| super::state::random_uuid().to_string()).collect();
    routes::router(Arc::new(Certn { shared: shared.clone(), settings, users, applicants }))
}
