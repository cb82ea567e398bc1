//! A simulated CertiScan: clients, and the work tokens that they ask for.

mod routes;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::Router;

use super::state::Shared;

pub(super) const BASE_PATH: &str = "/api/v1/account/worktoken";

/// How the simulated CertiScan behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The token of somebody's session in the web app, without its `Bearer `.
    pub auth_token: String,
    /// A client that is there from the start.
    pub subject: String,
    pub secret: String,
    pub token_life: Duration,
    /// How long the tokens of a client that was changed or deleted still live.
    pub death_delay: Duration,
    /// Refusals are 200 with `"success": false`, instead of a status of their own.
    pub refuses_with_200: bool,
}

/// The documented lives.
impl Default for Settings {
    fn default() -> Self {
        Self {
            auth_token: "sandbox-session".to_owned(),
            subject: "8ade3b80-56c8-4593-8e51-5e98c5afbbbe".to_owned(),
            secret: "sandbox-secret".to_owned(),
            token_life: Duration::from_secs(3_599),
            death_delay: Duration::from_mins(5),
            refuses_with_200: false,
        }
    }
}

#[derive(Debug)]
struct Client {
    name: String,
    secret: String,
}

#[derive(Debug)]
struct CertiScan {
    shared: Arc<Shared>,
    settings: Settings,
    clients: Mutex<BTreeMap<String, Client>>,
}

impl CertiScan {
    fn clients(&self) -> MutexGuard<'_, BTreeMap<String, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn routes(shared: &Arc<Shared>, settings: Settings) -> Router {
    shared.know(&settings.auth_token, "the web app");
    let first = Client { name: "Sandbox".to_owned(), secret: settings.secret.clone() };
    let clients = Mutex::new(BTreeMap::from([(settings.subject.clone(), first)]));
    routes::router(Arc::new(CertiScan { shared: shared.clone(), settings, clients }))
}
