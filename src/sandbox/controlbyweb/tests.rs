//! What the simulated ControlByWeb.Cloud answers, over real loopback sockets.

use std::time::Duration;

use serde_json::{Value, json};

use super::{CreateBy, EmptyList, Refresh, Settings};
use crate::sandbox::{
    Provider, RateLimit, Sort,
    tests::{Still, answer},
};

const GIVEN: &str = "Bearer sandbox-auth-token";
const TOKENS: &str = "/api/v1/accounts/3816414018/tokens";

async fn cloud(settings: Settings) -> Still {
    Still::start(Provider::ControlByWeb(settings)).await
}

async fn login(cloud: &Still, fields: &[(&str, &str)]) -> (u16, Value) {
    answer(cloud.request("POST /api/v1/auth/token", "").form(fields)).await
}

async fn login_by_password(cloud: &Still) -> Value {
    let fields = [
        ("grant_type", "password"),
        ("username", "sandbox-user"),
        ("password", "sandbox-password"),
    ];
    login(cloud, &fields).await.1
}

async fn refresh(cloud: &Still, token: &Value) -> (u16, Value) {
    let token = token.as_str().unwrap();
    login(cloud, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
}

#[tokio::test]
async fn a_certificate_token_is_made_listed_used_and_deleted() {
    let cloud = cloud(Settings::default()).await;
    let (status, made) = cloud.ask(&format!("POST {TOKENS}/create"), GIVEN).await;
    assert_eq!(status, 200);
    assert_eq!(made["created_at"], "2026-09-21T14:13:20.000000Z");
    assert_eq!(made["expires"], "2026-09-22T02:13:20.000000Z");
    let (_, list) = cloud.ask(&format!("GET {TOKENS}"), GIVEN).await;
    assert_eq!(list, json!({ "6": made }));
    let token = made["token"].as_str().unwrap();
    assert!(cloud.sandbox.admits_device(token));
    let device = |token: &str| {
        let body = json!({ "token": token });
        answer(cloud.request("POST /_sandbox/device", "").json(&body))
    };
    assert_eq!(device(token).await, (200, json!({ "valid": true, "account": "3816414018" })));
    assert_eq!(cloud.sandbox.counters().issued[&Sort::Certificate].alive, 1);

    let delete = format!("DELETE {TOKENS}/{token}");
    assert_eq!(cloud.ask(&delete, GIVEN).await, (200, json!({ "message": "success" })));
    assert_eq!(device(token).await, (403, json!({ "valid": false })));
    assert_eq!(cloud.ask(&delete, GIVEN).await.0, 404);
    let counters = cloud.sandbox.counters();
    let issued = counters.issued[&Sort::Certificate];
    assert_eq!((issued.total, issued.alive), (1, 0));
    assert_eq!((counters.devices_joined, counters.devices_refused), (2, 1));
}

#[tokio::test]
async fn a_certificate_token_ends_by_itself() {
    let cloud = cloud(Settings::default()).await;
    let (_, made) = cloud.ask(&format!("POST {TOKENS}/create"), GIVEN).await;
    cloud.clock.advance(Duration::from_hours(12));
    assert!(!cloud.sandbox.admits_device(made["token"].as_str().unwrap()));
    assert_eq!(cloud.ask(&format!("GET {TOKENS}"), GIVEN).await.1, json!([]));
}

#[tokio::test]
async fn what_is_not_known_of_it_can_be_set() {
    let settings =
        Settings { create_by: CreateBy::Get, empty_list: EmptyList::Object, ..Settings::default() };
    let cloud = cloud(settings).await;
    assert_eq!(cloud.ask(&format!("GET {TOKENS}"), GIVEN).await, (200, json!({})));
    assert_eq!(cloud.ask(&format!("POST {TOKENS}/create"), GIVEN).await.0, 405);
    assert_eq!(cloud.ask(&format!("GET {TOKENS}/create"), GIVEN).await.0, 200);
}

#[tokio::test]
async fn refresh_tokens_are_replaced_kept_or_not_there() {
    for (kind, brings, again) in [(Refresh::Rotating, true, 400), (Refresh::Kept, false, 200)] {
        let cloud = cloud(Settings { refresh: kind, ..Settings::default() }).await;
        let first = login_by_password(&cloud).await;
        assert_eq!(first["expires_in"], 86_400);
        let (status, second) = refresh(&cloud, &first["refresh_token"]).await;
        assert_eq!((status, second["refresh_token"].is_string()), (200, brings));
        assert_eq!(refresh(&cloud, &first["refresh_token"]).await.0, again);
    }
    let cloud = cloud(Settings { refresh: Refresh::None, ..Settings::default() }).await;
    assert_eq!(login_by_password(&cloud).await["refresh_token"], Value::Null);
}

#[tokio::test]
async fn strangers_are_refused() {
    let cloud = cloud(Settings::default()).await;
    let list = format!("GET {TOKENS}");
    for authorization in ["", "Bearer x", "sandbox-auth-token"] {
        assert_eq!(cloud.ask(&list, authorization).await.0, 401, "{authorization}");
    }
    assert_eq!(cloud.ask("GET /api/v1/accounts/1/tokens", GIVEN).await.0, 403);
    assert_eq!(cloud.ask("GET /v1/accounts/3816414018/tokens", GIVEN).await.0, 404);
    let wrong = [("grant_type", "password"), ("username", "sandbox-user"), ("password", "x")];
    let (status, refused) = login(&cloud, &wrong).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")));
    assert_eq!(login(&cloud, &[("grant_type", "x")]).await.1["error"], "unsupported_grant_type");

    let (_, made) = cloud.ask(&format!("POST {TOKENS}/create"), GIVEN).await;
    cloud.sandbox.revoke_tokens();
    assert_eq!(cloud.ask(&list, GIVEN).await.0, 401);
    assert!(cloud.sandbox.admits_device(made["token"].as_str().unwrap()), "devices keep theirs");
}

#[tokio::test]
async fn too_many_requests_are_refused() {
    let limit = RateLimit { requests: 1, window: Duration::from_secs(5) };
    let provider = Provider::ControlByWeb(Settings::default());
    let cloud = Still::limited(provider, Some(limit)).await;
    let list = format!("GET {TOKENS}");
    assert_eq!(cloud.ask(&list, GIVEN).await.0, 200);
    let refused = cloud.request(&list, GIVEN).send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"5".parse().unwrap())
    );
}
