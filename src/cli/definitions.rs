//! `attendant kinds` and `attendant definitions`.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    console::Console,
    exit::{Exit, Failure},
    fields,
    session::{Ended, Session},
    table::Table,
};
use crate::definition::schema_text;

/// List the kinds of jobs, with their arguments
#[derive(Debug, Args)]
#[command(after_help = "\
An argument marked with `*` must be given. `--arg NAME=VALUE` of `attendant enqueue` takes JSON for
integers, numbers, booleans, objects and arrays, and the text itself for the others.

Examples:
  attendant kinds
  attendant kinds certn
  attendant kinds certn.applicant --json")]
pub(super) struct Kinds {
    /// Only this kind, or the kinds of this provider
    name: Option<String>,
}

impl Kinds {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        let reply = session.get(&["kinds"], &[]).await?;
        let Some(name) = self.name else {
            session.show(&reply, |kinds, _| all(fields::list(kinds, "kinds").iter()))?;
            return Ok(Exit::Done);
        };
        let mut value = reply.value()?;
        let meant = |kind: &Value| {
            fields::text(kind, "name") == name || fields::text(kind, "provider") == name
        };
        let kinds = value.get_mut("kinds").and_then(Value::as_array_mut);
        let found = kinds.is_some_and(|kinds| {
            kinds.retain(meant);
            !kinds.is_empty()
        });
        if !found {
            return Err(Failure::not_so(format!(
                "there is no kind or provider `{name}`: `attendant kinds` lists all"
            )));
        }
        if session.json() {
            session.console.value(&value)?;
        } else {
            session.console.text(all(fields::list(&value, "kinds").iter()))?;
        }
        Ok(Exit::Done)
    }
}

fn all<'a>(kinds: impl Iterator<Item = &'a Value>) -> String {
    let blocks: Vec<String> = kinds.map(kind).collect();
    blocks.join("\n")
}

fn kind(kind: &Value) -> String {
    let never = fields::text(kind, "repeat") == "never";
    let never = if never { ", never repeated: needs --key or --unkeyed" } else { "" };
    let title = fields::text(kind, "title");
    let title = if title.is_empty() { title } else { format!("{title} ") };
    let shape = fields::text(kind, "shape");
    let mut args = Table::bare();
    for arg in fields::list(kind, "args") {
        args.row(argument(arg));
    }
    format!("{}\n  {title}({shape}{never})\n{}", fields::text(kind, "name"), args.indented("    "))
}

fn argument(arg: &Value) -> [String; 3] {
    let mark = if fields::flag(arg, "required") { "*" } else { "" };
    let words = fields::list(arg, "enum").iter().filter_map(Value::as_str);
    let words = words.map(fields::clean).collect::<Vec<_>>().join("|");
    let kind = if words.is_empty() { fields::text(arg, "type") } else { words };
    let default = fields::text(arg, "default");
    let mut notes = vec![];
    if !default.is_empty() {
        notes.push(format!("default {default}"));
    }
    if fields::flag(arg, "secret") {
        notes.push("secret".to_owned());
    }
    let title = fields::text(arg, "title");
    let title = match (title.is_empty(), notes.is_empty()) {
        (_, true) => title,
        (true, false) => format!("({})", notes.join(", ")),
        (false, false) => format!("{title} ({})", notes.join(", ")),
    };
    [format!("{}{mark}", fields::text(arg, "name")), kind, title]
}

/// The providers' definitions in force
#[derive(Debug, Args)]
#[command(after_help = "\
To change a provider, save its definition in `jobs_dir` and mend it there: a file of that name
replaces the built-in one. `attendant check` says whether it is right. An editor that knows the
schema completes and explains the keys: save it beside your definitions, and begin each of them with
the line `#:schema ./schema.json`.

Examples:
  attendant definitions list
  attendant definitions show certn > /etc/attendant/jobs.d/certn.toml
  attendant definitions schema > /etc/attendant/jobs.d/schema.json")]
pub(super) struct Definitions {
    #[command(subcommand)]
    command: DefinitionsCommand,
}

#[derive(Debug, Subcommand)]
enum DefinitionsCommand {
    /// List the providers
    List,
    /// Print one definition, comments included
    Show { provider: String },
    /// Print the JSON Schema of definitions, for editors; needs no daemon
    Schema,
}

impl Definitions {
    /// What is asked for is in the program itself: no daemon is needed, and no configuration.
    pub const fn is_schema(&self) -> bool {
        matches!(self.command, DefinitionsCommand::Schema)
    }

    pub fn print_schema(console: &mut Console<'_>) -> Ended {
        console.text(schema_text())?;
        Ok(Exit::Done)
    }

    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        match self.command {
            DefinitionsCommand::List => {
                let reply = session.get(&["definitions"], &[]).await?;
                session.show(&reply, |definitions, _| listed(definitions))?;
            }
            DefinitionsCommand::Show { provider } => {
                let reply = session.get(&["definitions", &provider], &[]).await?;
                session.console.raw(&reply.body)?;
            }
            DefinitionsCommand::Schema => return Self::print_schema(session.console),
        }
        Ok(Exit::Done)
    }
}

fn listed(definitions: &Value) -> String {
    let mut table = Table::new(&["PROVIDER", "FILE", "TITLE"]);
    for one in fields::list(definitions, "definitions") {
        table.row([
            fields::cell(one, "provider"),
            fields::cell(one, "file"),
            fields::cell(one, "title"),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_shows_what_each_argument_takes() {
        let application = json!({
            "name": "certn.application", "title": "Order a check", "shape": "call",
            "repeat": "never", "provider": "certn",
            "args": [
                {"name": "industry", "title": "Which", "type": "enum", "enum": ["hr", "pm"],
                 "required": true, "default": null},
                {"name": "follow", "title": "", "type": "boolean", "required": false,
                 "default": true},
            ],
        });
        let text = all([application].iter());
        let expected = "certn.application\n  \
            Order a check (call, never repeated: needs --key or --unkeyed)\n    \
            industry*  hr|pm    Which\n    \
            follow     boolean  (default true)\n";
        assert_eq!(text, expected);
    }
}
