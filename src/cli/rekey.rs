//! `attendant rekey`.

use clap::Args;
use serde_json::Value;

use super::{
    client::path,
    exit::Exit,
    fields,
    session::{Ended, Session},
};

/// Seal everything with a new key, while the daemon runs
#[derive(Debug, Args)]
#[command(after_help = "\
Jobs go on meanwhile. It may take long with a large database; if this command is interrupted, or the
daemon killed, the daemon goes on with it by itself. Afterwards nothing is sealed with the old key.
Backups made before need the old key and cannot be read with the new one: make a backup, and keep a
copy of the new key. Exit code 1 if the key cannot be replaced, with what to do.

Examples:
  attendant rekey")]
pub(super) struct Rekey {}

impl Rekey {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        if !session.json() {
            session.console.note("Sealing everything with a new key; this may take a while.");
        }
        let reply = session.client.post_and_wait(&path(&["rekey"])).await?;
        session.show(&reply, |done, _| told(done))?;
        Ok(Exit::Done)
    }
}

fn told(done: &Value) -> String {
    let counts = done.get("resealed").and_then(Value::as_object);
    let counts = counts.into_iter().flatten().filter(|(_, count)| count.as_u64() != Some(0));
    let counts: Vec<String> = counts.map(|(name, count)| format!("{name} {count}")).collect();
    let unreadable = match fields::number(done, "unreadable") {
        0 => String::new(),
        count => format!("{count} values could be opened with no key, and are as they were.\n"),
    };
    let resealed = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
    format!(
        "Sealed anew with key {}: {resealed}.\n{unreadable}Backups made before cannot be read with \
         it: make a new one, and keep a copy of the key.\n",
        fields::text(done, "key"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_resealed_is_told() {
        let done =
            json!({"key": "d7660aa4", "resealed": {"args": 2, "errors": 0}, "unreadable": 1});
        let text = told(&done);
        assert!(text.starts_with("Sealed anew with key d7660aa4: args 2.\n1 values"), "{text}");
    }
}
