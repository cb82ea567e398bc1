//! The command line as a whole.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "sandbox")]
use super::sandbox::Sandbox;
use super::{
    backup::{Backup, Restore},
    completions::Completions,
    credentials::{Credentials, Token},
    definitions::{Definitions, Kinds},
    enqueue::Enqueue,
    jobs::Jobs,
    man::Man,
    queues::Queues,
    rekey::Rekey,
    reload::Reload,
    schedules::Schedules,
};

const AFTER: &str = "\
Begin:
  attendant demo                       the whole story in a minute, without accounts
  attendant check                      is my configuration right?
  attendant run                        the daemon
  attendant status                     does it do well, and what does it wait for?
  attendant enqueue certn.users --wait

Exit codes:
  0 done                               3 the daemon cannot be reached
  1 the thing asked about failed       4 refused (permission)
    or is not so                     124 timed out waiting
  2 usage or configuration error";

const CONFIG: &str = "\
The configuration file [default: $ATTENDANT_CONFIG, else /etc/attendant/attendant.toml if it \
exists, else defaults]";

const SOCKET: &str = "\
The daemon's socket [default: $ATTENDANT_SOCKET, else the configuration's, else \
/run/attendant.sock if it exists, else $XDG_RUNTIME_DIR/attendant.sock]";

/// Keeps credentials fresh and follows work at other companies' APIs until it is complete.
///
/// One daemon (`attendant run`) with a persistent job queue; all other commands ask it over its
/// Unix socket, but for `demo`, `sandbox`, `check`, `restore`, `completions` and `man`, which need no
/// daemon.
#[derive(Debug, Parser)]
#[command(name = "attendant", version, after_help = AFTER, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    #[arg(long, global = true, value_name = "FILE", help = CONFIG)]
    pub config: Option<PathBuf>,
    #[arg(long, global = true, value_name = "PATH", help = SOCKET)]
    pub socket: Option<PathBuf>,
    /// Print data as JSON, as the HTTP API gives it, and errors as problem documents (RFC 9457) on
    /// standard error
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon, in the foreground
    #[command(after_help = "\
SIGTERM and Ctrl-C stop it: running attempts get `engine.shutdown_timeout` to end, the others are
given back unspent. Without a configuration file it keeps its database in $STATE_DIRECTORY, else
$XDG_STATE_HOME/attendant, else ~/.local/state/attendant.

Examples:
  attendant run
  attendant run --config ./attendant.toml --socket /tmp/attendant.sock")]
    Run,
    #[cfg(feature = "sandbox")]
    /// Show all of it in under a minute, with simulated providers and a throw-away database
    #[command(after_help = "\
Needs no accounts and leaves nothing behind. Exit code 0 only if every part worked.

Examples:
  attendant demo")]
    Demo,
    #[cfg(feature = "sandbox")]
    Sandbox(Sandbox),
    /// Validate the configuration, the definitions and the secrets
    #[command(after_help = "\
Prints one problem a line, as `file:line: key: message`, and warnings marked so. Needs no daemon
and changes nothing. A secret that only the service can see (`credential = …`) is a warning when
this runs outside of it. What is not there yet, or not right yet, of the files, folders, programs,
users and groups that the configuration names is a warning too; run it as the daemon's user to have
its permissions looked at. Exit code 2 if there are problems.

Examples:
  attendant check
  attendant check --config ./attendant.toml --json")]
    Check,
    #[command(flatten)]
    Client(ClientCommand),
    Restore(Restore),
    Completions(Completions),
    Man(Man),
}

/// Commands that ask the daemon.
#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    Status(Status),
    Enqueue(Box<Enqueue>),
    Jobs(Box<Jobs>),
    Credentials(Credentials),
    Token(Token),
    Queues(Queues),
    Schedules(Schedules),
    Backup(Backup),
    Rekey(Rekey),
    Reload(Reload),
    Kinds(Kinds),
    Definitions(Definitions),
}

/// Is the daemon healthy, what is not and why, and what happens next
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 1 when something needs a person: trouble with the database, a paused queue, a refused
login, an API that has changed, a job of which nobody knows whether it was carried out, a secret
that ends soon, a clock in doubt, a file that cannot be written. What mends itself (a spent budget, a
provider that is down) is shown, and so are jobs that died in the last day; exit code 0.

With --json: `ready`, `needs_person`, `concerns` (each with `code`, `subject`, `detail`,
`needs_person`, `advice`), `running`, `due`, `waiting`, and `next` (each with `at` and `what`).
Whoever may read only some accounts sees those.

Examples:
  attendant status
  attendant status --json | jq -r '.concerns[] | select(.needs_person) | .detail'")]
pub(super) struct Status {}
