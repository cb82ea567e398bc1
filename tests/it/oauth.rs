//! The real binary against a real OAuth server (django-oauth-toolkit): what no simulator written
//! here can prove.

use std::time::Duration;

use crate::support::{
    daemon::{Site, order},
    oauth::{CLIENT_ID, CLIENT_SECRET, OauthServer},
};

async fn world(token_life: Duration) -> (OauthServer, Site) {
    let server = OauthServer::start(token_life).await;
    let site = Site::certn(server.base_url(), CLIENT_ID, CLIENT_SECRET);
    (server, site)
}

const LONG: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_obtained_and_an_order_followed() {
    let (server, site) = world(LONG).await;
    let _daemon = site.start();
    let users = site.ok(&["enqueue", "certn.users", "--wait", "--timeout", "30s"]);
    assert!(users.starts_with('['), "{users}");
    let args = order("Ada", "Byron").replace("\"pdf\"", "\"none\"");
    let id = site.ok(&["enqueue", "certn.application", "--key", "k", "--args", &args]);
    let job = site.wait_chain(&id);
    assert_eq!(job["chain"]["state"], "completed", "{job:#}");
    let follow = site.in_chain(&id, "certn.applicant").unwrap();
    assert_eq!(follow["status"], "COMPLETE");
    let stats = server.stats().await;
    assert_eq!(stats["tokens"], 1, "{stats}");
    assert_eq!(stats["orders"], 1, "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_midway_is_noticed_by_its_401_and_the_token_replaced() {
    let (server, site) = world(LONG).await;
    let mut daemon = site.start();
    daemon.wait_for("credential.obtained");
    server.expire_tokens().await;
    let users = site.ok(&["enqueue", "certn.users", "--wait", "--timeout", "30s"]);
    assert!(users.starts_with('['), "{users}");
    assert_eq!(server.stats().await["tokens"], 2);
    let shown = site.json(&["credentials"]);
    assert_eq!(shown["credentials"][0]["generation"], 2, "{shown:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_midway_costs_no_attempt_and_no_second_order() {
    let (server, site) = world(LONG).await;
    let mut daemon = site.start();
    daemon.wait_for("credential.obtained");
    server.revoke_tokens().await;
    let args = order("Ada", "Byron").replace("\"pdf\"", "\"none\"");
    let id = site.ok(&["enqueue", "certn.application", "--key", "k", "--args", &args]);
    let job = site.wait_chain(&id);
    assert_eq!(job["chain"]["state"], "completed", "{job:#}");
    assert_eq!((job["attempt"].as_i64(), job["errors"].as_i64()), (Some(1), Some(0)));
    assert_eq!(server.stats().await["orders"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn short_lives_are_renewed_before_they_end() {
    let (server, site) = world(Duration::from_secs(3)).await;
    let mut daemon = site.start();
    for _ in 0..3 {
        daemon.wait_for("credential.obtained");
        let value = site.ok(&["token", "certn", "--min-ttl", "0s"]);
        assert!(!value.is_empty());
    }
    assert!(server.stats().await["tokens"].as_i64() >= Some(3));
    assert!(!daemon.log.iter().any(|line| line.contains("renewal_failed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_tried_twice_and_then_never_again_until_it_changes() {
    let (server, site) = world(LONG).await;
    site.write("client_secret", "wrong");
    let mut daemon = site.start();
    let line = daemon.wait_for("credential.locked_out");
    assert!(line.contains("change the secrets"), "{line}");
    let id = site.ok(&["enqueue", "certn.users"]);
    let job = site.job(&id);
    assert_eq!(job["state"], "queued");
    assert_eq!(job["waiting_for"]["code"], "credential", "{job:#}");
    site.fails(1, &["token", "certn", "--timeout", "1s"]);
    let said = site.run(&["status"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stdout).contains("certn"));
    daemon.stop();
    // A restart with the same secrets tries nothing.
    let daemon = site.start();
    site.fails(1, &["token", "certn", "--timeout", "1s"]);
    let refused = server.stats().await["requests"]["/token/"].clone();
    daemon.stop();
    site.write("client_secret", CLIENT_SECRET);
    let _daemon = site.start();
    let users = site.json(&["jobs", "show", &id]);
    assert_eq!(users["id"], id.as_str());
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "completed");
    assert_eq!(refused, 2, "tries with the wrong secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_shuts_the_gate_and_costs_nothing() {
    let (server, site) = world(LONG).await;
    let mut daemon = site.start();
    daemon.wait_for("credential.obtained");
    // The first page is given, the second is refused.
    server.throttle(Some("1/min")).await;
    let id = site.ok(&["enqueue", "certn.users"]);
    let line = daemon.wait_for("queue.gated");
    assert!(line.contains("rate_limited"), "{line}");
    daemon.wait_for("job.snoozed");
    let job = site.job(&id);
    assert_eq!(job["state"], "queued");
    assert_eq!((&job["attempt"], &job["errors"]), (&0.into(), &0.into()), "{job:#}");
    let queues = site.json(&["queues"]);
    assert_eq!(queues["queues"][0]["state"], "gated", "{queues:#}");
    // The gate is persisted.
    daemon.kill();
    let _daemon = site.start();
    assert_eq!(site.json(&["queues"])["queues"][0]["state"], "gated");
    server.throttle(None).await;
    site.ok(&["queues", "resume", "certn"]);
    site.ok(&["jobs", "retry", &id]);
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_followed_to_a_report_that_comes_late() {
    let (server, site) = world(LONG).await;
    let mut daemon = site.start();
    let mut args: serde_json::Value = serde_json::from_str(&order("Ada", "Byron")).unwrap();
    args["flow"] = "invite".into();
    let args = args.to_string();
    let id = site.ok(&["enqueue", "certn.application", "--key", "k", "--args", &args]);
    // Asked for at once, there is no report: "Cannot generate report for incomplete hr applicant."
    let line = daemon.wait_for("job.retry_scheduled");
    assert!(line.contains("certn.report"), "{line}");
    let job = site.wait_chain(&id);
    assert_eq!(job["chain"]["state"], "completed", "{job:#}");
    let report = site.in_chain(&id, "certn.report").unwrap();
    let (report, file) = (report["id"].as_str().unwrap(), site.path("report.pdf"));
    let to = file.display().to_string();
    site.ok(&["jobs", "artifact", report, "report.pdf", "-o", &to]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "%PDF-1.7 of applicant-1");
    let stats = server.stats().await;
    assert_eq!(stats["orders"], 1, "{stats}");
    assert_eq!(stats["reports"]["applicant-1"], 2, "{stats}");
}
