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

    /// An applicant that is COMPLETE.
    fn applicant(&self) -> String {
        let args = order("Ada", "Byron").replace("\"pdf\"", "\"none\"");
        let id = self.site.ok(&["enqueue", "certn.application", "--key", "k", "--args", &args]);
        assert_eq!(self.site.wait_chain(&id)["chain"]["state"], "completed");
        self.sandbox.counters().applicants["Ada Byron"].clone()
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
async fn a_panic_after_sending_does_not_send_it_again() {
    let world = world().await;
    let id = world.enqueue_while_down();
    let mut daemon = world.site.start_to_panic_at("answered");
    world.resume();
    daemon.wait_for("outcome_unknown");
    let job = world.site.job(&id);
    assert_eq!(job["state"], "dead", "{job:#}");
    assert_eq!(world.orders(), 1);
    // The daemon lives on, with nothing stuck.
    world.site.ok(&["queues"]);
    daemon.stop();
    assert_eq!(world.orders(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_the_order_is_out_waits_for_its_end() {
    let world = world().await;
    let _daemon = world.site.start();
    let fault = FaultKind::Slow(Duration::from_secs(3));
    world.sandbox.fault(Fault::new("POST /api/v1/hr/applications", fault));
    let id = world.order();
    until("the order to arrive", || world.orders() > 0).await;
    world.site.ok(&["jobs", "cancel", &id]);
    world.site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    let job = world.site.job(&id);
    // It was placed, and the record says so; nothing follows.
    assert_eq!(job["state"], "completed", "{job:#}");
    assert_eq!(job["last_error"]["code"], "cancelled", "{job:#}");
    assert_eq!(job["children"], json!([]));
    assert_eq!(world.orders(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_a_running_poll_ends_it_at_once() {
    let world = world().await;
    let mut daemon = world.site.start();
    let fault = FaultKind::Slow(Duration::from_secs(25));
    world.sandbox.fault(Fault::new("GET /api/v1/hr/applicants", fault));
    let id = world.order();
    world.site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    until("a poll", || !world.sandbox.requests_to("GET /api/v1/hr/applicants").is_empty()).await;
    let follow = world.site.in_chain(&id, "certn.applicant").unwrap();
    let follow = follow["id"].as_str().unwrap();
    world.site.ok(&["jobs", "cancel", follow]);
    daemon.wait_for("job.cancelled");
    assert_eq!(world.site.job(follow)["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_asked_for_while_a_poll_is_out_is_still_brought() {
    let world = world().await;
    let _daemon = world.site.start();
    let applicant = world.applicant();
    let follow = |report: &str| {
        let args = json!({"industry": "hr", "id": applicant, "report": report}).to_string();
        world.site.ok(&["enqueue", "certn.applicant", "--args", &args])
    };
    // Complete at the provider's; the answer that says so is on its way for two seconds.
    let fault = FaultKind::Slow(Duration::from_secs(2));
    world.sandbox.fault(Fault::new("GET /api/v1/hr/applicants", fault));
    let polls = world.sandbox.requests_to("GET /api/v1/hr/applicants").len();
    let first = follow("none");
    until("the poll", || world.sandbox.requests_to("GET /api/v1/hr/applicants").len() > polls)
        .await;
    assert_eq!(follow("pdf"), first, "the same applicant is followed once");
    let job = world.site.wait_chain(&first);
    assert_eq!(job["chain"]["state"], "completed", "{job:#}");
    let report = world.site.in_chain(&first, "certn.report").expect("the report");
    assert_eq!(report["state"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_survives_a_kill() {
    let world = world().await;
    let config = std::fs::read_to_string(world.site.path("attendant.toml")).unwrap();
    let limited = config.replace("limits = []", "limits = [\"40/1h\"]");
    world.site.write("attendant.toml", &limited);
    let left = || world.site.json(&["queues"])["queues"][0]["budget"][0]["left"].as_i64().unwrap();
    let daemon = world.site.start();
    for _ in 0..4 {
        world.site.ok(&["enqueue", "certn.users", "--wait", "--timeout", "30s"]);
    }
    let before = left();
    daemon.kill();
    let _daemon = world.site.start();
    // A crash may waste permits that were taken ahead; it never brings any back.
    assert!(left() <= before, "{} left after the kill, {before} before", left());
    let sent = i64::try_from(world.sandbox.requests().len()).unwrap();
    assert!(40 - left() >= sent, "{sent} requests were sent, {} are left of 40", left());
    // And what is over waits, and says for what.
    let mut ids = vec![];
    for _ in 0..20 {
        ids.push(world.site.ok(&["enqueue", "certn.users"]));
    }
    until("the budget to be spent", || {
        let last = world.site.job(ids.last().unwrap());
        last["waiting_for"]["code"] == "budget"
    })
    .await;
    assert!(world.sandbox.requests().len() <= 40);
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
