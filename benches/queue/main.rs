//! The benchmark. `scripts/bench` builds it with its peers and starts the driver, which runs every
//! row of ours and of the peer in turn, each run a process of its own on a new database.
//!
//! Client and daemon share one process but not their threads: the clients of the API rows are a
//! runtime of their own, on a thread of its own, behind the socket.

mod big;
mod client;
mod disk;
mod drain;
mod driver;
mod enqueue;
mod measure;
mod plan;
mod process;
mod report;
mod start;
mod tokens;
mod verify;
mod world;

use anyhow::{Result, bail};

use self::{measure::Run, world::Durability};

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["drive", peers] => driver::drive(peers.as_ref()),
        ["limits"] => disk::limits()?.finish(),
        ["daemon", config] => big::daemon(config.as_ref()),
        ["run", row, durability] => run(row, durability.parse()?)?.finish(),
        // `cargo test --benches` comes by here.
        _ => {
            eprintln!("usage: drive PEERS | limits | run ROW full|normal; see scripts/bench");
            Ok(())
        }
    }
}

impl Run {
    #[allow(clippy::unnecessary_wraps)] // the end of an arm that may fail
    fn finish(self) -> Result<()> {
        self.print();
        Ok(())
    }
}

fn run(row: &str, durability: Durability) -> Result<Run> {
    match row.rsplit_once('-') {
        _ if row == "start" => start::in_process(durability),
        _ if row == "start-api" => start::by_api(durability),
        _ if row == "batch-8" => enqueue::batches(durability),
        _ if row == "waiting" => big::waiting(durability),
        Some(("enqueue", clients)) => enqueue::singles(clients.parse()?, durability),
        _ if row == "renewals" => tokens::renewals(durability),
        Some(("tokens", clients)) => tokens::reads(clients.parse()?, durability),
        Some(("drain", slots)) => drain::drain(slots.parse()?, durability),
        _ => bail!("there is no row {row}"),
    }
}
