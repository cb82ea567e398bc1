//! `/metrics`, read as strictly as Prometheus does.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Values by series, such as `attendant_queue_jobs{account="certn",state="due"}`.
struct Metrics {
    types: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
}

impl Metrics {
    #[track_caller]
    fn at(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.values))
    }

    fn labels(&self) -> BTreeSet<&str> {
        let labels = self.values.keys().filter_map(|series| series.split_once('{'));
        labels.flat_map(|(_, labels)| labels.split('"').step_by(2)).collect()
    }
}

fn is_name(text: &str) -> bool {
    let tail = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(tail)
}

/// The labels of a sample: names, quotes and escapes in their places, and nothing else.
fn check_labels(labels: &str) {
    let mut rest = labels;
    loop {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{labels}"));
        assert!(is_name(name), "{labels}");
        let mut escaped = false;
        let end = after.char_indices().find(|(_, c)| match (escaped, c) {
            (true, _) => {
                assert!(matches!(c, '\\' | '"' | 'n'), "{labels}");
                escaped = false;
                false
            }
            (false, '\\') => {
                escaped = true;
                false
            }
            (false, c) => *c == '"',
        });
        let (end, _) = end.unwrap_or_else(|| panic!("{labels}"));
        rest = &after[end + 1..];
        if rest.is_empty() {
            return;
        }
        rest = rest.strip_prefix(',').unwrap_or_else(|| panic!("{labels}"));
    }
}

fn parse(text: &str) -> Metrics {
    assert!(text.ends_with('\n'));
    let mut read = Metrics { types: BTreeMap::new(), values: BTreeMap::new() };
    let mut helped = String::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && help.ends_with('.'), "{line}");
            helped = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, helped, "TYPE follows HELP");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(name.starts_with("attendant_"), "{line}");
            let twice = read.types.insert(name.to_owned(), kind.to_owned());
            assert_eq!(twice, None, "{line}: a metric's samples stand together");
            current = name.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert_eq!(name, current, "{line}");
            if let Some(labels) = series.strip_prefix(&format!("{name}{{")) {
                check_labels(labels.strip_suffix('}').unwrap());
            }
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert_eq!(read.values.insert(series.to_owned(), value), None, "{line} twice");
        }
    }
    read
}

async fn scrape(setup: &Setup) -> Metrics {
    let answer = setup.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    parse(&String::from_utf8(answer.bytes).unwrap())
}

#[tokio::test]
async fn everything_is_there_and_moves() {
    let config =
        CONFIG.replace("provider = \"certn\"\n", "provider = \"certn\"\nlimits = [\"9/1m\"]\n");
    let setup = Setup::with(Access::own_user(), &config).await;
    let before = scrape(&setup).await;
    let state = |state: &str| {
        format!(
            "attendant_credential_ready_status{{account=\"certn\",credential=\"access_token\",state=\"{state}\"}}"
        )
    };
    assert!((before.at(&state("missing")) - 1.0).abs() < 0.1);
    assert!(before.at(&state("fresh")) < 0.1);

    credentials::put(&setup, Duration::from_hours(1)).await;
    for id in ["1", "2"] {
        setup.post("/v1/jobs", &applicant(id)).await.expect(201);
    }
    setup.clock.advance(Duration::from_secs(90));
    let catalog = setup.engine.catalog();
    let queue = catalog.account("certn").unwrap().queue;
    let kind = catalog.kind_id("certn.report").unwrap();
    setup.engine.gates.shut_kind(queue, kind, "410");
    setup.engine.pause("acme", true, "root").await.unwrap();
    setup.engine.metrics.attempt(queue, kind, "completed");
    setup.engine.metrics.attempt(queue, kind, "completed");
    setup.engine.metrics.request(queue, "503");
    setup.engine.store_works(Some("disk I/O error".into()));
    let after = scrape(&setup).await;
    let start = 1_800_000_000.0;
    let (fresh, missing) = (state("fresh"), state("missing"));
    let table = [
        (fresh.as_str(), 1.0),
        (missing.as_str(), 0.0),
        (
            "attendant_credential_expiration_timestamp_seconds{account=\"certn\",credential=\"access_token\"}",
            start + 3_600.0,
        ),
        // The two applicants, and the renewals' own job.
        ("attendant_queue_jobs{account=\"certn\",state=\"due\"}", 3.0),
        ("attendant_queue_jobs{account=\"acme\",state=\"due\"}", 0.0),
        ("attendant_queue_oldest_due_age_seconds{account=\"certn\"}", 90.0),
        ("attendant_queue_oldest_due_age_seconds{account=\"acme\"}", 0.0),
        ("attendant_queue_gated{account=\"acme\",reason=\"paused\"}", 1.0),
        ("attendant_queue_gated{account=\"certn\",reason=\"paused\"}", 0.0),
        ("attendant_queue_kind_gated{account=\"certn\",kind=\"certn.report\"}", 1.0),
        ("attendant_budget_left{budget=\"certn\",limit=\"9/1m\"}", 9.0),
        (
            "attendant_attempts_total{account=\"certn\",kind=\"certn.report\",outcome=\"completed\"}",
            2.0,
        ),
        ("attendant_provider_requests_total{account=\"certn\",status=\"503\"}", 1.0),
        ("attendant_store_trouble{trouble=\"store\"}", 1.0),
        ("attendant_store_trouble{trouble=\"disk_full\"}", 0.0),
        ("attendant_clock_doubtful", 0.0),
    ];
    for (series, expected) in table {
        let value = after.at(series);
        assert!((value - expected).abs() < 0.001, "{series} is {value}, not {expected}");
    }
    assert!(after.at("attendant_events_total{event=\"job.enqueued\"}") >= 2.0);
    let known = [
        "account=",
        "credential=",
        ",credential=",
        ",state=",
        ",reason=",
        ",kind=",
        ",outcome=",
        ",status=",
        ",limit=",
        "budget=",
        "event=",
        "trouble=",
        "version=",
        "}",
    ];
    let labels = after.labels();
    assert!(labels.iter().all(|label| known.contains(label)), "{labels:?}");
}

#[tokio::test]
async fn the_page_of_metrics_names_each_and_no_other() {
    let setup = Setup::new().await;
    let scraped = scrape(&setup).await;
    let page = include_str!("../../../docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `attendant_"));
    let listed: BTreeSet<String> =
        rows.map(|row| format!("attendant_{}", row.split(['`', '{']).next().unwrap())).collect();
    assert_eq!(listed, scraped.types.keys().cloned().collect());
    // What the rules speak of exists.
    let (_, rules) = page.split_once("```yaml").unwrap();
    let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for word in words.filter(|word| word.starts_with("attendant_")) {
        assert!(scraped.types.contains_key(word), "{word} in a rule");
    }
}

#[tokio::test]
async fn a_stranger_reads_no_metrics() {
    let setup = Setup::with_access(Access::of(vec![])).await;
    setup.get("/metrics").await.problem(403);
}
