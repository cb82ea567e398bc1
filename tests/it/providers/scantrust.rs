//! ScanTrust.

use std::time::Duration;

use attendant::sandbox::{Fault, FaultKind, Provider, RateLimit, scantrust::Settings};
use serde_json::json;

use super::world::{Plan, body, header};

const LOGIN: &str = "POST /api/v2/auth/jwt/";
const ME: &str = "GET /api/v2/me/";

fn scantrust(settings: Settings) -> Plan {
    Plan::of(Provider::ScanTrust(settings))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_serves_whatever_its_status_and_its_token() {
    for (login_status, tells_life) in [(200, true), (201, true), (200, false)] {
        let settings = Settings { login_status, tells_life, ..Settings::default() };
        let world = scantrust(settings).start().await;
        let me = world.run("me", &json!({})).done();
        assert_eq!(me["email"], "sandbox@example.com");
        let logins = world.asked(LOGIN);
        let sent = json!({ "email": "sandbox@example.com", "password": "sandbox-password" });
        assert_eq!((logins.len(), body(&logins[0])), (1, sent));
        let token = world.token("token");
        assert_eq!(header(&world.asked(ME)[0], "authorization"), format!("JWT {token}"));
        let shown = world.site.json(&["credentials"])["credentials"][0].clone();
        assert_eq!(shown["expires_at"].is_string(), tells_life, "{shown:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uat_serves_without_a_login() {
    let world = scantrust(Settings::default()).secrets(&[("uat", "sandbox-uat")]).start().await;
    world.run("me", &json!({})).done();
    assert_eq!(header(&world.asked(ME)[0], "authorization"), "UAT sandbox-uat");
    assert_eq!(world.token("token"), "sandbox-uat");
    assert!(world.asked(LOGIN).is_empty());
}

/// And then under the name of the other sort.
#[tokio::test(flavor = "multi_thread")]
async fn a_uat_that_is_refused_gives_way_to_the_login() {
    let secrets =
        [("uat", "revoked"), ("email", "sandbox@example.com"), ("password", "sandbox-password")];
    let world = scantrust(Settings::default()).secrets(&secrets).start().await;
    let ended = world.run("me", &json!({}));
    assert_eq!(ended.job["state"], "completed", "{:#}", ended.job);
    let asked = world.asked(ME);
    assert_eq!(header(&asked[0], "authorization"), "UAT revoked");
    let last = header(asked.last().unwrap(), "authorization");
    assert_eq!(last, format!("JWT {}", world.token("token")));
    assert_eq!(world.asked(LOGIN).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_hammered() {
    let secrets = [("email", "sandbox@example.com"), ("password", "x")];
    let mut world = scantrust(Settings::default()).secrets(&secrets).start().await;
    world.locks_out(LOGIN);
}

/// Nothing says when it ends: it is kept until it is refused, and then there is one login.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_unknown_life_is_kept_until_it_is_refused() {
    let settings = Settings { tells_life: false, ..Settings::default() };
    let world = scantrust(settings).start().await;
    world.run("me", &json!({})).done();
    world.sandbox.revoke_tokens();
    world.run("me", &json!({})).done();
    assert_eq!((world.asked(LOGIN).len(), world.asked(ME).len()), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_job_waits_as_long_as_it_is_told() {
    for retry_after in [true, false] {
        let limit = RateLimit { requests: 1, window: Duration::from_secs(2) };
        let settings = Settings { retry_after, ..Settings::default() };
        let world = scantrust(settings).rate_limit(limit).start().await;
        for _ in 0..2 {
            let ended = world.run("me", &json!({}));
            let seen = (&ended.job["state"], &ended.job["errors"]);
            assert_eq!(seen, (&"completed".into(), &0.into()), "{:#}", ended.job);
        }
        let counters = world.sandbox.counters();
        assert_eq!(counters.throttled, 1, "asked once too early, and not again");
    }
}

/// The login's own limit, which is told in words where there is no header.
#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_login_waits_as_long_as_it_is_told() {
    for retry_after in [true, false] {
        let limit = RateLimit { requests: 1, window: Duration::from_secs(4) };
        let login_limit = Some(limit);
        let settings =
            Settings { retry_after, login_limit, tells_life: false, ..Settings::default() };
        let mut world = scantrust(settings).start().await;
        world.daemon.wait_for("credential.obtained");
        world.sandbox.revoke_tokens();
        let ended = world.run("me", &json!({}));
        assert_eq!(ended.job["state"], "completed", "{:#}", ended.job);
        let statuses: Vec<_> = world.asked(LOGIN).iter().map(|login| login.status).collect();
        assert_eq!(statuses, [Some(200), Some(429), Some(200)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let world = scantrust(Settings::default())
        .mended("path = \"/api/v2/me/\"", "path = \"/api/v2/me\"")
        .start()
        .await;
    world.run("me", &json!({})).died("redirected");

    let path = "path = \"/api/v2/auth/jwt/\"";
    let mut world =
        scantrust(Settings::default()).mended(path, "path = \"/api/v2/auth/jwt\"").start().await;
    world.daemon.wait_for("credential.renewal_failed");
    assert!(world.asked("GET /api/v2/auth/jwt").is_empty(), "a POST has become a GET");
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_is_ridden_out() {
    let mut world = scantrust(Settings::default()).start().await;
    for (kind, code) in [
        (FaultKind::Status { code: 503, retry_after: None }, "http_503"),
        (FaultKind::Truncate, "truncated"),
        (FaultKind::Garbage, "unparsable"),
        (FaultKind::Reset, "reset"),
    ] {
        world.sandbox.fault(Fault::new(ME, kind));
        let failed = world.failed_once("me", &json!({}));
        assert_eq!(failed.code(), code, "{:#}", failed.job);
    }
    world.sandbox.fault(Fault::status(ME, 403));
    world.run("me", &json!({})).died("http_403");
}
