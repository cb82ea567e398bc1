//! The program: hands the process's arguments, environment and streams to [`attendant::cli`].

use std::{io, process::ExitCode};

use attendant::{cli, config};

fn main() -> ExitCode {
    ExitCode::from(cli::main(
        std::env::args_os(),
        &config::process_env(),
        &mut io::stdin(),
        &mut io::stdout(),
        &mut io::stderr(),
    ))
}
