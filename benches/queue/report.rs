//! What is printed: where it was measured, then the table.

use std::{collections::BTreeMap, fmt, process::Command};

use anyhow::Result;

use crate::{
    disk,
    measure::Run,
    plan::{self, Row},
    world::{self, Durability},
};

/// What the machine could do at most, just before.
#[derive(Debug)]
pub struct Limits {
    values: BTreeMap<String, f64>,
    sqlite: String,
}

impl Limits {
    pub fn new(machine: &Run, sqlite: &Run) -> Self {
        let values = machine.measures.iter().chain(&sqlite.measures);
        Self {
            values: values.map(|(name, value)| (name.clone(), *value)).collect(),
            sqlite: sqlite.sqlite.clone(),
        }
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }
}

/// Where and with what.
#[derive(Debug)]
pub struct Header(Vec<(&'static str, String)>);

impl Header {
    pub fn read(limits: &Limits) -> Result<Self> {
        let get = |name| limits.get(name).unwrap_or_default();
        let mut lines = vec![
            ("commit", commit()),
            ("CPU", cpu()),
            ("kernel", read("/proc/sys/kernel/osrelease")),
            ("file system", disk::file_system()?),
            ("runs", format!("{}, each a new process and database", plan::runs())),
            ("log filter", world::log_filter()),
        ];
        for durability in [Durability::Full, Durability::Normal] {
            lines.push(("ours, read back", world::probe(durability)?));
        }
        lines.push(("peer", format!("effectum 0.7, SQLite {}", limits.sqlite)));
        let text = format!(
            "{:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
            get("sync_per_second"),
            get("sync_p50_ms"),
            get("sync_p99_ms")
        );
        lines.push(("4 KiB append and fdatasync", text));
        let text = format!("{:.0}, {:.0}, {:.0}/s", get("http_1"), get("http_8"), get("http_32"));
        lines.push(("HTTP without a store, 1, 8, 32 clients", text));
        for sync in ["full", "normal"] {
            lines.push(("SQLite, direct calls", sqlite_limits(limits, sync)));
        }
        Ok(Self(lines))
    }
}

fn sqlite_limits(limits: &Limits, sync: &str) -> String {
    let get = |name: &str| limits.get(&format!("{name}_{sync}")).unwrap_or_default();
    format!(
        "{}: insert by 1, 8, 32, 100 a commit {:.0}, {:.0}, {:.0}, {:.0}/s; claim and finish by \
         16, 100 {:.0}, {:.0}/s; insert to claim p50 {:.2}, p99 {:.2} ms",
        sync.to_uppercase(),
        get("insert_1"),
        get("insert_8"),
        get("insert_32"),
        get("insert_100"),
        get("fused_16"),
        get("fused_100"),
        get("start_p50"),
        get("start_p99"),
    )
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, text)| writeln!(f, "- {name}: {text}"))
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn cpu() -> String {
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':']));
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{count} × {model}")
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let id = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let changed = changed.is_some_and(|list| !list.is_empty());
    format!("{id}{}", if changed { ", with changes that are not committed" } else { "" })
}

/// All runs of one row on one side.
#[derive(Debug)]
struct Group {
    row: &'static Row,
    mode: &'static str,
    runs: Vec<Run>,
}

impl Group {
    fn is_ours(&self) -> bool {
        self.row.ours.contains(&self.mode)
    }

    /// Least, median and greatest of a measure.
    fn spread(&self, measure: &str) -> Option<[f64; 3]> {
        let mut values: Vec<f64> =
            self.runs.iter().filter_map(|run| run.measures.get(measure)).copied().collect();
        values.sort_by(f64::total_cmp);
        let (first, last) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let even = values.len().is_multiple_of(2);
        let median =
            if even { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] };
        Some([first, median, last])
    }
}

/// The runs so far.
#[derive(Debug)]
pub struct Table {
    limits: Limits,
    groups: Vec<Group>,
}

impl Table {
    pub fn new(limits: Limits) -> Self {
        Self { limits, groups: vec![] }
    }

    pub fn add(&mut self, row: &'static Row, mode: &'static str, run: Run) {
        let same = |group: &&mut Group| group.row.name == row.name && group.mode == mode;
        match self.groups.iter_mut().find(same) {
            Some(group) => group.runs.push(run),
            None => self.groups.push(Group { row, mode, runs: vec![run] }),
        }
    }

    /// Our median by each peer's.
    fn ratios(&self, group: &Group, measure: &str, median: f64) -> String {
        if !group.is_ours() {
            return String::new();
        }
        let peers = self.groups.iter().filter(|one| one.row.name == group.row.name);
        let ratios: Vec<String> = peers
            .filter(|one| !one.is_ours())
            .filter_map(|one| Some(format!("{:.2} {}", median / one.spread(measure)?[1], one.mode)))
            .collect();
        ratios.join(", ")
    }

    /// The share of what the machine can at the same durability, where that is comparable.
    fn share(&self, group: &Group, measure: &str, median: f64) -> Option<String> {
        let durability = &group.runs.first()?.durability;
        let sync = match durability.split_once(' ')? {
            ("wal", rest) if rest.starts_with("FULL") => "full",
            ("wal", _) => "normal",
            _ => return None,
        };
        let (_, name) = group.row.limits.iter().find(|(name, _)| *name == measure)?;
        let limit = self.limits.get(&format!("{name}_{sync}")).or_else(|| self.limits.get(name))?;
        let share = if measure.ends_with("_ms") { limit / median } else { median / limit };
        Some(format!("{:.0} %", share * 100.0))
    }

    fn write_group(&self, group: &Group, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(run) = group.runs.first() else { return Ok(()) };
        for measure in run.measures.keys() {
            let Some([least, median, most]) = group.spread(measure) else { continue };
            writeln!(
                f,
                "| {} | {} {} | {} | {} | {} | {} [{}, {}] | {} | {} |",
                group.row.title,
                run.system,
                group.mode,
                run.durability,
                run.n,
                measure.replace('_', " "),
                number(median),
                number(least),
                number(most),
                self.ratios(group, measure, median),
                self.share(group, measure, median).unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}

/// Thousands without a fraction, small ones with two digits of it.
fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n| row | system | read back | n | measure | median [min, max] | ours by peer | of limit |"
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
        self.groups.iter().try_for_each(|group| self.write_group(group, f))?;
        writeln!(
            f,
            "\nIn every run the accepted were counted as stored, and the started as each once. \
             Ratios of times are better when smaller. Ours are asked over the Unix socket where \
             the row says clients, the peer always in process. \\* What the peer's source asks \
             for; its connection cannot be asked. \"shipped\" is the peer as it comes, \"wal\" \
             with a write-ahead log set beforehand."
        )
    }
}
