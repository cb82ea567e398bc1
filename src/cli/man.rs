//! `attendant man`: manual pages, made of the command definitions.
//!
//! What a command's help says under `Examples:` becomes the page's EXAMPLES; what is the same for
//! all of them (exit codes, files, variables) is written here once.

use std::{fs, io, path::PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man as Page;

use super::{
    console::Console,
    exit::{Exit, Failure},
    options::Cli,
    session::Ended,
};

/// Print the manual page of a command, or write those of all commands
#[derive(Debug, Args)]
#[command(after_help = "\
Without a command it prints attendant(1). With --dir it writes one page for each command, named as
`man` finds them: attendant.1, attendant-jobs-show.1. Needs no daemon.

Examples:
  attendant man | man -l -
  attendant man jobs show | man -l -
  attendant man --dir /usr/share/man/man1")]
pub(super) struct Man {
    /// Write the pages of all commands into this folder, which is made if need be
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
    /// The command, such as `jobs show`
    command: Vec<String>,
}

const EXIT_STATUS: [(&str, &str); 6] = [
    ("0", "Done."),
    ("1", "The thing asked about failed, is not so, or is not there."),
    ("2", "Usage or configuration error: what was given is wrong."),
    ("3", "The daemon cannot be reached."),
    ("4", "Refused: this user may not connect, or lacks the right."),
    ("124", "Timed out waiting."),
];

const FILES: [(&str, &str); 5] = [
    ("/etc/attendant/attendant.toml", "The configuration, with conf.d/*.toml beside it."),
    ("/etc/attendant/jobs.d", "Definitions of providers that add to or replace the built-in ones."),
    ("/run/attendant.sock", "The daemon's socket where it runs as a service."),
    (
        "$XDG_RUNTIME_DIR/attendant.sock",
        "The daemon's socket where it was started by a user without a configuration.",
    ),
    (
        "$STATE_DIRECTORY, $XDG_STATE_HOME/attendant, ~/.local/state/attendant",
        "The first that there is: the database and its sealing key, attendant.key.",
    ),
];

const ENVIRONMENT: [(&str, &str); 4] = [
    ("ATTENDANT_CONFIG", "The configuration file, where --config names none."),
    ("ATTENDANT_SOCKET", "The daemon's socket, where --socket names none."),
    (
        "ATTENDANT__SECTION__KEY",
        "Any key of the configuration, such as ATTENDANT__LOG__FILTER=debug; it counts before the \
         files.",
    ),
    (
        "CREDENTIALS_DIRECTORY",
        "Where secrets that are written as { credential = … } are: set by systemd.",
    ),
];

impl Man {
    pub fn run(self, console: &mut Console<'_>) -> Ended {
        let root = root();
        if let Some(dir) = self.dir {
            let cannot = |error: io::Error| {
                Failure::not_so(format!("{} cannot be written: {error}", dir.display()))
            };
            fs::create_dir_all(&dir).map_err(cannot)?;
            for (name, text) in all(&root) {
                fs::write(dir.join(format!("{name}.1")), text).map_err(cannot)?;
            }
            return Ok(Exit::Done);
        }
        let mut command = &root;
        for name in &self.command {
            command = command.find_subcommand(name).ok_or_else(|| {
                let known: Vec<&str> = children(command).map(Command::get_name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Failure::usage(format!("there is no command `{name}`; there is: {known}"))
            })?;
        }
        console.text(page(command))?;
        Ok(Exit::Done)
    }
}

/// With names, global options and synopses in all of its commands.
fn root() -> Command {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    root
}

fn children(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help")
}

fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// Names and texts of the pages of a command and of all under it.
fn all(command: &Command) -> Vec<(String, String)> {
    let mut pages = vec![(name(command).to_owned(), page(command))];
    pages.extend(children(command).flat_map(all));
    pages
}

fn page(command: &Command) -> String {
    let (notes, examples) = notes(command);
    let man = Page::new(command.clone())
        .source(concat!("attendant ", env!("CARGO_PKG_VERSION")))
        .manual("Attendant");
    let mut text = part(|out| man.render_title(out));
    text.push_str(&part(|out| man.render_name_section(out)));
    text.push_str(&part(|out| man.render_synopsis_section(out)));
    text.push_str(&part(|out| man.render_description_section(out)));
    text.push_str(&paragraphs(&notes));
    text.push_str(&part(|out| man.render_options_section(out)));
    if children(command).next().is_some() {
        text.push_str(&part(|out| man.render_subcommands_section(out)));
    }
    if !examples.is_empty() {
        text.extend([".SH EXAMPLES\n.nf\n", &escaped(&examples), "\n.fi\n"]);
    }
    text.push_str(&list("EXIT STATUS", &EXIT_STATUS));
    text.push_str(&list("FILES", &FILES));
    text.push_str(&list("ENVIRONMENT", &ENVIRONMENT));
    text.push_str(&see_also(command));
    text
}

/// A string takes all that is written to it.
fn part(render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> String {
    let mut bytes = Vec::new();
    let _ = render(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What stands below a command's options in its help: words, and examples without their indent.
/// Exit codes have a section of their own.
fn notes(command: &Command) -> (String, String) {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (mut notes, mut examples) = (String::new(), String::new());
    for block in after.split("\n\n") {
        let (heading, rest) = block.split_once('\n').unwrap_or((block, ""));
        match heading {
            "Examples:" | "Begin:" => {
                let lines: Vec<&str> = rest.lines().map(str::trim_start).collect();
                examples = lines.join("\n");
            }
            "Exit codes:" => {}
            _ => notes.extend([block, "\n\n"]),
        }
    }
    (notes.trim_end().to_owned(), examples)
}

fn paragraphs(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let paragraph = |one: &str| [".PP\n", &escaped(one), "\n"].concat();
    text.split("\n\n").map(paragraph).collect()
}

fn list(heading: &str, rows: &[(&str, &str)]) -> String {
    let row = |(term, words): &(&str, &str)| {
        format!(".TP\n\\fB{}\\fR\n{}\n", escaped(term), escaped(words))
    };
    format!(".SH \"{heading}\"\n{}", rows.iter().map(row).collect::<String>())
}

fn see_also(command: &Command) -> String {
    let own = name(command);
    let mut names = vec![];
    if let Some((parent, _)) = own.rsplit_once('-').filter(|_| own != "attendant") {
        names.push(parent.to_owned());
    }
    names.extend(children(command).map(|one| name(one).to_owned()));
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<String> =
        names.iter().map(|one| format!("\\fB{}\\fR(1)", escaped(one))).collect();
    format!(".SH \"SEE ALSO\"\n{}\n", names.join(", "))
}

/// Text in which roff finds no commands of its own.
fn escaped(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
        if line.starts_with('.') { format!("\\&{line}") } else { line }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_all_that_a_manual_has() {
        let pages = all(&root());
        assert!(pages.len() > 30, "{}", pages.len());
        for (name, text) in &pages {
            let mut at = 0;
            for section in [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "OPTIONS",
                "\"EXIT STATUS\"",
                "\"FILES\"",
                "\"ENVIRONMENT\"",
            ] {
                let found = text[at..].find(&format!(".SH {section}\n"));
                at += found.unwrap_or_else(|| panic!("{name}: no {section} in its place:\n{text}"));
            }
            assert!(!text.contains("Examples:") && !text.contains("Exit codes:"), "{name}");
        }
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["attendant", "attendant-run", "attendant-jobs-show", "attendant-man"] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
    }

    #[test]
    fn every_command_of_the_first_level_shows_how_it_is_used() {
        let root = root();
        for command in children(&root).chain([&root]) {
            let (_, examples) = notes(command);
            assert!(examples.contains("attendant "), "{} has no examples", command.get_name());
        }
    }

    #[test]
    fn examples_are_as_they_are_typed() {
        let page = page(root().find_subcommand("completions").unwrap());
        assert!(page.contains(".SH EXAMPLES\n.nf\nattendant completions bash > "), "{page}");
        assert!(page.contains("\\fBattendant\\fR(1)"), "{page}");
    }

    #[test]
    fn roff_finds_no_commands_in_the_text() {
        assert_eq!(escaped("a\\b --x\n.fi\n'q"), "a\\eb \\-\\-x\n\\&.fi\n\\(aqq");
    }
}
