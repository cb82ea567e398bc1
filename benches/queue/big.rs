//! A million follows wait. What do they cost, in space, at the start, and to those who are due?

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use attendant::{
    daemon::{self, DaemonOptions},
    engine::enqueue::JobRequest,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::{
    client::Client,
    drain,
    measure::{Run, millis},
    plan, start, verify,
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
    let (ready, memory) = start_daemon(&files).await?;

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

/// A whole daemon on these files: the time from its start until it is ready, and its resident
/// memory in MiB a while after.
async fn start_daemon(files: &Files) -> Result<(Duration, f64)> {
    let begun = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .arg("daemon")
        .arg(files.config())
        .spawn()
        .context("the daemon does not start")?;
    let ready = wait_ready(files, begun, &mut child).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let memory = resident(child.id())?;
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
    ensure!(child.wait()?.success(), "the daemon did not end well");
    Ok((ready, memory))
}

async fn wait_ready(files: &Files, begun: Instant, child: &mut Child) -> Result<Duration> {
    while begun.elapsed() < Duration::from_mins(1) {
        if let Ok(mut client) = Client::connect(&files.socket()).await
            && client.get("/readyz").await? == 200
        {
            return Ok(begun.elapsed());
        }
        if let Some(status) = child.try_wait()? {
            bail!("the daemon ended: {status}");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bail!("the daemon was not ready within a minute")
}

fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1_024.0)
}
