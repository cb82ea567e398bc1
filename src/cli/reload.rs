//! `attendant reload`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::path,
    exit::{Exit, Failure},
    fields,
    session::{Ended, Session},
    table::counted,
};

/// Have the daemon read its configuration, definitions and file secrets anew
#[derive(Debug, Args)]
#[command(after_help = "\
Returns when the new ones are in force. Exit code 2 if they are bad: then the old ones stay, and what
is wrong is printed as `attendant check` prints it. Running attempts end with the old ones. Jobs of
accounts and kinds that are gone wait and say so. What takes a restart (the database, the sealing
key, sockets, the log, [engine]) is named. Secrets that systemd passes (`credential = …`) are those
of the last start.

Examples:
  attendant reload")]
pub(super) struct Reload {}

impl Reload {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        let reply = match session.client.post(&path(&["reload"]), &json!({})).await {
            Ok(reply) => reply,
            Err(Failure::Problem { status: 422, problem, .. }) if !session.json() => {
                return Err(Failure::usage(refused(&problem)));
            }
            Err(other) => return Err(other),
        };
        if !session.json() {
            for warning in fields::list(&reply.value()?, "warnings") {
                session.console.note(format!("warning: {}", warning.as_str().unwrap_or_default()));
            }
        }
        session.show(&reply, |done, _| told(done))?;
        Ok(Exit::Done)
    }
}

/// One problem a line.
fn refused(problem: &Value) -> String {
    let detail = problem.get("detail").and_then(Value::as_str).unwrap_or_default();
    let lines: Vec<String> = detail.lines().map(fields::clean).collect();
    format!(
        "the configuration is not valid, and the one before stays in force:\n{}",
        lines.join("\n")
    )
}

fn told(done: &Value) -> String {
    let accounts = usize::try_from(fields::number(done, "accounts")).unwrap_or(0);
    let mut lines = vec![format!("Reloaded: {}.", counted(accounts, "account"))];
    for (field, what) in [
        ("added", "added"),
        ("removed", "removed, their jobs wait"),
        ("changed", "changed"),
        ("definitions", "other definitions"),
    ] {
        let names: Vec<&str> = fields::list(done, field).iter().filter_map(Value::as_str).collect();
        if !names.is_empty() {
            lines.push(format!("{what}: {}", names.join(", ")));
        }
    }
    for one in fields::list(done, "needs_restart") {
        lines.push(format!("{}: {}", fields::text(one, "key"), fields::text(one, "message")));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_one_a_line() {
        let told = refused(&json!({"detail": "a.toml:1: x: is bad\nb.toml: y: is\u{7} bad"}));
        let lines: Vec<&str> = told.lines().skip(1).collect();
        assert_eq!(lines.len(), 2, "{told}");
        assert_eq!(lines[0], "a.toml:1: x: is bad");
        assert!(!told.contains('\u{7}'));
    }

    #[test]
    fn only_what_changed_is_told() {
        let none: [&str; 0] = [];
        let mut done = json!({"accounts": 2, "added": none, "removed": none, "changed": none,
            "definitions": none, "needs_restart": none, "warnings": none});
        assert_eq!(told(&done), "Reloaded: 2 accounts.\n");
        done["removed"] = json!(["a", "b"]);
        done["needs_restart"] = json!([{"key": "seal.key", "message": "takes a restart"}]);
        let expected = "Reloaded: 2 accounts.\nremoved, their jobs wait: a, b\n\
                        seal.key: takes a restart\n";
        assert_eq!(told(&done), expected);
    }
}
