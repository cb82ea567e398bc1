//! The real binary, killed with SIGKILL at named points: every job ends as the contract says, and
//! no application is ordered twice.

use std::time::Duration;

use attendant::{
    clock::Clock,
    sandbox::{Fault, FaultKind, Options, Sandbox},
};
use serde_json::json;

use crate::support::{
    daemon::{Site, order},
    until,
};

struct World {
    sandbox: Sandbox,
    site: Site,
}

async fn world() -> World {
    let sandbox =
        Sandbox::start(([127, 0, 0, 1], 0).into(), Options::certn(Clock::System)).await.unwrap();
    let site = Site::certn(&sandbox.base_url(), "sandbox-client", "sandbox-secret");
    World { sandbox, site }
}

impl World {
    fn order(&self) -> String {
        let args = order("Ada", "Byron");
        self.site.ok(&["enqueue", "certn.application", "--key", "k", "--args", &args])
    }

    fn orders(&self) -> u64 {
        self.sandbox.counters().orders.get("Ada Byron").copied().unwrap_or(0)
    }

    fn enqueue_while_down(&self) -> String {
        // Only a daemon takes jobs, so: paused, enqueued, killed.
        let daemon = self.site.start();
        self.site.ok(&["queues", "pause", "certn"]);
        let id = self.order();
        daemon.kill();
        id
    }

    /// A queue that was left paused is opened under a daemon that is to crash.
    fn resume(&self) {
        self.site.run(&["queues", "resume", "certn"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn between_claim_and_request_nothing_is_lost_and_it_is_ordered_once() {
    let world = world().await;
    let id = world.enqueue_while_down();
    let daemon = world.site.start_to_crash_at("claimed");
    world.resume();
    daemon.crashed();
    assert_eq!(world.orders(), 0);
    let _daemon = world.site.start();
    world.resume();
    let job = world.site.wait_chain(&id);
    assert_eq!(job["state"], "completed", "{job:#}");
    assert_eq!(job["chain"]["state"], "completed");
    assert_eq!(world.orders(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn between_intent_and_request_nobody_knows_so_a_person_decides() {
    let world = world().await;
    let id = world.enqueue_while_down();
    let daemon = world.site.start_to_crash_at("intended");
    world.resume();
    daemon.crashed();
    let mut daemon = world.site.start();
    let job = world.site.job(&id);
    assert_eq!(
        (&job["state"], &job["last_error"]["code"]),
        (&json!("dead"), &json!("outcome_unknown"))
    );
    assert_eq!(world.orders(), 0);
    let said = world.site.fails(1, &["jobs", "retry", &id]);
    assert!(said.contains("resolve"), "{said}");
    world.site.ok(&["jobs", "resolve", &id, "--not-sent"]);
    daemon.wait_for("job.resolved");
    assert_eq!(world.site.wait_chain(&id)["chain"]["state"], "completed");
    assert_eq!(world.orders(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn between_request_and_settle_it_is_not_sent_again() {
    let world = world().await;
    let id = world.enqueue_while_down();
    let daemon = world.site.start();
    // The reply is held back: the request is out, its end is not stored.
    world.sandbox.fault(Fault::new(
        "POST /api/v1/hr/applications",
        FaultKind::Slow(Duration::from_secs(20)),
    ));
    world.resume();
    until("the order to arrive", || world.orders() > 0).await;
    daemon.kill();
    let _daemon = world.site.start();
    let job = world.site.job(&id);
    assert_eq!(job["last_error"]["code"], "outcome_unknown", "{job:#}");
    let applicant = world.sandbox.counters().applicants["Ada Byron"].clone();
    let response = json!({"id": applicant, "report_status": "ANALYZING"}).to_string();
    world.site.ok(&["jobs", "resolve", &id, "--happened", "--response", &response]);
    let job = world.site.wait_chain(&id);
    assert_eq!(job["chain"]["state"], "completed", "{job:#}");
    assert_eq!(job["result"]["id"], applicant);
    assert_eq!(world.orders(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_was_answered_and_not_stored_is_asked_again() {
    let world = world().await;
    let daemon = world.site.start();
    let id = world.order();
    world.site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    daemon.kill();
    // Answered, judged, and gone before the store heard of it: a follow is asked again.
    let daemon = world.site.spawn(Some("ended"));
    daemon.crashed();
    let _daemon = world.site.start();
    assert_eq!(world.site.wait_chain(&id)["chain"]["state"], "completed");
    assert_eq!(world.orders(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_during_a_snooze_it_goes_on() {
    let world = world().await;
    let mut daemon = world.site.start();
    let id = world.order();
    daemon.wait_for("job.status_changed");
    daemon.wait_for("job.snoozed");
    let before = world.site.in_chain(&id, "certn.applicant").unwrap();
    daemon.kill();
    let _daemon = world.site.start();
    assert_eq!(world.site.wait_chain(&id)["chain"]["state"], "completed");
    let after = world.site.in_chain(&id, "certn.applicant").unwrap();
    assert_eq!(before["id"], after["id"]);
    assert!(after["polls"].as_i64() > before["polls"].as_i64());
    assert_eq!(after["errors"], 0);
    assert_eq!(world.orders(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_obtained_and_not_stored_is_obtained_again() {
    let world = world().await;
    world.site.spawn(Some("exchanged")).crashed();
    assert_eq!(world.sandbox.counters().tokens_issued, 1);
    let _daemon = world.site.start();
    let value = world.site.ok(&["token", "certn", "--min-ttl", "1s"]);
    assert!(!value.is_empty());
    assert_eq!(world.sandbox.counters().tokens_issued, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_drains_and_a_request_that_bills_is_waited_for() {
    let world = world().await;
    let daemon = world.site.start();
    world
        .sandbox
        .fault(Fault::new("POST /api/v1/hr/applications", FaultKind::Slow(Duration::from_secs(2))));
    let id = world.order();
    until("the order to arrive", || world.orders() > 0).await;
    let log = daemon.stop();
    assert!(log.iter().any(|line| line.contains("daemon.stopped")));
    let _daemon = world.site.start();
    let job = world.site.job(&id);
    assert_eq!(job["state"], "completed", "{job:#}");
    assert_eq!(world.orders(), 1);
}
