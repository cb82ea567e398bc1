//! The command line: a client of the HTTP API over the daemon's socket, never of the store.
//!
//! One file per group of commands holds its flags with their help, its requests and how answers
//! look. [`main`] is handed all that a process has (arguments, environment, streams), so that
//! tests run whole commands in process. Failures become exit codes in one place, `exit`.

mod backup;
mod batch;
mod check;
mod client;
mod completions;
mod console;
mod credentials;
mod definitions;
mod enqueue;
mod exit;
mod fields;
mod jobs;
mod man;
mod options;
mod queues;
mod rekey;
mod reload;
#[cfg(feature = "sandbox")]
mod sandbox;
mod schedules;
mod service;
mod session;
mod status;
mod table;
mod times;
mod typed;
mod wait;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    io::{Read, Write},
};

use clap::Parser;

use self::{
    client::Client,
    console::Console,
    definitions::Definitions,
    exit::{Exit, Failure},
    options::{Cli, ClientCommand, Command, Global},
    session::{Ended, Session},
};
use crate::{
    clock::Clock,
    config::{self, Env},
};

/// Runs one command and gives the exit code. `args` begins with the program's name.
pub fn main(
    args: impl IntoIterator<Item = OsString>,
    env: &Env,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    // Before parsing, so that what is wrong with the arguments is told in JSON too.
    let json = args.iter().any(|arg| arg == "--json");
    let mut console = Console::new(stdin, stdout, stderr, json, Clock::System);
    let ended = match Cli::try_parse_from(args) {
        Ok(cli) => dispatch(cli, env, &mut console),
        Err(error) => misused(&error, &mut console),
    };
    console.finish(ended)
}

fn dispatch(cli: Cli, env: &Env, console: &mut Console<'_>) -> Ended {
    let Cli { global, command } = cli;
    match command {
        Command::Run => service::run(global),
        #[cfg(feature = "sandbox")]
        Command::Demo => service::demo(),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(sandbox) => sandbox.run(console),
        Command::Check => check::run(global.config.as_deref(), env, console),
        Command::Restore(restore) => restore.run(&global, env, console),
        Command::Completions(completions) => completions.run(console),
        Command::Man(man) => man.run(console),
        Command::Client(ClientCommand::Definitions(definitions)) if definitions.is_schema() => {
            Definitions::print_schema(console)
        }
        Command::Client(command) => ask(&global, command, env, console),
    }
}

/// A client needs one thread: a multi-threaded runtime would take longer to start than most
/// commands take.
fn ask(global: &Global, command: ClientCommand, env: &Env, console: &mut Console<'_>) -> Ended {
    let socket = config::client_socket(global.socket.as_deref(), global.config.as_deref(), env)
        .map_err(|problems| Failure::usage(problems.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::not_so(format!("cannot start: {error}")))?;
    let mut session = Session { client: Client::new(socket)?, console };
    runtime.block_on(client(command, &mut session))
}

async fn client(command: ClientCommand, session: &mut Session<'_, '_>) -> Ended {
    match command {
        ClientCommand::Status(_) => status::run(session).await,
        ClientCommand::Enqueue(enqueue) => enqueue.run(session).await,
        ClientCommand::Jobs(jobs) => jobs.run(session).await,
        ClientCommand::Credentials(credentials) => credentials.run(session).await,
        ClientCommand::Token(token) => token.run(session).await,
        ClientCommand::Queues(queues) => queues.run(session).await,
        ClientCommand::Schedules(schedules) => schedules.run(session).await,
        ClientCommand::Backup(backup) => backup.run(session).await,
        ClientCommand::Rekey(rekey) => rekey.run(session).await,
        ClientCommand::Reload(reload) => reload.run(session).await,
        ClientCommand::Kinds(kinds) => kinds.run(session).await,
        ClientCommand::Definitions(definitions) => definitions.run(session).await,
    }
}

/// Help and version are answers; everything else is misuse.
fn misused(error: &clap::Error, console: &mut Console<'_>) -> Ended {
    let words = error.render().to_string();
    if !error.use_stderr() {
        console.text(words)?;
        return Ok(Exit::Done);
    }
    if console.json {
        return Err(Failure::usage(words.trim_end()));
    }
    console.note(words.trim_end());
    Ok(Exit::Usage)
}
