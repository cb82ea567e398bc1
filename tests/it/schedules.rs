//! Schedules of the real binary: listed, run by hand, and killed at the points where an occurrence
//! could be lost or run twice.

use std::collections::BTreeSet;

use crate::support::{daemon::Site, shop::Shop, until};

const EVERY_SECOND: &str = r#"
[schedules.tick]
cron = "* * * * * *"
misfire = "catch_up"
kind = "shop.ping"
"#;

/// For which seconds there are jobs, each of which must be there once.
#[cfg(feature = "crash-points")]
fn seconds(site: &Site) -> BTreeSet<i64> {
    let jobs = site.json(&["jobs", "--tag", "schedule:tick", "--limit", "1000"]);
    let jobs = jobs["jobs"].as_array().unwrap().clone();
    let second = |job: &serde_json::Value| {
        let at: attendant::types::Timestamp = job["run_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(at.0 % 1_000, 0);
        at.0 / 1_000
    };
    let seconds: BTreeSet<i64> = jobs.iter().map(second).collect();
    assert_eq!(seconds.len(), jobs.len(), "an occurrence was run twice");
    seconds
}

#[cfg(feature = "crash-points")]
#[tokio::test(flavor = "multi_thread")]
async fn no_crash_loses_or_doubles_an_occurrence() {
    let shop = Shop::start().await;
    let site = shop.site("");
    // Jobs that wait keep the time that they were made for.
    let daemon = site.start();
    site.ok(&["queues", "pause", "shop"]);
    daemon.stop();
    let file = site.path("attendant.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text + EVERY_SECOND).unwrap();
    for point in ["schedule.due", "schedule.stored", "schedule.fired"] {
        site.spawn(Some(point)).crashed();
    }
    let mut daemon = site.start();
    for _ in 0..3 {
        daemon.wait_for("schedule.fired");
    }
    let seconds = seconds(&site);
    let (first, last) = (seconds.first().unwrap(), seconds.last().unwrap());
    let all: BTreeSet<i64> = (*first..=*last).collect();
    assert_eq!(seconds, all, "an occurrence was lost");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_listed_and_run_by_hand() {
    let shop = Shop::start().await;
    let yearly = EVERY_SECOND.replace("* * * * * *", "@yearly");
    let site = shop.site(&yearly);
    let daemon = site.start();
    let id = site.ok(&["schedules", "run", "tick"]);
    let job = site.wait_chain(&id);
    assert_eq!((&job["state"], &job["tags"][0]), (&"completed".into(), &"schedule:tick".into()));
    let listed = site.ok(&["schedules"]);
    assert!(listed.contains("tick") && listed.contains("@yearly"), "{listed}");
    let said = site.fails(1, &["schedules", "run", "tock"]);
    assert!(said.contains("there is no schedule `tock`; known: tick"), "{said}");
    // A reload takes on other times, and forgets what is gone.
    let file = site.path("attendant.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("[schedules.tick]", "[schedules.tock]")).unwrap();
    site.ok(&["reload"]);
    until("the scheduler", || site.json(&["schedules"])["schedules"][0]["next_at"].is_string())
        .await;
    let reloaded = site.json(&["schedules"]);
    assert_eq!(reloaded["schedules"].as_array().unwrap().len(), 1);
    assert_eq!(reloaded["schedules"][0]["name"], "tock");
    std::fs::write(&file, text).unwrap();
    daemon.stop();
    check(&site, &yearly);
}

/// What is wrong is told by `check`, with its line, and keeps the daemon from starting.
fn check(site: &Site, good: &str) {
    let file = site.path("attendant.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let bad = good.replace("@yearly", "0 3 31 2 *").replace("shop.ping", "shop.pong");
    std::fs::write(&file, text.replace(good, &bad)).unwrap();
    let output = site.run(&["check"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("schedules.tick.cron: never comes: no such month has that day"),
        "{said}"
    );
    assert!(said.contains("schedules.tick.kind: `shop.pong` is not a job kind; known: "), "{said}");
    assert!(site.fails(2, &["run"]).contains("schedules.tick.cron"));
}
