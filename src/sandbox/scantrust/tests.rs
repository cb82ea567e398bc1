//! What the simulated ScanTrust answers, over real loopback sockets.

use std::time::Duration;

use serde_json::{Value, json};

use super::Settings;
use crate::{
    policy::renewal::jwt_exp,
    sandbox::{Provider, RateLimit, tests::Still},
};

async fn scantrust(settings: Settings) -> Still {
    Still::start(Provider::ScanTrust(settings)).await
}

async fn login(scantrust: &Still, password: &str) -> (u16, Value) {
    let body = json!({ "email": "sandbox@example.com", "password": password });
    scantrust.ask_with("POST /api/v2/auth/jwt/", "", body).await
}

async fn me(scantrust: &Still, authorization: &str) -> u16 {
    scantrust.ask("GET /api/v2/me/", authorization).await.0
}

#[tokio::test]
async fn a_login_brings_a_jwt_that_says_how_long_it_lives() {
    for login_status in [200, 201] {
        let scantrust = scantrust(Settings { login_status, ..Settings::default() }).await;
        let (status, body) = login(&scantrust, "sandbox-password").await;
        assert_eq!(status, login_status);
        let token = body["token"].as_str().unwrap();
        assert_eq!(jwt_exp(token), Some(1_790_000_600));
        assert_eq!(me(&scantrust, &format!("JWT {token}")).await, 200);
        for wrong in [format!("UAT {token}"), format!("Bearer {token}"), token.to_owned()] {
            assert_eq!(me(&scantrust, &wrong).await, 401, "{wrong}");
        }
        scantrust.clock.advance(Duration::from_mins(10));
        assert_eq!(me(&scantrust, &format!("JWT {token}")).await, 401);
    }
}

#[tokio::test]
async fn a_token_need_not_be_a_jwt() {
    let scantrust = scantrust(Settings { tells_life: false, ..Settings::default() }).await;
    let (_, body) = login(&scantrust, "sandbox-password").await;
    let token = body["token"].as_str().unwrap();
    assert_eq!(jwt_exp(token), None);
    assert_eq!(me(&scantrust, &format!("JWT {token}")).await, 200);
}

#[tokio::test]
async fn a_uat_goes_by_its_own_name() {
    let scantrust = scantrust(Settings::default()).await;
    assert_eq!(me(&scantrust, "UAT sandbox-uat").await, 200);
    assert_eq!(me(&scantrust, "JWT sandbox-uat").await, 401);
    scantrust.sandbox.revoke_tokens();
    assert_eq!(me(&scantrust, "UAT sandbox-uat").await, 401);
}

#[tokio::test]
async fn logins_are_refused_in_django_s_words() {
    let scantrust = scantrust(Settings::default()).await;
    let words = json!({ "non_field_errors": ["Unable to login with provided credentials."] });
    assert_eq!(login(&scantrust, "guess").await, (400, words));
    let body = json!({ "email": "x" });
    let (status, body) = scantrust.ask_with("POST /api/v2/auth/jwt/", "", body).await;
    assert_eq!((status, body), (400, json!({ "password": ["This field is required."] })));
    let redirected = scantrust.request("POST /api/v2/auth/jwt", "").send().await.unwrap();
    assert_eq!(redirected.status(), 301);
    assert_eq!(redirected.headers()["location"], "/api/v2/auth/jwt/");
}

#[tokio::test]
async fn throttling_says_how_long_with_or_without_a_header() {
    let limit = RateLimit { requests: 1, window: Duration::from_secs(7) };
    for retry_after in [true, false] {
        let settings = Settings { retry_after, login_limit: Some(limit), ..Settings::default() };
        let provider = Provider::ScanTrust(settings);
        let scantrust = Still::limited(provider, Some(limit)).await;
        assert_eq!(login(&scantrust, "sandbox-password").await.0, 200);
        assert_eq!(me(&scantrust, "UAT sandbox-uat").await, 200);
        for line in ["POST /api/v2/auth/jwt/", "GET /api/v2/me/"] {
            let refused = scantrust.request(line, "UAT sandbox-uat").send().await.unwrap();
            assert_eq!(refused.status(), 429);
            assert_eq!(refused.headers().contains_key("retry-after"), retry_after);
            let body: Value = refused.json().await.unwrap();
            let words = "Request was throttled. Expected available in 7 seconds.";
            assert_eq!(body, json!({ "detail": words, "code": "throttled" }));
        }
        assert_eq!(scantrust.sandbox.counters().throttled, 2);
    }
}
