//! ipseity.

use std::time::Duration;

use attendant::sandbox::{Fault, FaultKind, Provider, Recorded, Sort, ipseity::Settings};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::world::{Plan, World, body, header};

fn ipseity(settings: Settings) -> Plan {
    Plan::of(Provider::Ipseity(settings))
}

/// How the token was made that a request came with.
fn made_by(request: &Recorded) -> Value {
    let token = header(request, "authorization").strip_prefix("Bearer ").unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["made_by"].clone()
}

/// The only request to a target.
#[track_caller]
fn only(world: &World, target: &str) -> Recorded {
    let mut asked = world.asked(target);
    assert_eq!(asked.len(), 1, "{target}");
    asked.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_taken_plain_or_quoted() {
    for quoted in [false, true] {
        let world = ipseity(Settings { quoted, ..Settings::default() }).start().await;
        for name in ["access_token", "refresh_token", "password_token"] {
            let token = world.token(name);
            assert_eq!(token.split('.').count(), 3, "{name}: {token}");
            assert!(!token.contains('"'), "{name}: {token}");
        }
        let shown = world.site.json(&["credentials"]);
        let all = shown["credentials"].as_array().unwrap();
        assert!(all.iter().all(|one| one["expires_at"].is_string()), "{shown:#}");
        assert_eq!(world.sandbox.counters().issued[&Sort::Refresh].total, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_nobody_goes_without_a_token() {
    for (symmetric, pubkey) in [(false, Some("PUBLIC KEY")), (true, None)] {
        let world = ipseity(Settings { symmetric, ..Settings::default() }).start().await;
        assert_eq!(world.run("version", &json!({})).done()["version"], "0.0.0-sandbox");
        let ended = world.run("pubkey", &json!({}));
        match pubkey {
            Some(text) => assert!(ended.done().as_str().unwrap().contains(text)),
            None => assert!(ended.died("http_404").contains("symmetric")),
        }
        for target in ["GET /version", "GET /pubkey"] {
            assert_eq!(header(&only(&world, target), "authorization"), "", "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_checked() {
    let world = ipseity(Settings::default()).start().await;
    let token = world.token("access_token");
    let checked = world.run("check", &json!({ "token": token }));
    assert_eq!(checked.job["args"]["token"], "***");
    assert_eq!(checked.done()["user"], "sandbox-user");
    let asked = only(&world, "GET /check");
    // Arguments go in a JSON body, and with GET too.
    assert_eq!(header(&asked, "content-type"), "application/json");
    assert_eq!((body(&asked), asked.query), (json!({ "access_token": token }), None));
    let refused = world.run("check", &json!({ "token": "e30.e30.e30" }));
    assert!(refused.died("http_400").contains("InvalidTokenError"));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_made_and_seen() {
    let world = ipseity(Settings::default()).start().await;
    let new = json!({ "user": "new", "pass": "new-password" });
    let made = world.run("user_create", &new);
    assert_eq!(made.job["args"]["pass"], "***");
    assert_eq!(made.done(), json!({}));
    assert!(world.run("user_create", &new).died("http_403").contains("UserAlreadyExistsError"));
    assert_eq!(world.run("user_get", &json!({})).done()["user"], "sandbox-user");
}

/// At first there is only the password; from then on the refresh token serves.
#[tokio::test(flavor = "multi_thread")]
async fn the_access_token_is_renewed_by_refresh_token() {
    let settings = Settings { token_life: Duration::from_secs(3), ..Settings::default() };
    let mut world = ipseity(settings).start().await;
    renewed_by_refresh_token(&mut world);
    world.run("user_get", &json!({})).done();
    assert_eq!(made_by(&only(&world, "GET /user")), "refresh_token");
}

fn renewed_by_refresh_token(world: &mut World) {
    let by_refresh_token = |login: &Recorded| body(login).get("pass").is_none();
    while !world.asked("GET /token").iter().any(by_refresh_token) {
        world.daemon.wait_for("credential.obtained");
    }
    world.daemon.wait_for("credential.obtained");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_see_is_no_failure() {
    let world = ipseity(Settings { blind: true, ..Settings::default() }).start().await;
    assert_eq!(world.run("user_get", &json!({})).done(), Value::Null);
}

/// The server refuses these with a token that was made by refresh token.
#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_password_gets_a_token_made_by_it() {
    let world = ipseity(Settings::default()).start().await;
    world.token("refresh_token");
    assert_eq!(made_by(&only(&world, "GET /refresh_token")), "password");
    world.run("user_password", &json!({ "pass": "another-password" })).done();
    assert_eq!(made_by(&only(&world, "PATCH /user")), "password");
    assert_eq!(body(&only(&world, "PATCH /user")), json!({ "pass": "another-password" }));
    world.run("user_delete", &json!({})).done();
    assert_eq!(made_by(&only(&world, "DELETE /user")), "password");

    let wrong = "auth       = { bearer = \"{{ credentials.password_token }}\" }\n";
    let settings = Settings { token_life: Duration::from_secs(3), ..Settings::default() };
    let mut world = ipseity(settings).mended(wrong, "").start().await;
    renewed_by_refresh_token(&mut world);
    let refused = world.run("user_delete", &json!({}));
    assert!(refused.died("http_403").contains("PasswordAuthenticationRequiredError"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_ended() {
    let world = ipseity(Settings::default()).start().await;
    let token = world.token("refresh_token");
    let args = json!({ "token": token });
    assert_eq!(world.run("refresh_token_delete", &args).done(), json!({}));
    assert_eq!(world.sandbox.counters().issued[&Sort::Refresh].alive, 0);
    assert!(
        world.run("refresh_token_delete", &args).died("http_400").contains("InvalidTokenError")
    );
}

/// In its usual setting the server says 500 to a plain refusal: few tries, and not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_masked_refusal_gets_few_tries() {
    let mut world = ipseity(Settings { masked: true, ..Settings::default() }).start().await;
    let again = json!({ "user": "sandbox-user", "pass": "x-password" });
    let failed = world.failed_once("user_create", &again);
    assert_eq!(failed.code(), "http_500");
    let seen = (&failed.job["state"], &failed.job["errors"], &failed.job["max_errors"]);
    assert_eq!(seen, (&"queued".into(), &1.into(), &5.into()), "{:#}", failed.job);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_refused_is_not_hammered() {
    for deactivated in [false, true] {
        let settings = Settings { deactivated, ..Settings::default() };
        let pass = if deactivated { "sandbox-pass" } else { "wrong-pass" };
        let secrets = [("user", "sandbox-user"), ("pass", pass)];
        let mut world = ipseity(settings).secrets(&secrets).start().await;
        world.daemon.wait_for("credential.locked_out");
        let logins = world.asked("GET /token");
        assert!(logins.len() <= 4, "{} logins of two credentials", logins.len());
        assert!(logins.iter().all(|login| login.status != Some(200)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_wrong_password_gets_a_few_tries_and_no_more() {
    let settings = Settings { masked: true, ..Settings::default() };
    let secrets = [("user", "sandbox-user"), ("pass", "wrong-pass")];
    let mut world = ipseity(settings).secrets(&secrets).start().await;
    world.daemon.wait_for("credential.locked_out");
    let logins = world.asked("GET /token");
    assert!((5..=6).contains(&logins.len()), "{} logins", logins.len());
    assert!(logins.iter().all(|login| login.status == Some(500)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_is_refused_gives_way_to_the_password() {
    for masked in [false, true] {
        let world = ipseity(Settings { masked, ..Settings::default() }).start().await;
        world.token("refresh_token");
        world.run("user_get", &json!({})).done();
        world.sandbox.revoke_tokens();
        let ended = world.run("user_get", &json!({}));
        assert_eq!(ended.job["state"], "completed", "{:#}", ended.job);
        assert_eq!(made_by(world.asked("GET /user").last().unwrap()), "password");
    }
}

/// Whether the answer arrives or is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_is_the_account_s_from_then_on() {
    for lost in [false, true] {
        let world = ipseity(Settings::default()).start().await;
        world.token("refresh_token");
        if lost {
            world.sandbox.fault(Fault::new("PATCH /user", FaultKind::LoseReply));
        }
        let ended = world.run("user_password", &json!({ "pass": "another-password" }));
        assert_eq!(ended.job["state"], "completed", "{:#}", ended.job);
        world.sandbox.revoke_tokens();
        world.run("user_password", &json!({ "pass": "the-third-password" })).done();
        let last = world.asked("GET /token").iter().map(body).next_back().unwrap();
        assert_eq!(last, json!({ "user": "sandbox-user", "pass": "another-password" }));
    }
}
