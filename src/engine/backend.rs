//! The apalis side: the only file that names apalis.
//!
//! apalis runs the worker: it polls this backend for tasks, calls the service for each, and stops
//! gracefully. What a task is, when one is claimed and what its end means is ours: tasks are
//! decoded before apalis sees them, so that no payload can end a worker, and storage trouble is
//! waited out by the dispatcher and never reaches it.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use apalis::prelude::{BoxDynError, Data, Task, TaskBuilder, TaskId, WorkerBuilder, WorkerContext};
use apalis_core::backend::{Backend, BackendConfig, finalize::Ephemeral};
use tokio::sync::mpsc;
use tower::layer::util::Identity;

use super::dispatcher::Handed;

/// Claimed jobs, as apalis polls them.
#[derive(Debug)]
pub struct ClaimedJobs {
    jobs: mpsc::Receiver<Handed>,
}

impl Backend for ClaimedJobs {
    type Task = Task<Handed>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<Handed>, Infallible>>> {
        self.jobs.poll_recv(cx).map(|handed| {
            handed.map(|handed| {
                // Unique per run: apalis panics on an id it has seen.
                let id = TaskId::String(format!("{}.{}", handed.job.id, handed.job.generation.0));
                Ok(TaskBuilder::new(handed).task_id(id).build())
            })
        })
    }

    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        self.jobs.close();
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for ClaimedJobs {
    type Args = Handed;
    type Id = TaskId;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

/// What runs one claimed job to its settled end.
pub trait Execute: Send + Sync + 'static {
    fn execute(&self, handed: Handed) -> impl Future<Output = ()> + Send;
}

/// Runs claimed jobs until it is aborted: apalis keeps a worker whose stream has ended.
///
/// # Errors
/// What apalis says when its worker cannot run.
pub async fn run_worker<E: Execute>(
    name: String,
    jobs: mpsc::Receiver<Handed>,
    execute: Arc<E>,
) -> Result<(), String> {
    let worker =
        WorkerBuilder::new(name).backend(ClaimedJobs { jobs }).data(execute).build(run_one::<E>);
    worker.run().await.map_err(|error| error.to_string())
}

/// On a task of its own: attempts use every core, and a panic ends nothing but itself.
async fn run_one<E: Execute>(handed: Handed, execute: Data<Arc<E>>) -> Result<(), BoxDynError> {
    let execute = Arc::clone(&execute);
    let _ = tokio::spawn(async move { execute.execute(handed).await }).await;
    Ok(())
}
