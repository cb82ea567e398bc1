//! `attendant schedules`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    exit::Exit,
    fields,
    session::{Ended, Session},
    table::Table,
    times,
};
use crate::types::Timestamp;

/// The schedules: when each runs next, when it last did and what came of it
#[derive(Debug, Args)]
#[command(after_help = "\
Schedules are written in the configuration ([schedules.NAME]); `attendant check` validates them.
The jobs of a schedule have the tag schedule:NAME.

Examples:
  attendant schedules
  attendant schedules run users_nightly
  attendant jobs --tag schedule:users_nightly")]
pub(super) struct Schedules {
    #[command(subcommand)]
    command: Option<SchedulesCommand>,
}

#[derive(Debug, Subcommand)]
enum SchedulesCommand {
    /// Run a schedule's job now; its occurrences come as before. Prints the job's id
    Run { name: String },
}

impl Schedules {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        let Some(SchedulesCommand::Run { name }) = self.command else {
            let reply = session.get(&["schedules"], &[]).await?;
            session.show(&reply, text)?;
            return Ok(Exit::Done);
        };
        let reply = session.post(&["schedules", &name, "run"], &json!({})).await?;
        session.show(&reply, |job, _| format!("{}\n", fields::text(job, "id")))?;
        Ok(Exit::Done)
    }
}

fn text(schedules: &Value, now: Timestamp) -> String {
    let mut table =
        Table::new(&["NAME", "CRON", "ZONE", "KIND", "ACCOUNT", "NEXT", "LAST", "OUTCOME"]);
    for one in fields::list(schedules, "schedules") {
        table.row([
            fields::cell(one, "name"),
            fields::cell(one, "cron"),
            fields::cell(one, "timezone"),
            fields::cell(one, "kind"),
            fields::cell(one, "account"),
            times::cell(fields::time(one, "next_at"), now),
            times::cell(fields::time(one, "last.at"), now),
            outcome(one),
        ]);
    }
    table.render()
}

fn outcome(schedule: &Value) -> String {
    let (state, code) = (fields::cell(schedule, "last.state"), fields::text(schedule, "last.code"));
    if code.is_empty() { state } else { format!("{state} ({code})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_tells_when_it_runs_and_how_it_went() {
        let now = Timestamp(1_790_000_000_000);
        let schedules = json!({"schedules": [
            {"name": "nightly", "cron": "0 3 * * *", "timezone": "UTC", "kind": "certn.users",
             "account": "certn", "next_at": "2026-09-21T16:13:20Z",
             "last": {"at": "2026-09-20T13:13:20Z", "state": "dead", "code": "http_404"}},
            {"name": "new", "cron": "@daily", "timezone": "UTC", "kind": "certn.users",
             "account": "certn", "next_at": null, "last": null},
        ]});
        let expected = "\
NAME     CRON       ZONE  KIND         ACCOUNT  NEXT   LAST       OUTCOME
nightly  0 3 * * *  UTC   certn.users  certn    in 2h  1d 1h ago  dead (http_404)
new      @daily     UTC   certn.users  certn    -      -          -
";
        assert_eq!(text(&schedules, now), expected);
    }
}
