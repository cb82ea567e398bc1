//! The rows: which, against what, and how many jobs.

use std::{env, str::FromStr};

fn from_env<T: FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs of each row and system.
pub fn runs() -> usize {
    from_env("BENCH_RUNS", 5)
}

/// Jobs of a row.
pub fn jobs() -> usize {
    from_env("BENCH_JOBS", 20_000)
}

/// Batches of a hundred: more jobs, for they are over so soon.
pub fn batches() -> usize {
    from_env("BENCH_BATCHES", jobs() / 20)
}

/// Follows that wait while the last row runs.
pub fn waiting() -> usize {
    from_env("BENCH_WAITING", 1_000_000)
}

/// Credentials whose renewals are due within a minute.
pub fn credentials() -> usize {
    from_env("BENCH_CREDENTIALS", 10_000)
}

/// One thing measured, on both sides.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub title: &'static str,
    /// Our durabilities.
    pub ours: &'static [&'static str],
    pub has_peer: bool,
    /// Measure by measure, the limit that it is a share of: a name that the durability ends.
    pub limits: &'static [(&'static str, &'static str)],
    /// Only with `BENCH_BIG=1`.
    pub big: bool,
}

const BOTH: &[&str] = &["full", "normal"];

const fn rate(name: &'static str, title: &'static str, limit: &'static [(&str, &str)]) -> Row {
    Row { name, title, ours: BOTH, has_peer: true, limits: limit, big: false }
}

/// Reading stores nothing, so durability makes no difference.
const fn reads(name: &'static str, title: &'static str, limit: &'static [(&str, &str)]) -> Row {
    Row { name, title, ours: &["full"], has_peer: false, limits: limit, big: false }
}

pub const ROWS: &[Row] = &[
    rate("enqueue-1", "enqueue, 1 client", &[("per_second", "insert_1")]),
    rate("enqueue-8", "enqueue, 8 clients", &[("per_second", "insert_8")]),
    rate("enqueue-32", "enqueue, 32 clients", &[("per_second", "insert_32")]),
    rate("batch-8", "enqueue, batches of 100, 8 clients", &[("per_second", "insert_100")]),
    rate("drain-16", "drain at 16", &[("per_second", "fused_16")]),
    rate("drain-100", "drain at 100", &[("per_second", "fused_100")]),
    rate(
        "start",
        "idle enqueue to start, in process",
        &[("p50_ms", "start_p50"), ("p99_ms", "start_p99")],
    ),
    Row {
        name: "start-api",
        title: "idle enqueue to start, by API",
        ours: BOTH,
        has_peer: false,
        limits: &[("p50_ms", "start_p50"), ("p99_ms", "start_p99")],
        big: false,
    },
    reads("tokens-1", "token reads, 1 client", &[("per_second", "http_1")]),
    reads("tokens-32", "token reads, 32 clients", &[("per_second", "http_32")]),
    Row {
        name: "renewals",
        title: "renewals due within a minute",
        ours: &["full"],
        has_peer: false,
        limits: &[],
        big: true,
    },
    Row {
        name: "waiting",
        title: "with waiting follows",
        ours: &["full"],
        has_peer: false,
        limits: &[("per_second", "fused_16"), ("p50_ms", "start_p50"), ("p99_ms", "start_p99")],
        big: true,
    },
];

/// Those that were asked for: `BENCH_ROWS` is a list of names.
pub fn rows() -> Vec<&'static Row> {
    let only = env::var("BENCH_ROWS").ok();
    let big = from_env("BENCH_BIG", 0) == 1;
    ROWS.iter()
        .filter(|row| match &only {
            Some(list) => list.split(',').any(|name| name == row.name),
            None => big || !row.big,
        })
        .collect()
}
