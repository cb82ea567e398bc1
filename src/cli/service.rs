//! The commands that are no client: `run` and `demo`; `sandbox` is in a file of its own.

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

pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::not_so(format!("cannot start: {error}")))
}
