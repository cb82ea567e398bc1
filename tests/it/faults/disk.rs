//! A disk without room, for real: the database on a file system of a few megabytes.

use std::{
    fs::{File, remove_file},
    io::Write as _,
    path::PathBuf,
    time::Duration,
};

use attendant::sandbox::{Fault, FaultKind};
use serde_json::{Value, json};

use super::World;
use crate::support::{
    daemon::{Daemon, order},
    until,
};

const DISK: u32 = 6 * 1024;

/// Takes all the room that is left, and then the room that the database has within its log.
fn fill(world: &World, daemon: &Daemon) -> (PathBuf, Vec<String>) {
    let ballast = daemon.sees(&world.site.path("disk/ballast"));
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    let mut stored = vec![];
    let request = json!({"kind": "certn.users", "args": {}, "tags": ["x".repeat(60)], "run_at": "2099-01-01T00:00:00Z"});
    for _ in 0..20_000 {
        let (status, job) = world.site.http("POST", "/v1/jobs", &request);
        if status == 201 {
            stored.push(job["id"].as_str().unwrap().to_owned());
            continue;
        }
        assert_eq!(status, 507, "{job}");
        assert_eq!(job["type"], "urn:attendant:disk_full");
        assert!(job["detail"].as_str().unwrap().contains("no room on the disk"), "{job}");
        return (ballast, stored);
    }
    panic!("a full disk took {} jobs", stored.len());
}

fn ready(world: &World) -> (u16, Value) {
    world.site.http("GET", "/readyz", &Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_new_jobs_are_refused_and_it_ends_by_itself() {
    let world = World::start().await;
    let mut daemon = world.site.start_on_small_disk(DISK);
    world.site.ok(&["enqueue", "certn.users", "--wait", "--timeout", "30s"]);
    let (ballast, stored) = fill(&world, &daemon);
    let (status, why) = ready(&world);
    assert_eq!((status, &why["reasons"][0]["code"]), (503, &json!("disk_full")), "{why}");
    let status = world.site.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    let said = String::from_utf8(status.stdout).unwrap();
    assert!(said.contains("no room on the disk"), "{said}");
    assert!(world.site.fails(1, &["enqueue", "certn.users"]).contains("no room"));
    let file = world.site.path("backup");
    assert!(world.site.fails(1, &["backup", file.to_str().unwrap()]).contains("no room"));
    assert!(!file.exists());
    // What is in memory is handed out all the same.
    let value = world.site.ok(&["token", "certn"]);
    assert!(!value.is_empty());

    remove_file(ballast).unwrap();
    daemon.wait_for("store.recovered");
    assert_eq!(ready(&world).0, 200);
    world.site.ok(&["enqueue", "certn.users", "--wait", "--timeout", "30s"]);
    assert_eq!(world.site.ok(&["token", "certn"]), value);
    // All that was answered with 201 is there.
    for id in stored.iter().rev().take(50) {
        assert_eq!(world.site.job(id)["state"], "queued");
    }
    let told = (daemon.told("store.trouble"), daemon.told("store.recovered"));
    assert_eq!(told, (1, 1), "{:#?}", daemon.log);
    assert_eq!(world.sandbox.counters().tokens_issued, 1);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_go_on_in_memory() {
    let world = World::with_tokens_of(Duration::from_secs(6)).await;
    let mut daemon = world.site.start_on_small_disk(DISK);
    world.site.ok(&["token", "certn", "--min-ttl", "1s"]);
    let (ballast, _) = fill(&world, &daemon);
    let before = world.sandbox.counters().tokens_issued;
    // Three lives long: whoever asks has a value that lives.
    let mut reads = 0;
    until("three renewals on a full disk", || {
        let path = "/v1/credentials/certn/access_token/value?min_ttl=0s&timeout=5s";
        let (status, body) = world.site.http("GET", path, &Value::Null);
        assert_eq!(status, 200, "{body}");
        reads += 1;
        world.sandbox.counters().tokens_issued >= before + 3
    })
    .await;
    assert!(reads > 10, "{reads} reads");
    assert_eq!(ready(&world).0, 503);
    let kept = daemon.told("it is kept in memory");
    assert!(kept >= 2, "{kept} kept in memory:\n{}", daemon.log.join("\n"));
    let issued = world.sandbox.counters().tokens_issued;
    assert!(issued <= before + 5, "{issued} tokens: a login storm");

    remove_file(ballast).unwrap();
    daemon.wait_for("store.recovered");
    world.site.ok(&["enqueue", "certn.users", "--wait", "--timeout", "30s"]);
    let shown = world.site.json(&["credentials", "show", "certn/access_token"]);
    let generation = shown["generation"].as_u64().unwrap();
    assert!(generation >= issued, "{generation} of {issued}");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_stored_is_kept_and_not_asked_for_again() {
    let world = World::start().await;
    let mut daemon = world.site.start_on_small_disk(DISK);
    world.site.ok(&["token", "certn"]);
    let slow = FaultKind::Slow(Duration::from_secs(2));
    world.sandbox.fault(Fault::new("POST /api/v1/hr/applications", slow));
    let id = world.site.ok(&[
        "enqueue",
        "certn.application",
        "--key",
        "k",
        "--args",
        &order("Ada", "Byron"),
    ]);
    until("the order to arrive", || world.orders() > 0).await;
    let (ballast, _) = fill(&world, &daemon);
    // The answer has come, and there is no room for it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.site.job(&id)["state"], "running");
    remove_file(ballast).unwrap();
    daemon.wait_for("job.completed");
    let job = world.site.wait_chain(&id);
    assert_eq!(job["chain"]["state"], "completed", "{job:#}");
    assert_eq!((world.orders(), &job["attempt"]), (1, &json!(1)));
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_repeated_is_not_sent_without_its_intent() {
    let world = World::start().await;
    let mut daemon = world.site.start_on_small_disk(DISK);
    world.site.ok(&["token", "certn"]);
    let args = order("Ada", "Byron");
    let later = ["enqueue", "certn.application", "--key", "k", "--in", "4s", "--args", &args];
    let id = world.site.ok(&later);
    let (ballast, _) = fill(&world, &daemon);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.orders(), 0);
    remove_file(ballast).unwrap();
    daemon.wait_for("store.recovered");
    let job = world.site.wait_chain(&id);
    assert_eq!(job["chain"]["state"], "completed", "{job:#}");
    assert_eq!(world.orders(), 1);
    daemon.stop();
}
