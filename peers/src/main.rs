//! The other side of the benchmark: effectum, in process as a library is used, and the limits of
//! the SQLite that it links. One run is one process and one JSON line.

mod effectum_rows;
mod limits;
#[path = "../../benches/queue/measure.rs"]
#[allow(dead_code)] // each side uses its part
mod measure;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use rusqlite::Connection;
use tempfile::TempDir;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let run = match words.as_slice() {
        ["limits"] => limits::limits()?,
        ["run", row, mode] => effectum_rows::run(row, mode.parse()?)?,
        _ => bail!("usage: limits | run ROW shipped|wal"),
    };
    run.print();
    Ok(())
}

/// A folder on the disk to be measured.
fn folder() -> Result<TempDir> {
    let parent =
        std::env::var_os("BENCH_DIR").map(PathBuf::from).context("BENCH_DIR is not set")?;
    Ok(TempDir::with_prefix_in("peer-", parent)?)
}

/// Sets the pragma that answers with what it has come to.
fn write_ahead(db: &Connection) -> Result<()> {
    let mode: String = db.query_row("PRAGMA journal_mode = wal", [], |row| row.get(0))?;
    ensure!(mode == "wal", "the journal mode is {mode}");
    Ok(())
}
