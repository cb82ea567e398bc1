//! `attendant queues`.

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::{
    exit::{Exit, Failure},
    fields,
    session::{Ended, Session},
    table::Table,
    times,
};
use crate::types::Timestamp;

/// The accounts' queues: what holds them, what is left of their budgets, how much waits
#[derive(Debug, Args)]
#[command(after_help = "\
Every account has one queue. DUE jobs could run now, WAITING ones run later by themselves.

Examples:
  attendant queues
  attendant queues pause certn
  attendant queues resume --all")]
pub(super) struct Queues {
    #[command(subcommand)]
    command: Option<QueuesCommand>,
}

#[derive(Debug, Subcommand)]
enum QueuesCommand {
    /// Start no more jobs of an account; running ones end
    Pause(Which),
    /// Open a queue, whatever held it shut: a pause, an API that had changed; with --all also take a
    /// clock that jumped for right
    Resume(Which),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["account", "all"]).required(true))]
struct Which {
    account: Option<String>,
    /// Every account
    #[arg(long)]
    all: bool,
}

impl Queues {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        match self.command {
            None => {
                let reply = session.get(&["queues"], &[]).await?;
                session.show(&reply, text)?;
                Ok(Exit::Done)
            }
            Some(QueuesCommand::Pause(which)) => which.act(session, "pause", "is paused").await,
            Some(QueuesCommand::Resume(which)) => which.act(session, "resume", "is open").await,
        }
    }
}

impl Which {
    async fn act(self, session: &mut Session<'_, '_>, action: &str, done: &str) -> Ended {
        let accounts = match self.account {
            Some(account) => vec![account],
            None => accounts(session).await?,
        };
        let mut exit = Exit::Done;
        for account in accounts {
            match session.post(&["queues", &account, action], &json!({})).await {
                // An API that has nothing to tell is as good as one that shows the queue.
                Ok(reply) if session.json() && !reply.body.is_empty() => {
                    session.console.raw(&reply.body)?;
                }
                Ok(_) if session.json() => {}
                Ok(_) => session.console.line(format!("{account} {done}"))?,
                Err(failure) => exit = session.tolerate(exit, failure)?,
            }
        }
        if self.all && action == "resume" {
            confirm_clock(session).await?;
        }
        Ok(exit)
    }
}

/// "Go" for everything is also a word on a clock that jumped. A daemon that knows no such thing
/// doubts nothing.
async fn confirm_clock(session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let confirmed = session.post(&["clock", "confirm"], &json!({})).await;
    let doubted = confirmed.ok().and_then(|reply| reply.value().ok());
    if !session.json() && doubted.is_some_and(|value| value["was_doubtful"] == true) {
        session.console.line("the clock is taken for right")?;
    }
    Ok(())
}

/// Every account.
pub(super) async fn accounts(session: &Session<'_, '_>) -> Result<Vec<String>, Failure> {
    let queues = session.get(&["queues"], &[]).await?.value()?;
    Ok(fields::list(&queues, "queues").iter().map(|one| fields::text(one, "account")).collect())
}

fn text(queues: &Value, now: Timestamp) -> String {
    let heading =
        ["ACCOUNT", "PROVIDER", "STATE", "RUNNING", "DUE", "WAITING", "NEXT", "BUDGET", "NOTE"];
    let mut table = Table::new(&heading);
    for one in fields::list(queues, "queues") {
        table.row([
            fields::cell(one, "account"),
            fields::cell(one, "provider"),
            fields::cell(one, "state"),
            fields::cell(one, "running"),
            fields::cell(one, "due"),
            fields::cell(one, "waiting"),
            times::cell(fields::time(one, "next_run_at"), now),
            budget(one),
            note(one, now),
        ]);
    }
    table.render()
}

/// `12 left of 240/1m`, the tightest window first as configured.
fn budget(queue: &Value) -> String {
    let windows = fields::list(queue, "budget").iter().map(|one| {
        format!("{} left of {}", fields::number(one, "left"), fields::text(one, "limit"))
    });
    let windows: Vec<String> = windows.collect();
    if windows.is_empty() { "-".to_owned() } else { windows.join(", ") }
}

/// What holds due jobs, and until when; empty where nothing does.
pub(super) fn hold(of: &Value, now: Timestamp) -> String {
    let (code, detail) =
        (fields::text(of, "waiting_for.code"), fields::text(of, "waiting_for.detail"));
    let held = fields::said_once(&code, &detail);
    match fields::time(of, "waiting_for.until") {
        Some(until) => format!("{held} ({})", times::relative(until, now)),
        None => held,
    }
}

/// What holds the queue or one of its kinds.
fn note(queue: &Value, now: Timestamp) -> String {
    let mut notes: Vec<String> =
        [hold(queue, now)].into_iter().filter(|one| !one.is_empty()).collect();
    for kind in fields::list(queue, "held_kinds") {
        let (kind, detail) = (fields::text(kind, "kind"), fields::text(kind, "detail"));
        notes.push(format!("{kind} is held: {detail}"));
    }
    notes.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_tells_why_it_is_shut_and_what_is_left() {
        let now = Timestamp(1_790_000_000_000);
        let queues = json!({"queues": [
            {"account": "certn", "provider": "certn", "state": "gated", "running": 0, "due": 7,
             "waiting": 2, "next_run_at": null,
             "waiting_for": {"code": "gate", "until": "2026-09-21T14:14:20Z", "detail": "503"},
             "budget": [{"limit": "240/1m", "used": 40, "left": 200}],
             "held_kinds": [{"kind": "certn.users", "detail": "410"}]},
        ]});
        let expected = "\
ACCOUNT  PROVIDER  STATE  RUNNING  DUE  WAITING  NEXT  BUDGET              NOTE
certn    certn     gated  0        7    2        -     200 left of 240/1m  gate: 503 (in 1m); \
certn.users is held: 410
";
        assert_eq!(text(&queues, now), expected);
    }
}
