//! What SQLite can do at most on this disk: direct calls, prepared statements, the fewest columns
//! and indexes that a queue can live with.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use rusqlite::{Connection, params};
use uuid::{NoContext, Timestamp, Uuid};

use crate::measure::{Run, millis, per_second, percentile};

const SCHEMA: &str = "
CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, queue INTEGER NOT NULL,
  state INTEGER NOT NULL, run_at INTEGER NOT NULL, generation INTEGER NOT NULL DEFAULT 0,
  args BLOB NOT NULL, result BLOB) STRICT;
CREATE INDEX jobs_ready ON jobs (queue, run_at) WHERE state = 0;";
const INSERT: &str = "INSERT INTO jobs (id, queue, state, run_at, args) VALUES (?, 1, 0, ?, ?)";
const CLAIM: &str = "UPDATE jobs SET state = 1, generation = generation + 1 WHERE seq IN
  (SELECT seq FROM jobs WHERE queue = 1 AND state = 0 ORDER BY run_at LIMIT ?)
  RETURNING seq, id, args";
const FINISH: &str = "UPDATE jobs SET state = 2, result = ? WHERE seq = ? AND state = 1";
/// As long as sealed arguments of a small job.
const ARGS: [u8; 64] = [7; 64];

pub fn limits() -> Result<Run> {
    let mut run = Run::new("limit", "sqlite", 0);
    rusqlite::version().clone_into(&mut run.sqlite);
    for synchronous in ["full", "normal"] {
        for rows in [1, 8, 32, 100] {
            let commits = if rows == 1 { 5_000 } else { 1_000 };
            run = run.with(
                &format!("insert_{rows}_{synchronous}"),
                inserts(synchronous, rows, commits)?,
            );
        }
        for rows in [16, 100] {
            run =
                run.with(&format!("fused_{rows}_{synchronous}"), fused(synchronous, rows, 20_000)?);
        }
        let samples = starts(synchronous, 500)?;
        run = run
            .with(&format!("start_p50_{synchronous}"), millis(percentile(&samples, 50)))
            .with(&format!("start_p99_{synchronous}"), millis(percentile(&samples, 99)));
    }
    Ok(run)
}

fn open(folder: &Path, synchronous: &str) -> Result<Connection> {
    let db = Connection::open(folder.join("limit.db"))?;
    crate::write_ahead(&db)?;
    db.pragma_update(None, "synchronous", synchronous)?;
    db.execute_batch(SCHEMA)?;
    Ok(db)
}

fn insert(db: &Connection, n: usize) -> Result<()> {
    let id = Uuid::new_v7(Timestamp::now(NoContext));
    db.prepare_cached(INSERT)?.execute(params![id.as_bytes(), i64::try_from(n)?, ARGS])?;
    Ok(())
}

/// Rows a second, `rows` of them in each transaction.
fn inserts(synchronous: &str, rows: usize, commits: usize) -> Result<f64> {
    let dir = crate::folder()?;
    let mut db = open(dir.path(), synchronous)?;
    let begun = Instant::now();
    for commit in 0..commits {
        let tx = db.transaction()?;
        for row in 0..rows {
            insert(&tx, commit * rows + row)?;
        }
        tx.commit()?;
    }
    Ok(per_second(commits * rows, begun.elapsed()))
}

/// Jobs a second where each transaction ends one round's jobs and takes the next one's.
fn fused(synchronous: &str, rows: usize, jobs: usize) -> Result<f64> {
    let dir = crate::folder()?;
    let mut db = open(dir.path(), synchronous)?;
    let tx = db.transaction()?;
    for n in 0..jobs {
        insert(&tx, n)?;
    }
    tx.commit()?;
    let begun = Instant::now();
    let mut held: Vec<i64> = vec![];
    let mut done = 0;
    while done < jobs {
        let tx = db.transaction()?;
        for seq in &held {
            tx.prepare_cached(FINISH)?.execute(params![ARGS, seq])?;
        }
        done += held.len();
        held = tx
            .prepare_cached(CLAIM)?
            .query_map([i64::try_from(rows)?], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        tx.commit()?;
    }
    Ok(per_second(jobs, begun.elapsed()))
}

/// Two commits: stored, then taken.
fn starts(synchronous: &str, count: usize) -> Result<Vec<Duration>> {
    let dir = crate::folder()?;
    let db = open(dir.path(), synchronous)?;
    let mut samples = vec![];
    for n in 0..count {
        let begun = Instant::now();
        insert(&db, n)?;
        let taken = db
            .prepare_cached(CLAIM)?
            .query_map([1], |row| row.get::<_, i64>(0))?
            .collect::<Result<Vec<_>, _>>()?;
        samples.push(begun.elapsed());
        anyhow::ensure!(taken.len() == 1, "{} jobs were taken", taken.len());
    }
    samples.sort_unstable();
    Ok(samples)
}
