//! What this machine can do at most: the disk without a database, HTTP without one.

use std::{
    fs::File,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::Result;
use axum::{Router, http::StatusCode, routing::post};
use nix::sys::statfs::{self, FsType};
use tempfile::TempDir;
use tokio::net::UnixListener;

use crate::{
    client::Load,
    enqueue,
    measure::{self, Run},
    plan, world,
};

const SYNCS: usize = 2_000;

pub fn limits() -> Result<Run> {
    let run = appends(Run::new("limit", "machine", SYNCS))?;
    http(run)
}

/// 4 KiB appended and synced, again and again.
fn appends(run: Run) -> Result<Run> {
    let dir = world::folder()?;
    let mut file = File::create(dir.path().join("log"))?;
    let mut samples = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        samples.push(begun.elapsed());
    }
    let total: Duration = samples.iter().sum();
    samples.sort_unstable();
    Ok(run
        .with("sync_per_second", measure::per_second(SYNCS, total))
        .with("sync_p50_ms", measure::millis(measure::percentile(&samples, 50)))
        .with("sync_p99_ms", measure::millis(measure::percentile(&samples, 99))))
}

/// The same clients as in the rows, and a server that does nothing.
#[tokio::main]
async fn http(mut run: Run) -> Result<Run> {
    let dir = TempDir::with_prefix("bench-")?;
    let socket = dir.path().join("s");
    let app = Router::new()
        .route("/v1/jobs", post(|body: String| async move { (StatusCode::CREATED, body) }));
    let listener = UnixListener::bind(&socket)?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    for clients in [1, 8, 32] {
        let load = Load {
            clients,
            count: plan::jobs(),
            path: "/v1/jobs",
            content_type: "application/json",
            status: 201,
            body: enqueue::job,
        };
        let n = load.count;
        let (taken, _) = load.run(socket.clone()).await?;
        run = run.with(&format!("http_{clients}"), measure::per_second(n, taken));
    }
    Ok(run)
}

/// The kind of file system under the databases; a benchmark of memory is not one of durability.
pub fn file_system() -> Result<String> {
    let dir = world::folder()?;
    let kind = statfs::statfs(dir.path())?.filesystem_type();
    Ok(match kind {
        statfs::TMPFS_MAGIC => "tmpfs: NOT A DISK, nothing here is durable".to_owned(),
        statfs::EXT4_SUPER_MAGIC => "ext4".to_owned(),
        statfs::XFS_SUPER_MAGIC => "xfs".to_owned(),
        statfs::BTRFS_SUPER_MAGIC => "btrfs".to_owned(),
        statfs::OVERLAYFS_SUPER_MAGIC => "overlayfs".to_owned(),
        FsType(magic) => format!("type {magic:#x}"),
    })
}
