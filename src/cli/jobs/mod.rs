//! `attendant jobs`.

mod act;
mod artifact;
mod list;
mod show;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use self::list::Filter;
use super::{
    exit::Exit,
    session::{Ended, Session},
    times,
    wait::{self, Scope},
};
use crate::types::JobId;

/// List jobs, look at them, and act on them
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Without a command it lists jobs, newest first.

Examples:
  attendant jobs --state dead --since 24h
  attendant jobs --kind certn.applicant --tag onboarding --limit 500
  attendant jobs show 0199c0de-…
  attendant jobs retry --code connect --since 1h --dry-run"
)]
pub(super) struct Jobs {
    #[command(flatten)]
    filter: Filter,
    /// List at most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(subcommand)]
    command: Option<JobsCommand>,
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    /// Everything about jobs: attempts, what was observed, what came of them
    Show {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
    /// Print the results of completed jobs, as JSON, one a line
    #[command(after_help = "Exit code 1 if a job is not completed, erased, or unknown.")]
    Result {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
    Wait(Wait),
    /// Cancel jobs; a running attempt is stopped too
    #[command(after_help = "\
A request that must never be repeated and is already on its way is not cut off: the job is
cancelled once it has ended, or `dead` with code outcome_unknown if nobody knows how.")]
    Cancel {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
    Retry(act::Retry),
    Resolve(act::Resolve),
    /// Erase the data of jobs and of their whole chains, for good
    #[command(after_help = "\
Arguments, results, observed statuses, files, providers' words, keys and tags go, of every job of
the chain. What stays: ids, kind, account, state, times and counts, and that a key was used. Backups
of the database made before cannot be read either, unless the daemon cannot change its sealing key
(then it says so). Nothing brings the data back. A chain that is still running is refused: cancel
it first. Exit code 1 if one was refused.

Examples:
  attendant jobs erase 0199c0de-…")]
    Erase {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
    /// Fetch a downloaded file
    #[command(after_help = "\
Without -o the file goes to standard output. With -o only you may read it (mode 0600), and nothing is left behind, and an earlier file is
kept, if it does not come whole.

Examples:
  attendant jobs artifact 0199c0de-… report.pdf -o report.pdf")]
    Artifact {
        id: JobId,
        /// `attendant jobs show ID` lists the names
        name: String,
        /// Where to
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Wait until jobs have ended
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 1 if one is dead or cancelled, 124 when the time is up. A daemon that restarts meanwhile
is waited for.

Examples:
  attendant jobs wait 0199c0de-…
  attendant jobs wait --scope chain --timeout 12h 0199c0de-…")]
struct Wait {
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobId>,
    /// For the job, or for it with all that comes of it
    #[arg(long, value_enum, default_value = "job")]
    scope: Scope,
    /// In all at most so long [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = times::duration)]
    timeout: Option<Duration>,
}

impl Jobs {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        match self.command {
            None => list::run(session, &self.filter, self.limit).await,
            Some(JobsCommand::Show { ids }) => show::run(session, &ids).await,
            Some(JobsCommand::Result { ids }) => results(session, &ids).await,
            Some(JobsCommand::Wait(wait)) => wait.run(session).await,
            Some(JobsCommand::Cancel { ids }) => act::cancel(session, &ids).await,
            Some(JobsCommand::Retry(retry)) => retry.run(session).await,
            Some(JobsCommand::Resolve(resolve)) => resolve.run(session).await,
            Some(JobsCommand::Erase { ids }) => act::erase(session, &ids).await,
            Some(JobsCommand::Artifact { id, name, output }) => {
                artifact::run(session, id, &name, output.as_deref()).await
            }
        }
    }
}

async fn results(session: &mut Session<'_, '_>, ids: &[JobId]) -> Ended {
    let mut exit = Exit::Done;
    for id in ids {
        match session.get(&["jobs", &id.to_string(), "result"], &[]).await {
            Ok(reply) => session.console.raw(&reply.body)?,
            Err(failure) => exit = session.tolerate(exit, failure)?,
        }
    }
    Ok(exit)
}

impl Wait {
    async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        let started = tokio::time::Instant::now();
        let mut exit = Exit::Done;
        for &id in &self.ids {
            let left = self.timeout.map(|limit| limit.saturating_sub(started.elapsed()));
            match wait::within(left, id, self.scope, told(session, id, self.scope)).await {
                Ok(one) => exit = exit.max(one),
                Err(failure) => exit = session.tolerate(exit, failure)?,
            }
        }
        Ok(exit)
    }
}

/// Waits for a job, or its chain, and says how it ended.
async fn told(session: &mut Session<'_, '_>, id: JobId, scope: Scope) -> Ended {
    let reply = wait::ended(session, id, scope).await?;
    session.show(&reply, |job, _| list::line(job))?;
    let job = reply.value()?;
    let failures = match scope {
        Scope::Chain => wait::failed(session, &job).await?,
        Scope::Job => wait::verdict(&job).err().into_iter().collect(),
    };
    failures.into_iter().try_fold(Exit::Done, |exit, failure| session.tolerate(exit, failure))
}
