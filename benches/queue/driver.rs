//! Runs every row of ours and of the peer in turn, and stops at the first that does not add up.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    measure::Run,
    plan::{self, Row},
    report::{Header, Limits, Table},
};

const PEER_MODES: [&str; 2] = ["shipped", "wal"];

/// One program with the last word of its command line.
struct Side {
    program: PathBuf,
    mode: &'static str,
}

pub fn drive(peers: &Path) -> Result<()> {
    let ours = env::current_exe()?;
    let limits = Limits::new(&ask(&ours, &["limits"])?, &ask(peers, &["limits"])?);
    let header = Header::read(&limits)?;
    print!("{header}");
    let mut table = Table::new(limits);
    for row in plan::rows() {
        let sides = sides(row, &ours, peers);
        for n in 1..=plan::runs() {
            for side in &sides {
                let run = ask(&side.program, &["run", row.name, side.mode])?;
                eprintln!("{} {n}: {} {} {:?}", row.name, run.system, side.mode, run.measures);
                table.add(row, side.mode, run);
            }
        }
    }
    print!("{table}");
    let file = folder().with_file_name("bench.md");
    std::fs::write(&file, format!("{header}{table}"))
        .with_context(|| format!("{} cannot be written", file.display()))
}

fn sides(row: &Row, ours: &Path, peers: &Path) -> Vec<Side> {
    let own = row.ours.iter().map(|mode| Side { program: ours.to_owned(), mode });
    let peer = PEER_MODES.iter().map(|mode| Side { program: peers.to_owned(), mode });
    own.chain(peer.filter(|_| row.has_peer)).collect()
}

/// Where all databases of this run are made: in the target folder, which is on a disk.
pub fn folder() -> PathBuf {
    env::var_os("BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from)
}

/// Runs a program to its end; what it printed.
fn ask(program: &Path, args: &[&str]) -> Result<Run> {
    let output = Command::new(program)
        .args(args)
        .env("BENCH_DIR", folder())
        .env("BENCH_JOBS", plan::jobs().to_string())
        .env("BENCH_BATCHES", plan::batches().to_string())
        .env("RUST_BACKTRACE", "0")
        .output()
        .with_context(|| format!("{} does not run", program.display()))?;
    let name = program.file_name().and_then(OsStr::to_str).unwrap_or("?");
    ensure!(
        output.status.success(),
        "{name} {}: {}\n{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{name} printed {}", String::from_utf8_lossy(&output.stdout)))
}
