//! effectum 0.7: its fastest documented use.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use effectum::{Job, JobRunner, Queue, RunningJob, Worker};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::measure::Run;

const BATCH: usize = 100;
const SAMPLES: usize = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// How the database file was made before effectum opened it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// effectum asks for a write-ahead log with a pragma that does not exist, and so gets none.
    Shipped,
    Wal,
}

impl FromStr for Mode {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "shipped" => Ok(Self::Shipped),
            "wal" => Ok(Self::Wal),
            _ => bail!("mode is shipped or wal, not {text}"),
        }
    }
}

pub fn run(row: &str, mode: Mode) -> Result<Run> {
    match row.rsplit_once('-') {
        _ if row == "start" => start(mode),
        Some(("enqueue", clients)) => {
            enqueue(row, clients.parse()?, number("BENCH_JOBS")?, 1, mode)
        }
        Some(("batch", clients)) => {
            enqueue(row, clients.parse()?, number("BENCH_BATCHES")?, BATCH, mode)
        }
        Some(("drain", slots)) => drain(row, slots.parse()?, mode),
        _ => bail!("there is no row {row}"),
    }
}

/// The driver says how many, so that both sides do the same.
fn number(name: &str) -> Result<usize> {
    std::env::var(name).with_context(|| format!("{name} is not set"))?.parse().map_err(Into::into)
}

struct Bench {
    queue: Arc<Queue>,
    dir: TempDir,
}

#[derive(Serialize, Deserialize)]
struct Args {
    n: usize,
}

#[derive(Debug)]
struct Context {
    started: Vec<AtomicU32>,
    rings: mpsc::UnboundedSender<(usize, Instant)>,
}

async fn noop(job: RunningJob, context: Arc<Context>) -> Result<&'static str, effectum::Error> {
    let begun = Instant::now();
    let Args { n } = job.json_payload()?;
    context.started[n].fetch_add(1, Ordering::Relaxed);
    // Only the row of starts listens.
    let _ = context.rings.send((n, begun));
    Ok("ok")
}

fn job(n: usize) -> Result<Job> {
    Ok(Job::builder("noop").json_payload(&Args { n })?.build())
}

impl Bench {
    async fn open(mode: Mode) -> Result<Self> {
        let dir = crate::folder()?;
        let path = database(&dir);
        if mode == Mode::Wal {
            crate::write_ahead(&Connection::open(&path)?)?;
        }
        let queue = Queue::new(&path).await.map_err(|error| anyhow!("{error}"))?;
        Ok(Self { queue: Arc::new(queue), dir })
    }

    async fn worker(&self, slots: u16, context: Arc<Context>) -> Result<Worker> {
        let runner = JobRunner::builder("noop", noop).build();
        let worker = Worker::builder(&self.queue, context).max_concurrency(slots).jobs([runner]);
        worker.build().await.map_err(|error| anyhow!("{error}"))
    }

    /// Checks what is stored, and adds what can be read back.
    async fn end(self, mut run: Run, stored: usize, finished: usize) -> Result<Run> {
        self.queue.close(Duration::from_secs(10)).await.map_err(|error| anyhow!("{error}"))?;
        let db = Connection::open(database(&self.dir))?;
        let sql = "SELECT count(*), count(DISTINCT external_id), count(finished_at) FROM jobs";
        let found: (usize, usize, usize) =
            db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        ensure!(
            found == (stored, stored, finished),
            "stored, distinct, finished: {found:?}, wanted {stored}, {stored}, {finished}"
        );
        let mode: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        // Its connection is private; its source sets this, and the file cannot tell.
        run.durability = format!("{mode} NORMAL*");
        rusqlite::version().clone_into(&mut run.sqlite);
        Ok(run)
    }
}

fn database(dir: &TempDir) -> PathBuf {
    Path::new(dir.path()).join("effectum.db")
}

#[tokio::main]
async fn enqueue(row: &str, clients: usize, count: usize, batch: usize, mode: Mode) -> Result<Run> {
    let bench = Bench::open(mode).await?;
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(add_some(Arc::clone(&bench.queue), Arc::clone(&next), count, batch)))
        .collect();
    let mut accepted = 0;
    for task in tasks {
        accepted += task.await??;
    }
    let taken = begun.elapsed();
    let n = count * batch;
    ensure!(accepted == n, "{accepted} of {n} jobs were accepted");
    bench.end(Run::new(row, "effectum", n).rate(taken), n, 0).await
}

async fn add_some(
    queue: Arc<Queue>,
    next: Arc<AtomicUsize>,
    count: usize,
    batch: usize,
) -> Result<usize> {
    let mut accepted = 0;
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= count {
            return Ok(accepted);
        }
        accepted += if batch == 1 {
            queue.add_job(job(n)?).await.map(|_| 1)
        } else {
            let jobs = (n * batch..(n + 1) * batch).map(job).collect::<Result<_>>()?;
            queue.add_jobs(jobs).await.map(|ids| ids.len())
        }
        .map_err(|error| anyhow!("{error}"))?;
    }
}

fn context(n: usize) -> (Arc<Context>, mpsc::UnboundedReceiver<(usize, Instant)>) {
    let (rings, heard) = mpsc::unbounded_channel();
    let started = (0..n).map(|_| AtomicU32::new(0)).collect();
    (Arc::new(Context { started, rings }), heard)
}

fn each_once(context: &Context) -> Result<()> {
    let wrong = context.started.iter().filter(|n| n.load(Ordering::Relaxed) != 1).count();
    ensure!(wrong == 0, "{wrong} jobs were not started exactly once");
    Ok(())
}

/// From the start of the worker until it has counted the last job as finished, which it does
/// after the commit. It tells nobody, so it is asked every half millisecond.
#[tokio::main]
async fn drain(row: &str, slots: u16, mode: Mode) -> Result<Run> {
    let n = number("BENCH_JOBS")?;
    let bench = Bench::open(mode).await?;
    for first in (0..n).step_by(1_000) {
        let jobs = (first..n.min(first + 1_000)).map(job).collect::<Result<_>>()?;
        bench.queue.add_jobs(jobs).await.map_err(|error| anyhow!("{error}"))?;
    }
    let (context, _heard) = context(n);
    let begun = Instant::now();
    let worker = bench.worker(slots, Arc::clone(&context)).await?;
    while worker.counts().finished < n as u64 {
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    let taken = begun.elapsed();
    each_once(&context)?;
    drop(worker);
    bench.end(Run::new(row, "effectum", n).rate(taken), n, n).await
}

#[tokio::main]
async fn start(mode: Mode) -> Result<Run> {
    let bench = Bench::open(mode).await?;
    let (context, mut heard) = context(SAMPLES);
    let worker = bench.worker(16, Arc::clone(&context)).await?;
    let mut samples = vec![];
    for n in 0..SAMPLES {
        let asked = Instant::now();
        bench.queue.add_job(job(n)?).await.map_err(|error| anyhow!("{error}"))?;
        let (which, begun) = heard.recv().await.context("the worker ended")?;
        ensure!(which == n, "job {which} ran instead of {n}");
        samples.push(begun.saturating_duration_since(asked));
        tokio::time::sleep(PAUSE).await;
    }
    while worker.counts().finished < SAMPLES as u64 {
        tokio::time::sleep(PAUSE).await;
    }
    each_once(&context)?;
    drop(worker);
    bench.end(Run::new("start", "effectum", SAMPLES).latencies(samples), SAMPLES, SAMPLES).await
}
