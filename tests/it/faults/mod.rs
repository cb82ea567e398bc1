//! Bad days: what happens around the daemon and is not its fault.

mod damaged;
mod disk;
mod locked;
mod storm;

use std::time::Duration;

use attendant::{
    clock::Clock,
    sandbox::{Options, Provider, Sandbox, certn::Settings},
};

use crate::support::daemon::Site;

struct World {
    sandbox: Sandbox,
    site: Site,
}

impl World {
    async fn with_tokens_of(life: Duration) -> Self {
        let settings = Settings { token_life: life, ..Settings::default() };
        let options = Options::new(Clock::System, Provider::Certn(settings));
        let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), options).await.unwrap();
        let site = Site::certn(&sandbox.base_url(), "sandbox-client", "sandbox-secret");
        Self { sandbox, site }
    }

    async fn start() -> Self {
        Self::with_tokens_of(Duration::from_hours(1)).await
    }

    fn orders(&self) -> u64 {
        self.sandbox.counters().orders.get("Ada Byron").copied().unwrap_or(0)
    }
}
