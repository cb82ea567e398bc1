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
of the last start.")]
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
        session.show(&reply, |done, _| told(done))?;
        Ok(Exit::Done)
    }
}

fn refused(problem: &Value) -> String {
    format!(
        "the configuration is not valid, and the one before stays in force:\n{}",
        fields::text(problem, "detail")
    )
}

fn told(done: &Value) -> String {
    let accounts = usize::try_from(fields::number(done, "accounts")).unwrap_or(0);
    let mut text = format!("Reloaded: {}.\n", counted(accounts, "account"));
    for (field, what) in [
        ("added", "added"),
        ("removed", "removed, their jobs wait"),
        ("changed", "changed"),
        ("definitions", "other definitions"),
    ] {
        let names: Vec<&str> = fields::list(done, field).iter().filter_map(Value::as_str).collect();
        if !names.is_empty() {
            text.push_str(&format!("{what}: {}\n", names.join(", ")));
        }
    }
    for one in fields::list(done, "needs_restart") {
        let (key, message) = (fields::text(one, "key"), fields::text(one, "message"));
        text.push_str(&format!("{key}: {message}\n"));
    }
    for warning in fields::list(done, "warnings").iter().filter_map(Value::as_str) {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
