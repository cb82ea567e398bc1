//! The real binary with the ScanTrust definition that ships, against drf-jwt: the library whose
//! answers ScanTrust documents.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use crate::support::{
    daemon::{PATIENCE, Site},
    oauth::{EMAIL, OauthServer, PASSWORD},
};

const LONG: Duration = Duration::from_mins(10);
const LOGIN: &str = "/api/v2/auth/jwt/";
const ME: &str = "/api/v2/me/";

async fn world(token_life: Duration) -> (OauthServer, Site) {
    let server = OauthServer::start(token_life).await;
    let site = Site { folder: tempfile::tempdir().unwrap() };
    site.write("email", EMAIL);
    site.write("password", PASSWORD);
    site.configure(&format!(
        "[accounts.scantrust]\nprovider = \"scantrust\"\nbase_url = \"{}\"\n\
         secrets.email = {{ file = \"email\" }}\nsecrets.password = {{ file = \"password\" }}\n",
        server.base_url()
    ));
    (server, site)
}

fn claims(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_brings_a_jwt_that_says_how_long_it_lives() {
    let (server, site) = world(LONG).await;
    let _daemon = site.start();
    let me = site.ok(&["enqueue", "scantrust.me", "--wait", "--timeout", "30s"]);
    assert_eq!(serde_json::from_str::<Value>(&me).unwrap(), json!({ "email": EMAIL }));
    let jwt = site.ok(&["token", "scantrust", "--min-ttl", "9m"]);
    let shown = site.json(&["credentials", "show", "scantrust/token"]);
    let expires = shown["expires_at"].as_str().unwrap();
    let expires = humantime::parse_rfc3339(expires).unwrap();
    let exp = Duration::from_secs(claims(&jwt)["exp"].as_u64().unwrap());
    assert_eq!(expires.duration_since(std::time::UNIX_EPOCH).unwrap(), exp);
    let stats = server.stats().await;
    assert_eq!((&stats["requests"][LOGIN], &stats["requests"][ME]), (&json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_out_is_accepted_all_the_time() {
    let (server, site) = world(Duration::from_secs(4)).await;
    let daemon = site.start();
    let mut seen = BTreeSet::new();
    let first = site.ok(&["token", "scantrust", "--min-ttl", "0s"]);
    // The library says 201, ScanTrust's papers 200.
    server.set(json!({ "login_status": 200 })).await;
    let looking = async {
        let mut ticks = interval(Duration::from_millis(50));
        while seen.len() < 3 {
            ticks.tick().await;
            let jwt = site.ok(&["token", "scantrust", "--min-ttl", "0s"]);
            assert_eq!(server.me(&jwt).await, 200, "after {} tokens", seen.len());
            seen.insert(jwt);
        }
    };
    timeout(PATIENCE, looking).await.expect("two renewals in 30 s");
    assert_eq!(server.me(&first).await, 401, "they do end");
    let log = daemon.stop();
    assert!(!log.iter().any(|line| line.contains("renewal_failed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_twice_and_then_never_again_until_it_changes() {
    let (server, site) = world(LONG).await;
    site.write("password", "wrong-password");
    let mut daemon = site.start();
    let line = daemon.wait_for("credential.locked_out");
    assert!(line.contains("Unable to log in with provided credentials"), "{line}");
    let id = site.ok(&["enqueue", "scantrust.me"]);
    let job = site.job(&id);
    assert_eq!(job["waiting_for"]["code"], "credential", "{job:#}");
    site.fails(1, &["token", "scantrust", "--timeout", "1s"]);
    daemon.stop();
    // A restart with the same secrets tries nothing, and says why.
    let daemon = site.start();
    site.fails(1, &["token", "scantrust", "--timeout", "1s"]);
    let shown = site.json(&["credentials", "show", "scantrust/token"]);
    assert_eq!(shown["state"], "locked_out", "{shown:#}");
    let words = shown["last_error"]["message"].as_str().unwrap();
    assert!(words.contains("non_field_errors") && !words.contains("wrong-password"), "{words}");
    let log = daemon.stop();
    assert!(!log.iter().any(|line| line.contains("wrong-password")));
    assert_eq!(server.stats().await["requests"][LOGIN], 2);
    // Another secret ends it.
    site.write("password", PASSWORD);
    let _daemon = site.start();
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "completed");
    assert_eq!(server.stats().await["requests"][LOGIN], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_call_waits_as_long_as_it_is_told_to() {
    let (server, site) = world(LONG).await;
    let mut daemon = site.start();
    daemon.wait_for("credential.obtained");
    // One a second, and three at once.
    server.throttle(Some("1/s")).await;
    let job = "{\"kind\": \"scantrust.me\", \"args\": {}}\n";
    site.write("batch", &job.repeat(3));
    let batch = site.path("batch").display().to_string();
    let ids = site.ok(&["enqueue", "--batch", &batch]);
    let line = daemon.wait_for("queue.gated");
    assert!(line.contains("rate_limited"), "{line}");
    for id in ids.lines() {
        site.ok(&["jobs", "wait", id, "--timeout", "30s"]);
        let job = site.job(id);
        assert_eq!((&job["state"], &job["errors"]), (&json!("completed"), &json!(0)), "{job:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_login_is_not_a_refused_one() {
    let (server, site) = world(LONG).await;
    // How long is only in the words: "Expected available in 60 seconds."
    server.set(json!({ "login_rate": "1/min", "retry_after": false })).await;
    assert_eq!(server.login().await, 201);
    let mut daemon = site.start();
    let line = daemon.wait_for("queue.gated");
    assert!(line.contains("rate_limited"), "{line}");
    let queue = site.json(&["queues"])["queues"][0].clone();
    assert_eq!(queue["state"], "gated", "{queue:#}");
    let shown = site.json(&["credentials", "show", "scantrust/token"]);
    assert_eq!(shown["state"], "missing", "{shown:#}");
    assert_eq!(shown["last_error"]["code"], "rate_limited", "{shown:#}");
    let time = |value: &Value| humantime::parse_rfc3339(value.as_str().unwrap()).unwrap();
    let said_at = time(&shown["last_error"]["at"]);
    let wait = time(&queue["waiting_for"]["until"]).duration_since(said_at).unwrap();
    assert!((30..=61).contains(&wait.as_secs()), "{wait:?}");
    server.set(json!({ "login_rate": null })).await;
    site.ok(&["queues", "resume", "scantrust"]);
    site.ok(&["credentials", "renew", "scantrust/token"]);
    site.ok(&["token", "scantrust"]);
    assert_eq!(server.stats().await["requests"][LOGIN], 3);
}
