//! Simulated providers on loopback, for `attendant demo`, `attendant sandbox` and tests.
//!
//! One [`Sandbox`] is one provider's host, as in life: its own origin, its own paths (those of
//! the provider's documentation), its own faults and counters. Several providers are several
//! sandboxes. What they share is here: serving and cutting connections (`server`), what was
//! asked of them (`state`), faults on demand (`faults`, applied in `intercept`) and the control
//! routes under `/_sandbox/` (`control`). A provider adds a folder such as `certn` with its
//! routes, and a variant of [`Provider`].
//!
//! A simulator proves no compatibility: its answers are what the providers document and what
//! the same server libraries were seen to answer. `tests/oauth/` runs those libraries.

mod account;
pub mod certiscan;
pub mod certn;
mod control;
pub mod controlbyweb;
mod faults;
mod intercept;
pub mod ipseity;
pub mod scantrust;
mod server;
mod state;
#[cfg(test)]
mod tests;
mod tokens;
mod web;
mod window;

use std::{fmt, io, net::SocketAddr, sync::Arc};

use axum::{Router, middleware};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use self::{
    faults::{Fault, FaultError, FaultKind, Target},
    state::{Counters, RateLimit, Recorded},
    tokens::{Issued, Sort},
};
use self::{
    server::{Connection, LoopbackListener},
    state::Shared,
};
use crate::clock::Clock;

/// Which provider is simulated, with its settings.
#[derive(Debug, Clone)]
pub enum Provider {
    CertiScan(certiscan::Settings),
    Certn(certn::Settings),
    ControlByWeb(controlbyweb::Settings),
    Ipseity(ipseity::Settings),
    ScanTrust(scantrust::Settings),
}

/// How a sandbox behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The provider's own clock: its `Date`, its tokens' lives, its applicants' progress.
    pub clock: Clock,
    /// Requests allowed to the API (not to the token endpoint); `None` for any number.
    pub rate_limit: Option<RateLimit>,
    pub provider: Provider,
}

impl Options {
    /// Certn with the settings of the demo, and no rate limit.
    #[must_use]
    pub fn certn(clock: Clock) -> Self {
        Self::new(clock, Provider::Certn(certn::Settings::default()))
    }

    /// A provider without a rate limit.
    #[must_use]
    pub const fn new(clock: Clock, provider: Provider) -> Self {
        Self { clock, rate_limit: None, provider }
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("the sandbox listens on loopback only, and {0} is not")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// A simulated provider, serving until it is shut down or dropped.
pub struct Sandbox {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Binds `listen` (port 0 for any free one) and serves. Must be called inside tokio.
    pub async fn start(listen: SocketAddr, options: Options) -> Result<Self, SandboxError> {
        if !listen.ip().is_loopback() {
            return Err(SandboxError::NotLoopback(listen));
        }
        let cannot = |source| SandboxError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let shared = Arc::new(Shared::new(options.clock, options.rate_limit));
        let stop = CancellationToken::new();
        let app = app(&shared, options.provider);
        let server = tokio::spawn(serve(LoopbackListener::new(listener, stop.clone()), app));
        Ok(Self { address, shared, stop, server })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Such as `http://127.0.0.1:40213`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a fault, behind those added before.
    pub fn fault(&self, fault: Fault) {
        self.shared.add_fault(fault);
    }

    /// Forgets the faults that are still to come.
    pub fn clear_faults(&self) {
        self.shared.clear_faults();
    }

    /// Makes every token issued so far invalid at once.
    pub fn revoke_tokens(&self) {
        self.shared.revoke_tokens();
    }

    /// Whether a device could join with this certificate request token; it counts as one that
    /// tried.
    pub fn admits_device(&self, token: &str) -> bool {
        self.shared.device(token).is_some()
    }

    /// Every token of any sort that was ever valid here.
    pub fn tokens_ever(&self) -> Vec<String> {
        self.shared.tokens_ever()
    }

    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// The latest requests, oldest first, refused and faulted ones included.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests()
    }

    /// Those of [`Self::requests`] that a fault on `target` would meet: `"POST /token/"`.
    pub fn requests_to(&self, target: &str) -> Vec<Recorded> {
        let target = Target::new(target);
        self.requests().into_iter().filter(|r| target.meets(&r.method, &r.path)).collect()
    }

    /// Cuts every connection and stops listening: to clients, a provider that went away.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.server.abort();
        // Only an abort can end it, and that is what was asked for.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
        self.server.abort();
    }
}

async fn serve(listener: LoopbackListener, app: Router) {
    let app = app.into_make_service_with_connect_info::<Connection>();
    // Accept errors are retried by the listener: this never returns.
    let _ = axum::serve(listener, app).await;
}

fn app(shared: &Arc<Shared>, provider: Provider) -> Router {
    let routes = match provider {
        Provider::CertiScan(settings) => certiscan::routes(shared, settings),
        Provider::Certn(settings) => certn::routes(shared, settings),
        Provider::ControlByWeb(settings) => controlbyweb::routes(shared, settings),
        Provider::Ipseity(settings) => ipseity::routes(shared, settings),
        Provider::ScanTrust(settings) => scantrust::routes(shared, settings),
    };
    routes
        .layer(middleware::from_fn_with_state(shared.clone(), intercept::intercept))
        .merge(control::routes(shared.clone()))
}
