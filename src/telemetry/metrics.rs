//! What is counted since the start, and the text in which Prometheus reads it.
//!
//! Labels are accounts, kinds, outcomes and statuses: as many as are configured, never one for each
//! job.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use crate::store::{KindId, QueueId};

/// Counts of this process.
#[derive(Debug, Default)]
pub struct Metrics {
    attempts: Mutex<BTreeMap<(QueueId, KindId, &'static str), u64>>,
    requests: Mutex<BTreeMap<(QueueId, &'static str), u64>>,
}

impl Metrics {
    /// An attempt has ended so.
    pub fn attempt(&self, queue: QueueId, kind: KindId, outcome: &'static str) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        *attempts.entry((queue, kind, outcome)).or_default() += 1;
    }

    /// A request to a provider has ended so.
    pub fn request(&self, queue: QueueId, status: &'static str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((queue, status)).or_default() += 1;
    }

    #[must_use]
    pub fn attempts(&self) -> BTreeMap<(QueueId, KindId, &'static str), u64> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[must_use]
    pub fn requests(&self) -> BTreeMap<(QueueId, &'static str), u64> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A status as a label: those that tell something by themselves, the others by their class, so that
/// a provider cannot make up labels.
#[must_use]
pub const fn status_label(status: u16) -> &'static str {
    match status {
        200 => "200",
        201 => "201",
        204 => "204",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        408 => "408",
        409 => "409",
        410 => "410",
        422 => "422",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        100..=199 => "1xx",
        202..=299 => "2xx",
        300..=399 => "3xx",
        402..=499 => "4xx",
        _ => "5xx",
    }
}

/// Whether a value only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// The text format of Prometheus, version 0.0.4.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    name: &'static str,
}

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Exposition {
    /// Begins a metric; its samples follow.
    pub fn metric(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = if kind == Kind::Counter { "counter" } else { "gauge" };
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.name = name;
    }

    /// One sample of the metric that was begun last.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<f64>) {
        self.text.push_str(self.name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let before = if n == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        // Shortest form that reads back the same; never with an exponent.
        let _ = writeln!(self.text, "{close} {}", value.into());
    }

    /// A count. Past 2⁵³ it is not exact, as every value of Prometheus.
    #[allow(clippy::cast_precision_loss)]
    pub fn count(&mut self, labels: &[(&str, &str)], value: u64) {
        self.sample(labels, value as f64);
    }

    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_numbers_plain() {
        let mut exposition = Exposition::default();
        exposition.metric("a_total", Kind::Counter, "What.");
        exposition.sample(&[("x", "a\"b\\c\nd"), ("y", "ü")], 1.5);
        exposition.count(&[], 1_800_000_000_123);
        let expected = "# HELP a_total What.\n# TYPE a_total counter\n\
                        a_total{x=\"a\\\"b\\\\c\\nd\",y=\"ü\"} 1.5\na_total 1800000000123\n";
        assert_eq!(exposition.into_text(), expected);
    }

    #[test]
    fn statuses_have_few_labels() {
        let labels: std::collections::BTreeSet<_> = (0..=u16::MAX).map(status_label).collect();
        assert_eq!(labels.len(), 21);
        assert_eq!((status_label(418), status_label(299)), ("4xx", "2xx"));
    }
}
