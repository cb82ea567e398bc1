//! `jobs cancel`, `retry`, `resolve` and `erase`.

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::list::{self, Filter};
use crate::{
    cli::{
        client::Reply,
        exit::{Exit, Failure},
        fields,
        session::{Ended, Session},
        table::counted,
        typed,
    },
    types::{JobId, JobState},
};

/// Run jobs again, or ahead of their time
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("filter")
        .args(["state", "kind", "account", "tag", "code", "since"])
        .multiple(true)
        .conflicts_with("ids"),
    after_help = "\
Name jobs, or choose them with filters (dead ones, if no --state is given). A queued job runs now. A
job of which nobody knows whether it was carried out (code outcome_unknown) is refused without
--resend: see `attendant jobs resolve`.

Examples:
  attendant jobs retry 0199c0de-…
  attendant jobs retry --account certn --code connect --since 1h --dry-run
  attendant jobs retry --account certn --code connect --since 1h"
)]
pub(in crate::cli) struct Retry {
    #[arg(value_name = "ID", required_unless_present = "filter")]
    ids: Vec<JobId>,
    #[command(flatten)]
    filter: Filter,
    /// Only show which jobs it would be
    #[arg(long)]
    dry_run: bool,
    /// Send it even though it may have been carried out already: it may then happen twice
    #[arg(long)]
    resend: bool,
}

impl Retry {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        let jobs = self.jobs(session).await?;
        if jobs.is_empty() {
            self.filter.known(session).await?;
        }
        if self.dry_run {
            return dry(session, &jobs, self.resend);
        }
        let body = if self.resend { json!({"resend": true}) } else { json!({}) };
        let ids: Vec<String> = jobs.iter().map(|job| fields::text(job, "id")).collect();
        if ids.is_empty() {
            session.console.note("No job matches.");
        }
        each(session, &ids, "retry", &body, "will run again").await
    }

    /// The jobs meant: those named, without asking, or those that match.
    async fn jobs(&self, session: &Session<'_, '_>) -> Result<Vec<Value>, Failure> {
        if self.filter.is_empty() {
            let mut jobs = vec![];
            for &id in &self.ids {
                let job =
                    if self.dry_run { session.job(id).await?.value()? } else { json!({"id": id}) };
                jobs.push(job);
            }
            return Ok(jobs);
        }
        let state = self.filter.state.or(Some(JobState::Dead));
        let filter = Filter { state, ..self.filter.clone() };
        Ok(list::find(session, &filter, usize::MAX).await?.jobs)
    }
}

/// Shows what would run again, and apart from it what would be refused.
fn dry(session: &mut Session<'_, '_>, jobs: &[Value], resend: bool) -> Ended {
    let (refused, ready): (Vec<Value>, Vec<Value>) =
        jobs.iter().cloned().partition(|job| refusal(job, resend).is_some());
    if session.json() {
        session.console.value(&json!({"jobs": ready, "refused": refused, "cursor": null}))?;
        return Ok(Exit::Done);
    }
    let text = list::table_with(jobs, session.now(), |job| refusal(job, resend));
    session.console.text(text)?;
    let not = match refused.len() {
        0 => String::new(),
        count => format!(", {count} would be refused"),
    };
    let ready = counted(ready.len(), "job");
    session.console.note(format!("{ready} would run again{not}; nothing was done."));
    Ok(Exit::Done)
}

/// Why the daemon would not run a job again.
fn refusal(job: &Value, resend: bool) -> Option<String> {
    let state = fields::text(job, "state").parse().ok()?;
    let unknown = fields::text(job, "last_error.code") == "outcome_unknown";
    match state {
        JobState::Completed | JobState::Running => Some(format!("refused: it is {state}")),
        JobState::Dead if unknown && !resend => Some("refused without --resend".to_owned()),
        _ => None,
    }
}

pub(super) async fn cancel(session: &mut Session<'_, '_>, ids: &[JobId]) -> Ended {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    each(session, &ids, "cancel", &json!({}), "is cancelled").await
}

pub(super) async fn erase(session: &mut Session<'_, '_>, ids: &[JobId]) -> Ended {
    let mut exit = Exit::Done;
    for id in ids.iter().map(ToString::to_string) {
        match session.post(&["jobs", &id, "erase"], &json!({})).await {
            Ok(reply) => session.show(&reply, |job, _| erased(job, &id))?,
            Err(failure) => exit = session.tolerate(exit, failure)?,
        }
    }
    Ok(exit)
}

/// What is gone, and what a backup still has.
fn erased(job: &Value, id: &str) -> String {
    let jobs = counted(fields::list(job, "erased.jobs").len(), "job");
    let files = match fields::number(job, "erased.artifacts") {
        0 => String::new(),
        1 => " and 1 file".to_owned(),
        count => format!(" and {count} files"),
    };
    let backups = if fields::text(job, "erased.backups") == "unreadable" {
        "backups made before cannot be read either"
    } else {
        "but the daemon cannot change its sealing key: backups made before can be read until it is \
         replaced (`attendant rekey`)"
    };
    format!("{id} is erased, with its chain of {jobs}{files}; {backups}\n")
}

/// Asks the same of several jobs. One that is refused does not keep the others.
async fn each(
    session: &mut Session<'_, '_>,
    ids: &[String],
    action: &str,
    body: &Value,
    done: &str,
) -> Ended {
    let mut exit = Exit::Done;
    for id in ids {
        match session.post(&["jobs", id, action], body).await {
            Ok(reply) => told(session, &reply, id, done)?,
            Err(failure) => exit = session.tolerate(exit, failure)?,
        }
    }
    Ok(exit)
}

fn told(session: &mut Session<'_, '_>, reply: &Reply, id: &str, done: &str) -> Result<(), Failure> {
    let done = if reply.status == 202 { "ends once its running request has ended" } else { done };
    session.show(reply, |_, _| format!("{id} {done}\n"))
}

/// Settle a job of which nobody knows whether it was carried out (code `outcome_unknown`)
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("answer").args(["happened", "not_sent"]).required(true),
    after_help = "\
Look at the provider's side first. If the request was carried out, give the answer that it would
have had: the job is then completed, and what follows it begins. If it was not, it is sent again.

Examples:
  attendant jobs resolve 0199c0de-… --happened --response '{\"id\": \"5d1c…\"}'
  attendant jobs resolve 0199c0de-… --happened --response - < answer.json
  attendant jobs resolve 0199c0de-… --not-sent"
)]
pub(in crate::cli) struct Resolve {
    id: JobId,
    /// It was carried out
    #[arg(long, requires = "response")]
    happened: bool,
    /// What the provider answered, or would have; `-` reads standard input
    #[arg(long, value_name = "JSON|-", requires = "happened")]
    response: Option<String>,
    /// It was not carried out: send it again
    #[arg(long)]
    not_sent: bool,
}

impl Resolve {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        let (body, done) = match &self.response {
            Some(text) => {
                let response = typed::json("--response", text, session.console)?;
                (json!({"happened": response}), "is completed")
            }
            None => (json!({"not_sent": true}), "is sent again"),
        };
        let id = self.id.to_string();
        let reply = session.post(&["jobs", &id, "resolve"], &body).await?;
        told(session, &reply, &id, done)?;
        Ok(Exit::Done)
    }
}
