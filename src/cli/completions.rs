//! `attendant completions`.

use clap::{Args, CommandFactory};

use super::{console::Console, exit::Exit, options::Cli, session::Ended};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  attendant completions bash > ~/.local/share/bash-completion/completions/attendant
  attendant completions zsh  > ~/.zfunc/_attendant
  attendant completions fish > ~/.config/fish/completions/attendant.fish")]
pub(super) struct Completions {
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    pub fn run(self, console: &mut Console<'_>) -> Ended {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "attendant", &mut script);
        console.bytes(&script)?;
        Ok(Exit::Done)
    }
}
