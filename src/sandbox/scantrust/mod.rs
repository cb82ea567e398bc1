//! A simulated ScanTrust: logins, and `me`.
//!
//! It answers as Django REST framework with one of its JWT libraries does.

mod routes;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::Router;

use super::{
    state::{RateLimit, Shared},
    window::Window,
};

/// How the simulated ScanTrust behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A token that was made in the portal.
    pub uat: String,
    pub email: String,
    pub password: String,
    pub token_life: Duration,
    /// Whether the token of a login says in its `exp` how long it lives; else it is no JWT at all.
    pub tells_life: bool,
    /// Of a login: 200 is documented, 201 was seen of the server library.
    pub login_status: u16,
    /// A limit of its own, documented as 10 a minute.
    pub login_limit: Option<RateLimit>,
    /// Whether a 429 has a Retry-After; it always has words.
    pub retry_after: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            uat: "sandbox-uat".to_owned(),
            email: "sandbox@example.com".to_owned(),
            password: "sandbox-password".to_owned(),
            token_life: Duration::from_mins(10),
            tells_life: true,
            login_status: 200,
            login_limit: Some(RateLimit { requests: 10, window: Duration::from_mins(1) }),
            retry_after: true,
        }
    }
}

#[derive(Debug)]
struct ScanTrust {
    shared: Arc<Shared>,
    settings: Settings,
    logins: Option<Mutex<Window>>,
}

pub(super) fn routes(shared: &Arc<Shared>, settings: Settings) -> Router {
    shared.know(&settings.uat, &settings.email);
    let logins = settings.login_limit.map(|limit| Mutex::new(Window::new(limit)));
    routes::router(Arc::new(ScanTrust { shared: shared.clone(), settings, logins }))
}
