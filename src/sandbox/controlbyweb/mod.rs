//! A simulated ControlByWeb.Cloud: logins, and the certificate request tokens of an account.
//!
//! Devices come to [`super::Sandbox::admits_device`], or `POST /_sandbox/device`.

mod access;
mod routes;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::Router;

use super::state::Shared;
use crate::types::Timestamp;

pub(super) const BASE_PATH: &str = "/api/v1";

/// What the documentation contradicts itself about: it says POST, its sample GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateBy {
    Post,
    Get,
}

/// How a list of nothing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyList {
    /// `[]`, as PHP writes an array without keys.
    Array,
    /// `{}`
    Object,
}

/// What becomes of refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// There are none.
    None,
    /// One serves until it expires, and no answer to it brings another.
    Kept,
    /// Each use brings another and ends the one that was used.
    Rotating,
}

/// How the simulated ControlByWeb.Cloud behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A token that was made by hand.
    pub auth_token: String,
    pub username: String,
    pub password: String,
    pub account_id: u64,
    /// Of access tokens.
    pub token_life: Duration,
    pub refresh: Refresh,
    pub refresh_life: Duration,
    /// Of certificate request tokens.
    pub certificate_life: Duration,
    pub create_by: CreateBy,
    pub empty_list: EmptyList,
}

/// The documented lives.
impl Default for Settings {
    fn default() -> Self {
        Self {
            auth_token: "sandbox-auth-token".to_owned(),
            username: "sandbox-user".to_owned(),
            password: "sandbox-password".to_owned(),
            account_id: 3_816_414_018,
            token_life: Duration::from_hours(24),
            refresh: Refresh::Rotating,
            refresh_life: Duration::from_hours(30 * 24),
            certificate_life: Duration::from_hours(12),
            create_by: CreateBy::Post,
            empty_list: EmptyList::Array,
        }
    }
}

/// A certificate request token as the list shows it.
#[derive(Debug)]
struct Certificate {
    number: usize,
    token: String,
    created_at: Timestamp,
    expires: Timestamp,
}

#[derive(Debug)]
struct ControlByWeb {
    shared: Arc<Shared>,
    settings: Settings,
    certificates: Mutex<Vec<Certificate>>,
}

impl ControlByWeb {
    fn certificates(&self) -> MutexGuard<'_, Vec<Certificate>> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn routes(shared: &Arc<Shared>, settings: Settings) -> Router {
    shared.know(&settings.auth_token, &settings.username);
    let certificates = Mutex::default();
    routes::router(Arc::new(ControlByWeb { shared: shared.clone(), settings, certificates }))
}
