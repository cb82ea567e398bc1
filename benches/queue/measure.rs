//! What one run of one row says, and the little arithmetic on it. Shared with `peers/`.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// One run, as its process prints it: one JSON line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    pub row: String,
    pub system: String,
    /// What was read back from the database, not what was asked for.
    pub durability: String,
    pub sqlite: String,
    /// Jobs or samples.
    pub n: usize,
    /// By name with unit: `per_second`, `p50_ms`, …
    pub measures: BTreeMap<String, f64>,
}

impl Run {
    pub fn new(row: &str, system: &str, n: usize) -> Self {
        Self {
            row: row.to_owned(),
            system: system.to_owned(),
            durability: String::new(),
            sqlite: String::new(),
            n,
            measures: BTreeMap::new(),
        }
    }

    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.measures.insert(name.to_owned(), value);
        self
    }

    /// `n` of something in this time.
    pub fn rate(self, taken: Duration) -> Self {
        let value = per_second(self.n, taken);
        self.with("per_second", value)
    }

    pub fn latencies(self, mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        self.with("p50_ms", millis(percentile(&samples, 50)))
            .with("p99_ms", millis(percentile(&samples, 99)))
    }

    pub fn print(&self) {
        println!("{}", serde_json::to_string(self).unwrap_or_default());
    }
}

#[allow(clippy::cast_precision_loss)] // counts of a benchmark
pub fn per_second(n: usize, taken: Duration) -> f64 {
    n as f64 / taken.as_secs_f64()
}

pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The nearest rank, of sorted samples.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}
