//! What the simulated CertiScan answers, over real loopback sockets.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::Settings;
use crate::sandbox::{Provider, RateLimit, tests::Still};

const ROOT: &str = "/api/v1/account/worktoken/";
const SESSION: &str = "Bearer sandbox-session";
const OWN: &str = "8ade3b80-56c8-4593-8e51-5e98c5afbbbe";

async fn certiscan(settings: Settings) -> Still {
    Still::start(Provider::CertiScan(settings)).await
}

async fn token(certiscan: &Still, subject: &str, secret: &str) -> (u16, Value) {
    let basic = format!("Basic {}", STANDARD.encode(format!("{subject}:{secret}")));
    certiscan.ask(&format!("GET {ROOT}{subject}/"), &basic).await
}

fn client(subject: &str, secret: &str) -> Value {
    json!({ "name": "Test", "subject": subject, "secret": secret })
}

#[tokio::test]
async fn a_client_is_made_used_changed_and_deleted() {
    let certiscan = certiscan(Settings::default()).await;
    let create = format!("POST {ROOT}");
    let made = json!({ "success": true, "result": { "subject": "s-1", "name": "Test" } });
    let answer = certiscan.ask_with(&create, SESSION, client("s-1", "first")).await;
    assert_eq!(answer, (200, made.clone()));
    let (status, asked) = token(&certiscan, "s-1", "first").await;
    assert_eq!((status, &asked["result"]["token"]["expires_in"]), (200, &json!(3_599)));
    let bearer = format!("Bearer {}", asked["result"]["token"]["access_token"].as_str().unwrap());

    let update = format!("PUT {ROOT}s-1/");
    let changed = certiscan.ask_with(&update, &bearer, client("s-1", "second")).await;
    assert_eq!(changed, (200, made));
    assert_eq!(token(&certiscan, "s-1", "first").await.0, 401);
    assert_eq!(token(&certiscan, "s-1", "second").await.0, 200);
    // The old token dies within five minutes.
    certiscan.clock.advance(Duration::from_secs(299));
    let delete = format!("DELETE {ROOT}s-1/");
    assert_eq!(
        certiscan.ask(&delete, &bearer).await,
        (200, json!({ "success": true, "result": {} }))
    );
    certiscan.clock.advance(Duration::from_secs(1));
    assert_eq!(certiscan.ask(&delete, &bearer).await.0, 401);
    assert_eq!(certiscan.ask(&delete, SESSION).await.0, 404);
}

#[tokio::test]
async fn refusals_have_a_status_or_only_words() {
    for refuses_with_200 in [false, true] {
        let certiscan = certiscan(Settings { refuses_with_200, ..Settings::default() }).await;
        let expected = |status: u16| if refuses_with_200 { 200 } else { status };
        let create = format!("POST {ROOT}");
        let table = [
            (401, token(&certiscan, OWN, "guess").await),
            (401, token(&certiscan, "nobody", "x").await),
            (400, certiscan.ask_with(&create, SESSION, client(OWN, "x")).await),
            (400, certiscan.ask_with(&create, SESSION, client("s-2", "")).await),
            (400, certiscan.ask_with(&format!("PUT {ROOT}s-2/"), SESSION, client(OWN, "x")).await),
            (
                404,
                certiscan.ask_with(&format!("PUT {ROOT}s-2/"), SESSION, client("s-2", "x")).await,
            ),
            (404, certiscan.ask(&format!("DELETE {ROOT}s-2/"), SESSION).await),
        ];
        for (status, (got, body)) in table {
            assert_eq!((got, &body["success"]), (expected(status), &json!(false)), "{body}");
        }
        // Who may ask at all is looked at before.
        assert_eq!(certiscan.ask_with(&create, "sandbox-session", json!({})).await.0, 401);
    }
}

#[tokio::test]
async fn slashes_and_limits() {
    let limit = RateLimit { requests: 1, window: Duration::from_secs(5) };
    let provider = Provider::CertiScan(Settings::default());
    let certiscan = Still::limited(provider, Some(limit)).await;
    let line = format!("DELETE {ROOT}s-1");
    let redirected = certiscan.request(&line, SESSION).send().await.unwrap();
    assert_eq!(redirected.status(), 301);
    assert_eq!(certiscan.ask(&format!("{line}/"), SESSION).await.0, 404);
    assert_eq!(certiscan.ask(&format!("{line}/"), SESSION).await.0, 429);
}
