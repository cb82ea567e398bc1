//! The real binary against oidc-provider, with a definition of an operator's own.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use tokio::time::{interval, timeout};

use crate::support::{
    daemon::PATIENCE,
    oidc::{CLIENT_ID, CLIENT_SECRET, ENCODED, ODD, OidcServer, POST},
    until,
};

const CLIENT: (&str, &str) = (CLIENT_ID, CLIENT_SECRET);
const LONG: Duration = Duration::from_mins(10);

const BASIC: &str = r#"basic = ["{{ secrets.client_id }}", "{{ secrets.client_secret }}"], form = { grant_type = "client_credentials" }"#;
const IN_FORM: &str = r#"form = { grant_type = "client_credentials", client_id = "{{ secrets.client_id }}", client_secret = "{{ secrets.client_secret }}" }"#;
const FORM_ENCODED: &str = "basic_encoding = \"rfc6749\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_obtained_whatever_else_the_answer_says() {
    let server = OidcServer::start(LONG).await;
    let more = json!({
        "token_type": "bEaReR",
        "scope": "",
        "not-before-policy": 0,
        "refresh_expires_in": 0,
        "id_token": null,
        "later": {"access_token": ["not", "this"]},
    });
    server.say_more(more).await;
    let site = server.site("", BASIC, CLIENT);
    let _daemon = site.start();
    let thing = site.ok(&["enqueue", "peer.thing", "--wait", "--timeout", "30s"]);
    assert!(thing.contains(CLIENT_ID), "{thing}");
    let token = site.ok(&["token", "peer", "--min-ttl", "9m"]);
    assert!(server.is_active(&token).await);
    let stats = server.stats().await;
    assert_eq!((&stats["requests"]["/token"], &stats["errors"]), (&json!(1), &json!({})));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_out_is_active_all_the_time() {
    // The server counts in whole seconds: the real life is up to a second shorter.
    let server = OidcServer::start(Duration::from_secs(6)).await;
    let site = server.site("", BASIC, CLIENT);
    let daemon = site.start();
    let mut seen = BTreeSet::new();
    let first = site.ok(&["token", "peer", "--min-ttl", "0s"]);
    let looking = async {
        let mut ticks = interval(Duration::from_millis(50));
        while seen.len() < 3 {
            ticks.tick().await;
            let token = site.ok(&["token", "peer", "--min-ttl", "0s"]);
            assert!(server.is_active(&token).await, "after {} tokens", seen.len());
            seen.insert(token);
        }
    };
    timeout(PATIENCE, looking).await.expect("two renewals in 30 s");
    assert!(!server.is_active(&first).await, "they do end");
    let log = daemon.stop();
    assert!(!log.iter().any(|line| line.contains("renewal_failed")));
    let stats = server.stats().await;
    assert_eq!(stats["errors"], json!({}), "{stats}");
    assert!(stats["requests"]["/token"].as_i64() <= Some(4), "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_replaced_at_the_cost_of_no_attempt() {
    let server = OidcServer::start(LONG).await;
    let site = server.site("", BASIC, CLIENT);
    let _daemon = site.start();
    let first = site.ok(&["token", "peer"]);
    server.revoke(&first).await;
    assert!(!server.is_active(&first).await);
    let id = site.ok(&["enqueue", "peer.thing"]);
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    let job = site.job(&id);
    assert_eq!(job["state"], "completed", "{job:#}");
    assert_eq!((&job["attempt"], &job["errors"]), (&json!(1), &json!(0)), "{job:#}");
    let second = site.ok(&["token", "peer"]);
    assert!(second != first && server.is_active(&second).await);
    assert_eq!(site.json(&["credentials"])["credentials"][0]["generation"], 2);
    let stats = server.stats().await;
    assert_eq!(stats["requests"]["/token"], 2, "{stats}");
    assert_eq!(stats["requests"]["/thing"], 2, "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_tried_twice_and_shown() {
    let server = OidcServer::start(LONG).await;
    let site = server.site("", BASIC, (CLIENT_ID, "wrong-secret"));
    let mut daemon = site.start();
    let line = daemon.wait_for("credential.locked_out");
    assert!(line.contains("invalid_client") && line.contains("change the secrets"), "{line}");
    let shown = site.json(&["credentials", "show", "peer/access_token"]);
    assert_eq!(shown["state"], "locked_out", "{shown:#}");
    let said = shown["last_error"]["message"].as_str().unwrap();
    assert!(said.contains("invalid_client") && !said.contains("wrong-secret"), "{said}");
    site.fails(1, &["token", "peer", "--timeout", "1s"]);
    let status = site.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&status.stdout).contains("peer/access_token"));
    daemon.stop();
    let daemon = site.start();
    site.fails(1, &["token", "peer", "--timeout", "1s"]);
    let refused = json!({"401 invalid_client": 2});
    assert_eq!(server.stats().await["errors"], refused);
    daemon.stop();
    site.write("client_secret", CLIENT_SECRET);
    let _daemon = site.start();
    let token = site.ok(&["token", "peer"]);
    assert!(server.is_active(&token).await);
    assert_eq!(server.stats().await["errors"], refused);
}

/// Whether a site of its own gets a token there; if not, it has tried twice.
async fn gets_a_token(server: &OidcServer, rest: &str, way: &str, client: (&str, &str)) -> bool {
    let site = server.site(rest, way, client);
    let _daemon = site.start();
    let state = || site.json(&["credentials", "show", "peer/access_token"])["state"].clone();
    until("it has ended", || ["fresh", "locked_out"].iter().any(|end| state() == *end)).await;
    state() == "fresh"
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_is_encoded_as_the_definition_says() {
    let server = OidcServer::start(LONG).await;
    assert!(gets_a_token(&server, FORM_ENCODED, BASIC, ODD).await);
    assert!(gets_a_token(&server, "", BASIC, ENCODED).await);
    assert_eq!(server.stats().await["errors"], json!({}));
    assert!(!gets_a_token(&server, "", BASIC, ODD).await);
    assert!(!gets_a_token(&server, FORM_ENCODED, BASIC, ENCODED).await);
    assert_eq!(server.stats().await["errors"], json!({"401 invalid_client": 4}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_form_needs_no_thought() {
    let server = OidcServer::start(LONG).await;
    assert!(gets_a_token(&server, "", IN_FORM, POST).await);
    assert_eq!(server.stats().await["errors"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_the_server_does_not_have_is_a_clear_error() {
    let server = OidcServer::start(LONG).await;
    let site = server.site("", &BASIC.replace("client_credentials", "password"), CLIENT);
    let mut daemon = site.start();
    let line = daemon.wait_for("credential.renewal_failed");
    assert!(line.contains("unsupported_grant_type"), "{line}");
    let said = site.fails(1, &["token", "peer", "--timeout", "2s"]);
    assert!(said.contains("unsupported_grant_type"), "{said}");
    // It says nothing against the secret.
    assert!(!daemon.log.iter().any(|line| line.contains("locked_out")));
    let errors = server.stats().await["errors"].clone();
    let told: Vec<&String> = errors.as_object().unwrap().keys().collect();
    assert_eq!(told, ["400 unsupported_grant_type"]);
}
