//! What the simulated ipseity answers, over real loopback sockets.

use std::time::Duration;

use serde_json::{Value, json};

use super::Settings;
use crate::{
    policy::renewal::jwt_exp,
    sandbox::{
        Provider, Sort,
        tests::{Still, answer},
    },
};

async fn ipseity(settings: Settings) -> Still {
    Still::start(Provider::Ipseity(settings)).await
}

async fn login(ipseity: &Still, pass: &str) -> (u16, Value) {
    ipseity.ask_with("GET /token", "", json!({ "user": "sandbox-user", "pass": pass })).await
}

/// A bearer's header, by password.
async fn bearer(ipseity: &Still) -> String {
    format!("Bearer {}", login(ipseity, "sandbox-pass").await.1.as_str().unwrap())
}

#[tokio::test]
async fn tokens_come_by_password_and_by_refresh_token() {
    for quoted in [false, true] {
        let ipseity = ipseity(Settings { quoted, ..Settings::default() }).await;
        let body = json!({ "user": "sandbox-user", "pass": "sandbox-pass" });
        let plain = ipseity.request("GET /token", "").json(&body).send().await.unwrap();
        assert_eq!(plain.text().await.unwrap().starts_with('"'), quoted);
        let by_password = bearer(&ipseity).await;
        assert_eq!(jwt_exp(&by_password["Bearer ".len()..]), Some(1_790_072_000));

        let (status, refresh) = ipseity.ask("GET /refresh_token", &by_password).await;
        assert_eq!(status, 200);
        assert_eq!(jwt_exp(refresh.as_str().unwrap()), Some(1_792_592_000));
        let renewed = ipseity.ask_with("GET /token", "", json!({ "user": refresh })).await;
        let renewed = format!("Bearer {}", renewed.1.as_str().unwrap());
        assert_eq!(ipseity.ask("GET /user", &renewed).await.1["made_by"], "refresh_token");
        // A token that was made by refresh token does not do for these.
        for line in ["GET /refresh_token", "PATCH /user", "DELETE /user"] {
            assert_eq!(ipseity.ask(line, &renewed).await.0, 403, "{line}");
        }
        let delete = json!({ "refresh_token": refresh });
        assert_eq!(
            ipseity.ask_with("DELETE /refresh_token", &renewed, delete.clone()).await.0,
            200
        );
        assert_eq!(ipseity.ask_with("DELETE /refresh_token", &renewed, delete).await.0, 400);
        assert_eq!(ipseity.ask_with("GET /token", "", json!({ "user": refresh })).await.0, 400);
        assert_eq!(ipseity.sandbox.counters().issued[&Sort::Refresh].total, 1);
    }
}

#[tokio::test]
async fn arguments_are_taken_from_json_only() {
    let ipseity = ipseity(Settings::default()).await;
    let line = "GET /token?user=sandbox-user&pass=sandbox-pass";
    assert_eq!(ipseity.ask(line, "").await.0, 400);
    let form = [("user", "sandbox-user"), ("pass", "sandbox-pass")];
    assert_eq!(answer(ipseity.request("GET /token", "").form(&form)).await.0, 400);
    assert_eq!(login(&ipseity, "sandbox-pass").await.0, 200);
}

#[tokio::test]
async fn refusals_have_names_or_are_masked() {
    let named = |name: &str| json!({ "error_name": name, "message": format!("{name} occurred") });
    for masked in [false, true] {
        let own = Settings { masked, ..Settings::default() };
        let ipseity = ipseity(own.clone()).await;
        let bearer = bearer(&ipseity).await;
        let same = json!({ "user": "sandbox-user", "pass": "x" });
        let deactivated = self::ipseity(Settings { deactivated: true, ..own }).await;
        let table = [
            (404, "IncorrectPasswordError", login(&ipseity, "guess").await),
            (
                400,
                "InvalidTokenError",
                ipseity.ask_with("GET /token", "", json!({"user": "x"})).await,
            ),
            (403, "UserDeactivatedError", login(&deactivated, "sandbox-pass").await),
            (403, "UserAlreadyExistsError", ipseity.ask_with("POST /user", "", same).await),
            (
                400,
                "InvalidTokenError",
                ipseity.ask_with("GET /check", "", json!({"access_token": "x"})).await,
            ),
            (
                400,
                "InvalidTokenError",
                ipseity
                    .ask_with("DELETE /refresh_token", &bearer, json!({"refresh_token": "x"}))
                    .await,
            ),
        ];
        for (status, name, got) in table {
            let hidden = (500, json!({ "message": "Internal Server Error" }));
            let expected = if masked { hidden } else { (status, named(name)) };
            assert_eq!(got, expected);
        }
    }
}

#[tokio::test]
async fn a_user_comes_changes_and_goes() {
    let ipseity = ipseity(Settings::default()).await;
    let new = json!({ "user": "new", "pass": "first" });
    assert_eq!(ipseity.ask_with("POST /user", "", new.clone()).await, (201, json!({})));
    let token = ipseity.ask_with("GET /token", "", new.clone()).await.1;
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    let checked = ipseity.ask_with("GET /check", "", json!({ "access_token": token })).await;
    assert_eq!((checked.0, &checked.1["user"]), (200, &json!("new")));
    let (_, seen) = ipseity.ask("GET /user", &bearer).await;
    assert_eq!(seen["user"], "new");
    assert_eq!(ipseity.ask("GET /user", "").await, (204, Value::Null));
    assert_eq!(ipseity.ask_with("PATCH /user", &bearer, json!({ "pass": "second" })).await.0, 200);
    assert_eq!(ipseity.ask_with("GET /token", "", new).await.0, 404);
    assert_eq!(ipseity.ask("DELETE /user", &bearer).await.0, 200);
    let (status, gone) = ipseity.ask("DELETE /user", &bearer).await;
    assert_eq!((status, &gone["error_name"]), (404, &json!("UserNotFoundError")));
    ipseity.clock.advance(Duration::from_hours(20));
    assert_eq!(ipseity.ask("GET /user", &bearer).await.0, 401);
}

#[tokio::test]
async fn what_needs_nobody() {
    for (symmetric, blind, status) in [(true, false, 404), (false, true, 200)] {
        let ipseity = ipseity(Settings { symmetric, blind, ..Settings::default() }).await;
        assert_eq!(ipseity.ask("GET /pubkey", "").await.0, status);
        assert!(ipseity.ask("GET /version", "").await.1["version"].is_string());
        let seen = ipseity.ask("GET /user", &bearer(&ipseity).await).await;
        assert_eq!(seen.0, if blind { 204 } else { 200 });
    }
}
