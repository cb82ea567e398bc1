//! The HTTP API on a Unix socket: JSON in, JSON or problem+json out.
//!
//! [`serve()`] takes connections, `access` decides who may do what, `routes` says which handler
//! answers, and with which right. Handlers ask the [`Engine`] and never the database's tables; what
//! they answer is made in `view` and `detail`. A request that is refused changes nothing, and
//! its `problem` names everything that is wrong with it.
//!
//! `POST /v1/jobs` is the hot path: its answer is built from what was stored, not read again.

mod access;
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

use self::problem::Problem;
pub use self::serve::serve;
use crate::{
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
    /// Of those who wait for jobs to end: they leave connections to others.
    waits: Semaphore,
}

impl Api {
    fn new(engine: Arc<Engine>, stopping: CancellationToken) -> Self {
        let batches = Arc::new(Semaphore::new(enqueue::MAX_BATCHES));
        Self { engine, stopping, batches, waits: Semaphore::new(wait::MAX_WAITS) }
    }

    fn refusal(&self, refusal: Refusal) -> Problem {
        Problem::refusal(refusal, self.engine.clock.wall())
    }

    async fn find(&self, id: JobId) -> Result<JobRow, Problem> {
        self.engine.find(id).await.map_err(|no| self.refusal(no))
    }
}
