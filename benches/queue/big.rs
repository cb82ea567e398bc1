//! A million follows wait. What do they cost, in space, at the start, and to those who are due?

use std::{fs, path::Path, time::Duration};

use anyhow::{Result, ensure};
use attendant::{
    daemon::{self, DaemonOptions},
    engine::enqueue::JobRequest,
};
use serde_json::json;

use crate::{
    drain,
    measure::{Run, millis},
    plan,
    process::Process,
    start, verify,
    world::{Durability, Files, World},
};

/// `attendant run`.
#[tokio::main]
pub async fn daemon(config: &Path) -> Result<()> {
    let options = DaemonOptions { config: Some(config.to_owned()), ..DaemonOptions::default() };
    Ok(daemon::run(options).await?)
}

#[tokio::main]
pub async fn waiting(durability: Durability) -> Result<Run> {
    let world = World::open(durability, 16).await?;
    let files = world.close().await?;
    let empty = size(&files)?;
    let world = World::reopen(files, 16).await?;
    follow(&world, plan::waiting()).await?;
    let files = world.close().await?;
    let grown = size(&files)? - empty;
    let process = Process::start(&files).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (ready, memory) = (process.ready, process.memory()?);
    process.stop()?;

    let n = plan::jobs();
    let mut world = World::reopen(files, 16).await?;
    drain::fill(&world.engine, n).await?;
    let drained = drain::timed(&mut world, "waiting", n).await?;
    let mut world = World::reopen(world.close().await?, 16).await?;
    let mut run = start::sample(&mut world, "waiting").await?;
    let done = n + start::SAMPLES;
    verify::done(&world.files.database(), plan::waiting() + done, done).await?;
    world.close().await?;

    run.n = plan::waiting();
    run.measures.extend(drained.measures);
    #[allow(clippy::cast_precision_loss)] // a benchmark's sizes
    let each = grown as f64 / plan::waiting() as f64;
    Ok(run.with("bytes_each", each).with("ready_ms", millis(ready)).with("rss_mib", memory))
}

fn size(files: &Files) -> Result<u64> {
    Ok(fs::metadata(files.database())?.len())
}

/// Stores follows whose first poll is far away.
async fn follow(world: &World, n: usize) -> Result<()> {
    let numbers: Vec<usize> = (0..n).collect();
    for some in numbers.chunks(1_000) {
        let requests = some.iter().map(|n| JobRequest {
            kind: "bench.follow".to_owned(),
            args: json!({ "id": format!("a{n}") }),
            run_at: Some("2099-01-01T00:00:00Z".to_owned()),
            ..JobRequest::default()
        });
        let engine = &world.engine;
        let stored = engine.submit(requests.collect(), engine.actor, "bench").await?;
        ensure!(
            stored.iter().all(Result::is_ok),
            "some follows were refused: {:?}",
            stored.first()
        );
    }
    Ok(())
}
