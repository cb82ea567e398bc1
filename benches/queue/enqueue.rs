//! Rows that store jobs through the API and run none.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::Value;

use crate::{
    client::Load,
    measure::Run,
    plan, verify,
    world::{Durability, World},
};

const BATCH: usize = 100;

pub fn job(n: usize) -> String {
    format!(r#"{{"kind":"bench.noop","args":{{"n":{n}}}}}"#)
}

fn batch(n: usize) -> String {
    (n * BATCH..(n + 1) * BATCH).map(|n| job(n) + "\n").collect()
}

/// One job a request.
pub fn singles(clients: usize, durability: Durability) -> Result<Run> {
    let load = Load {
        clients,
        count: plan::jobs(),
        path: "/v1/jobs",
        content_type: "application/json",
        status: 201,
        body: job,
    };
    let n = load.count;
    enqueue(&format!("enqueue-{clients}"), n, load, durability)
}

/// A hundred jobs a request, eight clients.
pub fn batches(durability: Durability) -> Result<Run> {
    let load = Load {
        clients: 8,
        count: plan::batches(),
        path: "/v1/jobs/batch",
        content_type: "application/x-ndjson",
        status: 200,
        body: batch,
    };
    let n = load.count * BATCH;
    enqueue("batch-8", n, load, durability)
}

#[tokio::main]
async fn enqueue(row: &str, n: usize, load: Load, durability: Durability) -> Result<Run> {
    let mut world = World::open(durability, 16).await?;
    world.pause().await?;
    world.serve()?;
    let (taken, answers) = load.run(world.files.socket()).await?;
    let accepted = ids(&answers)?;
    ensure!(accepted.len() == n, "{} of {n} jobs were accepted", accepted.len());
    verify::done(&world.files.database(), n, 0).await?;
    let run = world.describe(Run::new(row, "attendant", n).rate(taken)).await?;
    world.close().await?;
    Ok(run)
}

/// The distinct ids in answers of one job a line.
fn ids(answers: &[Bytes]) -> Result<HashSet<String>> {
    let mut ids = HashSet::new();
    for answer in answers {
        for line in answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let job: Value = serde_json::from_slice(line)?;
            let id = job["id"].as_str().or_else(|| job["job"]["id"].as_str());
            ids.insert(id.with_context(|| format!("no job: {job}"))?.to_owned());
        }
    }
    Ok(ids)
}
