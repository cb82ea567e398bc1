//! Jobs that do nothing, from the store through dispatcher and worker back into the store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Result, ensure};
use attendant::{
    credentials::vault::{self, Part, Payload},
    engine::{Engine, backend::Execute, dispatcher::Handed, enqueue::JobRequest},
    store::{ClaimedJob, NewAttempt, Settlement},
    types::{JobState, Timestamp},
};
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    measure::Run,
    plan,
    verify::{self, Started},
    world::{Durability, World},
};

/// An attempt without a request: opens the arguments, seals a result, settles.
#[derive(Debug)]
pub struct NoOp {
    engine: Arc<Engine>,
    started: Started,
    left: AtomicUsize,
    done: Notify,
}

impl NoOp {
    pub fn new(engine: &Arc<Engine>, n: usize) -> Self {
        Self {
            engine: Arc::clone(engine),
            started: Started::new(n),
            left: AtomicUsize::new(n),
            done: Notify::new(),
        }
    }

    /// Waits until the last end is on the disk.
    pub async fn wait(&self) {
        while self.left.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
    }

    pub fn check(&self) -> Result<()> {
        self.started.check()
    }

    /// Does the job and gives the number it was enqueued with. What cannot be done stays undone,
    /// and the row fails by it.
    pub async fn one(&self, handed: Handed) -> Option<usize> {
        let Handed { job, .. } = handed;
        let started_at = self.engine.clock.wall();
        let chain = self.engine.vault.chain(job.salt.as_ref()?);
        let payload: Payload = vault::open_json(&chain, job.id, Part::Args, &job.args).ok()?;
        let n = usize::try_from(payload.args.get("n")?.as_u64()?).ok()?;
        self.started.note(n);
        let result = vault::seal_json(&chain, job.id, Part::Result, &json!({ "ok": true, "n": n }));
        self.engine.wake.freed(job.queue, job.priority);
        let settlement = settlement(&job, started_at, self.engine.clock.wall(), result);
        let settled = self.engine.store.settle(vec![settlement]).await.ok()?;
        self.engine.running.end(job.seq, job.generation);
        (settled == [true]).then_some(n)
    }

    pub fn settled(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

impl Execute for NoOp {
    async fn execute(&self, handed: Handed) {
        if self.one(handed).await.is_some() {
            self.settled();
        }
    }
}

fn settlement(
    job: &ClaimedJob,
    started_at: Timestamp,
    now: Timestamp,
    result: Vec<u8>,
) -> Settlement {
    Settlement {
        seq: job.seq,
        generation: job.generation,
        from: JobState::Running,
        args_rev: None,
        now,
        state: JobState::Completed,
        run_at: now,
        ready: false,
        attempt: job.attempt + 1,
        errors: 0,
        polls: job.polls,
        deadline: job.deadline,
        error: None,
        result: Some(result),
        history: Some(NewAttempt { started_at, outcome: "completed", code: None, message: None }),
        observation: None,
        artifact: None,
        children: vec![],
    }
}

pub fn request(n: usize) -> JobRequest {
    JobRequest { kind: "bench.noop".to_owned(), args: json!({ "n": n }), ..JobRequest::default() }
}

/// Stores jobs `0..n`.
pub async fn fill(engine: &Engine, n: usize) -> Result<()> {
    let numbers: Vec<usize> = (0..n).collect();
    for some in numbers.chunks(1_000) {
        let requests = some.iter().map(|n| request(*n)).collect();
        let stored = engine.submit(requests, engine.actor, "bench").await?;
        ensure!(stored.iter().all(Result::is_ok), "some jobs were refused");
    }
    Ok(())
}

#[tokio::main]
pub async fn drain(slots: usize, durability: Durability) -> Result<Run> {
    let n = plan::jobs();
    let mut world = World::open(durability, slots).await?;
    fill(&world.engine, n).await?;
    let run = timed(&mut world, &format!("drain-{slots}"), n).await?;
    verify::done(&world.files.database(), n, n).await?;
    let run = world.describe(run).await?;
    world.close().await?;
    Ok(run)
}

/// From the start of the worker to the last end on the disk.
pub async fn timed(world: &mut World, row: &str, n: usize) -> Result<Run> {
    let noop = Arc::new(NoOp::new(&world.engine, n));
    let begun = Instant::now();
    world.work(Arc::clone(&noop)).await?;
    noop.wait().await;
    let run = Run::new(row, "attendant", n).rate(begun.elapsed());
    noop.check()?;
    Ok(run)
}
