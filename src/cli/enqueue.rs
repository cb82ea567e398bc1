//! `attendant enqueue`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{
    batch,
    client::Reply,
    exit::{Exit, Failure},
    fields,
    session::{Ended, Session},
    times, typed,
    wait::{self, Scope},
};
use crate::types::{JobId, Timestamp};

/// What stands for a result that holds secrets.
const HIDDEN: &str = "***";

crate::types::opaque!(Enqueue);

/// Give the daemon a job; prints its id once it is durable
#[derive(Args)]
#[command(after_help = "\
Arguments: `attendant kinds KIND` says what a kind takes. With --arg, integers, numbers, booleans,
objects and arrays are written as JSON; strings, ids and choices as they are. A value that begins
with `@` names a file (`@-` is standard input); give a text that begins so with --args. A single
--arg goes before the same name in --args.

Keys: the same --key with the same kind, account and arguments gives the earlier job again, whatever
became of it, so that a caller that does not know whether it was heard may just ask again. The same
key with others is refused. Kinds that must never be repeated need a key, or --unkeyed.

With --wait the id is on standard error and the result on standard output, as `***` where it holds
secrets (`attendant jobs result` prints those to who may have them); the exit code is 1 if the job is dead or cancelled, 124 if the time is up, and the job goes on in any case.

Examples:
  attendant enqueue certn.users --wait
  attendant enqueue certn.applicant --arg industry=hr --arg id=5d1c… --in 1h --tag onboarding
  attendant enqueue certn.application --key hire-4711 --arg industry=hr \\
      --arg application=@order.json --wait=chain --timeout 12h
  attendant enqueue --batch jobs.ndjson")]
pub(super) struct Enqueue {
    /// What to do, such as certn.users; `attendant kinds` lists all
    #[arg(required_unless_present = "batch")]
    kind: Option<String>,
    /// The account to use; may be left out where the provider has one, or a default one
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// One argument; may be given several times
    #[arg(long = "arg", value_name = "NAME=VALUE|NAME=@FILE")]
    single: Vec<String>,
    /// All arguments as a JSON object; `-` reads it from standard input
    #[arg(long = "args", value_name = "JSON|-")]
    whole: Option<String>,
    /// Your own name for this request, so that it is never carried out twice
    #[arg(long, conflicts_with = "unkeyed")]
    key: Option<String>,
    /// A kind that must never be repeated, without a key: asking twice does it twice
    #[arg(long)]
    unkeyed: bool,
    /// Not before this time (RFC 3339, such as 2026-12-31T23:59:59Z)
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    at: Option<Timestamp>,
    /// Not before this much time has passed (30s, 12h)
    #[arg(long = "in", value_name = "DURATION", value_parser = times::duration)]
    delay: Option<Duration>,
    /// 0 (first; operators only) to 3 [default: by the kind's shape]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=3))]
    priority: Option<u8>,
    /// A label to find the job by; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Wait for the job, or for it with all that comes of it, and print the job's result
    #[arg(
        long,
        value_enum,
        value_name = "SCOPE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "job"
    )]
    wait: Option<Scope>,
    /// Wait at most so long [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = times::duration, requires = "wait")]
    timeout: Option<Duration>,
    /// Many jobs: one JSON object a line, as for `POST /v1/jobs`; prints one id or error a line
    #[arg(long, value_name = "FILE|-", conflicts_with_all = [
        "kind", "account", "single", "whole", "key", "unkeyed", "at", "delay", "priority", "tags",
        "wait",
    ])]
    batch: Option<String>,
}

impl Enqueue {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        if let Some(file) = &self.batch {
            return batch::run(session, file).await;
        }
        let body = self.body(session).await?;
        let reply = session.post(&["jobs"], &body).await?;
        let job = reply.value()?;
        let id: JobId = fields::text(&job, "id")
            .parse()
            .map_err(|_| Failure::not_so("the daemon's answer names no job"))?;
        if reply.status == 200 {
            session.console.note(format!("attendant: {}", earlier(&job)));
        }
        match self.wait {
            None => printed(session, &reply, id),
            Some(scope) => wait::within(self.timeout, id, scope, waited(session, id, scope)).await,
        }
    }

    /// The body of `POST /v1/jobs`; what is not given is not in it.
    async fn body(&self, session: &mut Session<'_, '_>) -> Result<Value, Failure> {
        let kind = self.kind.clone().unwrap_or_default();
        let whole = self.whole.as_deref();
        let args = typed::arguments(session, &kind, whole, &self.single).await?;
        let run_at = self.at.or_else(|| Some(session.now().plus(self.delay?)));
        let mut body = json!({"kind": kind, "args": args});
        let given = [
            ("account", self.account.as_ref().map(|name| json!(name))),
            ("key", self.key.as_ref().map(|key| json!(key))),
            ("unkeyed", self.unkeyed.then_some(Value::Bool(true))),
            ("run_at", run_at.map(|at| json!(at))),
            ("priority", self.priority.map(|priority| json!(priority))),
            ("tags", (!self.tags.is_empty()).then(|| json!(self.tags))),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        Ok(body)
    }
}

async fn waited(session: &mut Session<'_, '_>, id: JobId, scope: Scope) -> Ended {
    let told = if session.json() { json!({"id": id}).to_string() } else { id.to_string() };
    session.console.note(told);
    let reply = wait::ended(session, id, scope).await?;
    let job = reply.value()?;
    let mut exit = Exit::Done;
    if scope == Scope::Chain {
        for failure in wait::failed(session, &job).await? {
            exit = session.tolerate(exit, failure)?;
        }
        // What the first job brought is worth having even if its report failed.
        if wait::verdict(&job).is_err() {
            return Ok(exit.max(Exit::NotSo));
        }
    } else {
        wait::verdict(&job)?;
    }
    if fields::text(&job, "result") == HIDDEN {
        if !session.json() {
            session.console.note(format!(
                "The result holds secrets; `attendant jobs result {id}` prints them."
            ));
        }
        session.console.value(&json!(HIDDEN))?;
        return Ok(exit);
    }
    let result = wait::patiently(session, &["jobs", &id.to_string(), "result"], &[]).await?;
    session.console.raw(&result.body)?;
    Ok(exit)
}

fn printed(session: &mut Session<'_, '_>, reply: &Reply, id: JobId) -> Ended {
    session.show(reply, |_, _| format!("{id}\n"))?;
    Ok(Exit::Done)
}

/// What an answer 200 means: nothing new was made.
fn earlier(job: &Value) -> String {
    if fields::flag(job, "pruned") {
        return "this key was used before; only the job's id is left".to_owned();
    }
    let (state, at) = (fields::text(job, "state"), fields::text(job, "created_at"));
    format!("this was asked for before: the job of {at}, which is {state}")
}
