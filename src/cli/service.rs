//! The commands that are no client: `run`, `demo` and `sandbox`.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::daemon;

use super::{
    exit::{Exit, Failure},
    options::Global,
    session::Ended,
};

/// What still blocks a thread after the daemon has drained is not waited for longer.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// `attendant run`.
pub(super) fn run(global: Global) -> Ended {
    let options = daemon::DaemonOptions { config: global.config, socket: global.socket };
    let runtime = runtime()?;
    let ended = runtime.block_on(daemon::run(options));
    runtime.shutdown_timeout(LEFTOVERS);
    ended.map(|()| Exit::Done).map_err(|error| {
        let exit = if error.exit_code() == 2 { Exit::Usage } else { Exit::NotSo };
        Failure::Said(exit, error.to_string())
    })
}

/// `attendant demo`.
#[cfg(feature = "sandbox")]
pub(super) fn demo() -> Ended {
    let runtime = runtime()?;
    let code = runtime.block_on(crate::demo::run());
    runtime.shutdown_timeout(LEFTOVERS);
    Ok(if code == 0 { Exit::Done } else { Exit::NotSo })
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::not_so(format!("cannot start: {error}")))
}

#[cfg(feature = "sandbox")]
pub(super) use simulated::Sandbox;

#[cfg(feature = "sandbox")]
mod simulated {
    use std::net::SocketAddr;

    use clap::Args;
    use serde_json::json;

    use super::{Ended, Exit, Failure, runtime};
    use crate::{
        cli::console::Console,
        clock::Clock,
        sandbox::{self, Options, certn},
    };

    /// Run only the simulated providers, on loopback
    #[derive(Debug, Args)]
    #[command(after_help = "\
It prints where it listens and the secrets that it takes, and runs until Ctrl-C. Faults are ordered
with POST /_sandbox/faults; GET /_sandbox/state shows what was asked of it.

Examples:
  attendant sandbox --listen 127.0.0.1:7500")]
    pub(in crate::cli) struct Sandbox {
        /// A loopback address; port 0 is any free one
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    }

    impl Sandbox {
        pub fn run(self, console: &mut Console<'_>) -> Ended {
            runtime()?.block_on(self.serve(console))
        }

        async fn serve(self, console: &mut Console<'_>) -> Ended {
            let options = Options::certn(Clock::System);
            let sandbox = sandbox::Sandbox::start(self.listen, options)
                .await
                .map_err(|error| Failure::usage(error.to_string()))?;
            told(&sandbox.base_url(), console)?;
            tokio::signal::ctrl_c()
                .await
                .map_err(|error| Failure::not_so(format!("signals cannot be received: {error}")))?;
            sandbox.shutdown().await;
            Ok(Exit::Done)
        }
    }

    fn told(base_url: &str, console: &mut Console<'_>) -> Result<(), Failure> {
        let certn::Settings { client_id, client_secret, .. } = certn::Settings::default();
        if console.json {
            console.value(&json!({"sandboxes": [{
                "provider": "certn", "base_url": base_url,
                "secrets": {"client_id": client_id, "client_secret": client_secret},
            }]}))?;
        } else {
            console.line(format!(
                "certn: {base_url}\n  client_id      {client_id}\n  client_secret  {client_secret}"
            ))?;
        }
        console.flush()
    }
}
