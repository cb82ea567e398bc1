//! How long a lone job waits for its start while nothing else is to do.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use attendant::engine::{backend::Execute, dispatcher::Handed};
use tokio::sync::mpsc;

use crate::{
    client::Client,
    drain::{NoOp, request},
    enqueue,
    measure::Run,
    verify,
    world::{Durability, World},
};

pub const SAMPLES: usize = 200;
/// Between samples, so that each finds everything asleep.
const PAUSE: Duration = Duration::from_millis(5);

/// Tells when a job began, and after it was settled.
#[derive(Debug)]
struct Bell {
    noop: NoOp,
    rings: mpsc::UnboundedSender<(usize, Instant)>,
}

impl Execute for Bell {
    async fn execute(&self, handed: Handed) {
        let begun = Instant::now();
        if let Some(n) = self.noop.one(handed).await {
            // Nobody listens any more once the row has failed.
            let _ = self.rings.send((n, begun));
        }
    }
}

struct Listening {
    bell: Arc<Bell>,
    rings: mpsc::UnboundedReceiver<(usize, Instant)>,
}

impl Listening {
    async fn start(world: &mut World) -> Result<Self> {
        let (ringing, rings) = mpsc::unbounded_channel();
        let noop = NoOp::new(&world.engine, SAMPLES);
        let bell = Arc::new(Bell { noop, rings: ringing });
        world.work(Arc::clone(&bell)).await?;
        Ok(Self { bell, rings })
    }

    /// The time from `asked` to the start of job `n`, once it has ended.
    async fn heard(&mut self, n: usize, asked: Instant) -> Result<Duration> {
        let (which, begun) = self.rings.recv().await.context("the worker ended")?;
        ensure!(which == n, "job {which} ran instead of {n}");
        tokio::time::sleep(PAUSE).await;
        Ok(begun.saturating_duration_since(asked))
    }
}

#[tokio::main]
pub async fn in_process(durability: Durability) -> Result<Run> {
    let mut world = World::open(durability, 16).await?;
    let run = sample(&mut world, "start").await?;
    verify::done(&world.files.database(), SAMPLES, SAMPLES).await?;
    world.close().await?;
    Ok(run)
}

/// 200 samples through the engine.
pub async fn sample(world: &mut World, row: &str) -> Result<Run> {
    let mut listening = Listening::start(world).await?;
    let mut samples = vec![];
    for n in 0..SAMPLES {
        let asked = Instant::now();
        let engine = &world.engine;
        let stored = engine.submit(vec![request(n)], engine.actor, "bench").await?;
        ensure!(stored.iter().all(Result::is_ok), "a job was refused");
        samples.push(listening.heard(n, asked).await?);
    }
    listening.bell.noop.check()?;
    world.describe(Run::new(row, "attendant", SAMPLES).latencies(samples)).await
}

#[tokio::main]
pub async fn by_api(durability: Durability) -> Result<Run> {
    let mut world = World::open(durability, 16).await?;
    world.serve()?;
    let mut listening = Listening::start(&mut world).await?;
    let (ask, asking) = mpsc::unbounded_channel();
    let (answer, mut answers) = mpsc::unbounded_channel();
    let socket = world.files.socket();
    let client = std::thread::spawn(move || client(&socket, asking, &answer));
    let mut samples = vec![];
    for n in 0..SAMPLES {
        ask.send(n)?;
        // The answer may come after the start.
        let asked = answers.recv().await.context("the client ended")?;
        samples.push(listening.heard(n, asked).await?);
    }
    drop(ask);
    client.join().map_err(|_| anyhow!("the client panicked"))??;
    listening.bell.noop.check()?;
    verify::done(&world.files.database(), SAMPLES, SAMPLES).await?;
    let run = Run::new("start-api", "attendant", SAMPLES).latencies(samples);
    let run = world.describe(run).await?;
    world.close().await?;
    Ok(run)
}

/// Posts each number it is given, and tells when it began to.
#[tokio::main(flavor = "current_thread")]
async fn client(
    socket: &Path,
    mut asking: mpsc::UnboundedReceiver<usize>,
    answer: &mpsc::UnboundedSender<Instant>,
) -> Result<()> {
    let mut client = Client::connect(socket).await?;
    while let Some(n) = asking.recv().await {
        let asked = Instant::now();
        client.post_json("/v1/jobs", enqueue::job(n)).await?;
        answer.send(asked)?;
    }
    Ok(())
}
