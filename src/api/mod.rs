//! The HTTP API on a Unix socket: JSON in, JSON or problem+json out.
//!
//! [`serve()`] takes connections, `access` knows who asks and what they may do, `rights` says which
//! right each route takes, `routes` which handler answers. Handlers ask the [`Engine`] and never the
//! database's tables; what they answer is made in `view` and `detail`. A request that is refused
//! changes nothing, and its `problem` names everything that is wrong with it.
//!
//! `POST /v1/jobs` is the hot path: its answer is built from what was stored, not read again.

pub mod access;
mod act;
mod backup;
mod body;
mod catalog;
mod credentials;
mod detail;
mod enqueue;
mod health;
mod jobs;
mod json;
mod metrics;
mod openapi;
mod path;
mod problem;
mod query;
mod queues;
mod rights;
mod routes;
mod schedules;
mod serve;
mod view;
mod wait;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::serve::{Listeners, serve};
use self::{
    access::Caller,
    problem::{Kind, Problem},
};
use crate::{
    config::Right,
    engine::{Engine, actions::Refusal},
    store::JobRow,
    types::JobId,
};

/// What all handlers share.
#[derive(Debug)]
struct Api {
    engine: Arc<Engine>,
    /// Cancelled when the daemon stops: whoever waits is answered at once.
    stopping: CancellationToken,
    /// Turns of batches, which may be large.
    batches: Arc<Semaphore>,
    /// Turn of lists that leave jobs out, which may look at many to find few.
    sieves: Semaphore,
    /// Of those who wait for jobs to end: they leave connections to others.
    waits: Semaphore,
}

impl Api {
    fn new(engine: Arc<Engine>, stopping: CancellationToken) -> Self {
        let batches = Arc::new(Semaphore::new(enqueue::MAX_BATCHES));
        let (sieves, waits) = (Semaphore::new(1), Semaphore::new(wait::MAX_WAITS));
        Self { engine, stopping, batches, sieves, waits }
    }

    fn refusal(&self, refusal: Refusal) -> Problem {
        Problem::refusal(refusal, self.engine.clock.wall())
    }

    /// The problem as this caller may know it: names of what is beyond their rules are not listed.
    fn refusal_to(&self, caller: &Caller, refusal: Refusal) -> Problem {
        match refusal {
            Refusal::Unknown { what, name, .. } if !caller.grants.everywhere(Right::Read) => {
                Problem::new(Kind::NotFound, format!("there is no {what} `{name}`"))
            }
            refusal => self.refusal(refusal),
        }
    }

    /// A job that the caller may do something with. One that they may not even read is not there
    /// for them; only one that they see is refused.
    async fn job(&self, caller: &Caller, rights: &[Right], id: JobId) -> Result<JobRow, Problem> {
        let row = match self.engine.find(id).await {
            Ok(row) => row,
            Err(Refusal::UnknownJob(_)) => {
                return Err(jobs::unknown(self, caller, rights, id).await?);
            }
            Err(no) => return Err(self.refusal(no)),
        };
        if rights.iter().any(|right| caller.grants.on_job(*right, &row)) {
            return Ok(row);
        }
        let right = rights.first().copied().unwrap_or(Right::Operate);
        let problem = caller.refuse(right, &format!(" for job {id}"));
        Err(if caller.reads(&row) { problem } else { jobs::absent(self, id) })
    }
}
