//! A simulated ipseity: users, their tokens and refresh tokens.
//!
//! Arguments are taken from a JSON body only, as the server does on newer stacks.

mod routes;
#[cfg(test)]
mod tests;
mod users;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::Router;

use super::state::Shared;

/// How the simulated ipseity behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A user that is there from the start.
    pub user: String,
    pub pass: String,
    /// That user's login is refused.
    pub deactivated: bool,
    pub token_life: Duration,
    pub refresh_life: Duration,
    /// Refusals are 500 "Internal Server Error", as in its usual production setting.
    pub masked: bool,
    /// Tokens come in JSON quotes instead of as plain text.
    pub quoted: bool,
    /// Tokens are signed with a shared key: there is no public one.
    pub symmetric: bool,
    /// The server sees no token where it is not needed: `GET /user` is 204.
    pub blind: bool,
}

/// The server's defaults.
impl Default for Settings {
    fn default() -> Self {
        Self {
            user: "sandbox-user".to_owned(),
            pass: "sandbox-pass".to_owned(),
            deactivated: false,
            token_life: Duration::from_hours(20),
            refresh_life: Duration::from_hours(30 * 24),
            masked: false,
            quoted: false,
            symmetric: true,
            blind: false,
        }
    }
}

#[derive(Debug)]
struct Ipseity {
    shared: Arc<Shared>,
    settings: Settings,
    /// Passwords by user.
    users: Mutex<BTreeMap<String, String>>,
}

impl Ipseity {
    fn users(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn routes(shared: &Arc<Shared>, settings: Settings) -> Router {
    let users = BTreeMap::from([(settings.user.clone(), settings.pass.clone())]);
    let users = Mutex::new(users);
    routes::router(Arc::new(Ipseity { shared: shared.clone(), settings, users }))
}
