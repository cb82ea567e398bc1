//! ControlByWeb.Cloud.

use std::time::Duration;

use attendant::sandbox::{
    Fault, Provider, RateLimit,
    controlbyweb::{CreateBy, EmptyList, Refresh, Settings},
};
use serde_json::{Value, json};

use super::world::{Plan, header};

const LOGIN: &str = "POST /api/v1/auth/token";

fn cloud(settings: Settings) -> Plan {
    Plan::of(Provider::ControlByWeb(settings))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_listed_and_deleted() {
    for (empty_list, empty) in [(EmptyList::Array, json!([])), (EmptyList::Object, json!({}))] {
        // The account's own rotation is not to be seen in the list.
        let settings = Settings { empty_list, ..Settings::default() };
        let world = cloud(settings).without_rotation().start().await;
        assert_eq!(world.run("tokens", &json!({})).done(), empty);
        let made = world.run("token_create", &json!({ "account_id": 3_816_414_018_u64 })).done();
        let token = made["token"].as_str().unwrap();
        assert!(world.sandbox.admits_device(token));
        let listed = world.run("tokens", &json!({ "account_id": "3816414018" })).done();
        let listed: Vec<&Value> = listed.as_object().unwrap().values().collect();
        assert_eq!(listed, [&made]);

        let args = json!({ "token": token });
        assert_eq!(world.run("token_delete", &args).done(), json!({ "message": "success" }));
        assert!(!world.sandbox.admits_device(token));
        let gone = world.run("token_delete", &args);
        assert!(gone.died("http_404").contains("Token not found"));
        assert_eq!(gone.job["args"]["token"], "***");
        let create = world.asked("POST /api/v1/accounts/3816414018/tokens/create");
        assert_eq!(create.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_s_account_is_refused_and_a_wrong_number_never_sent() {
    let world = cloud(Settings::default()).start().await;
    for kind in ["tokens", "token_create"] {
        let refused = world.run(kind, &json!({ "account_id": 1 }));
        assert!(refused.died("http_403").contains("unauthorized"));
    }
    let args = json!({ "account_id": "../users" }).to_string();
    let said = world.site.fails(2, &["enqueue", "controlbyweb.tokens", "--args", &args]);
    assert!(said.contains("account_id"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_get_is_served_by_a_mended_line() {
    let settings = Settings { create_by: CreateBy::Get, ..Settings::default() };
    let world = cloud(settings.clone()).start().await;
    world.run("token_create", &json!({})).died("http_405");
    let create = r#"method = "POST", path = "/accounts/"#;
    let world = cloud(settings).mended(create, r#"method = "GET", path = "/accounts/"#);
    let made = world.start().await.run("token_create", &json!({})).done();
    assert!(made["token"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_url_of_the_prose_is_not_there() {
    let plan = cloud(Settings::default()).base_path("/v1").secrets(&[("auth_token", "x")]);
    plan.start().await.run("tokens", &json!({})).died("http_404");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_token_serves_with_or_without_its_prefix() {
    for given in ["sandbox-auth-token", "Bearer sandbox-auth-token"] {
        let world = cloud(Settings::default()).secrets(&[("auth_token", given)]).start().await;
        world.run("tokens", &json!({})).done();
        assert_eq!(world.token("access_token"), "sandbox-auth-token");
        assert!(world.asked(LOGIN).is_empty());
        let asked = &world.asked("GET /api/v1/accounts/3816414018/tokens")[0];
        assert_eq!(header(asked, "authorization"), "Bearer sandbox-auth-token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_serve_whether_they_are_replaced_or_kept() {
    let grants = [
        (Refresh::Rotating, "refresh_token"),
        (Refresh::Kept, "refresh_token"),
        (Refresh::None, "password"),
    ];
    for (refresh, later) in grants {
        let token_life = Duration::from_secs(3);
        let settings = Settings { refresh, token_life, ..Settings::default() };
        let mut world = cloud(settings).start().await;
        while world.asked(LOGIN).len() < 3 {
            world.daemon.wait_for("credential.obtained");
        }
        let logins = world.asked(LOGIN);
        let grant = |n: usize| String::from_utf8_lossy(&logins[n].body).into_owned();
        assert!(grant(0).contains("grant_type=password"), "{refresh:?}");
        for n in [1, 2] {
            assert!(grant(n).contains(&format!("grant_type={later}")), "{refresh:?}");
        }
        assert!(logins.iter().all(|login| login.status == Some(200)), "{refresh:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_gives_way_to_the_password() {
    let login = [("username", "sandbox-user"), ("password", "sandbox-password")];
    let secrets = [&[("auth_token", "revoked")], &login[..]].concat();
    let world = cloud(Settings::default()).secrets(&secrets).start().await;
    let ended = world.run("tokens", &json!({}));
    assert_eq!(ended.job["state"], "completed", "{:#}", ended.job);
    assert_eq!(world.asked(LOGIN).len(), 1);

    // The refresh token too.
    let world = cloud(Settings::default()).without_rotation().secrets(&login).start().await;
    world.run("tokens", &json!({})).done();
    world.sandbox.revoke_tokens();
    let ended = world.run("tokens", &json!({}));
    assert_eq!(ended.job["state"], "completed", "{:#}", ended.job);
    let statuses: Vec<_> = world.asked(LOGIN).iter().map(|login| login.status).collect();
    assert_eq!(statuses, [Some(200), Some(400), Some(200)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_hammered() {
    let plan = cloud(Settings::default());
    let mut world = plan.secrets(&[("username", "sandbox-user"), ("password", "x")]).start().await;
    world.locks_out(LOGIN);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_costs_the_job_nothing() {
    let settings = Settings { refresh: Refresh::None, ..Settings::default() };
    let world = cloud(settings).start().await;
    world.run("tokens", &json!({})).done();
    world.sandbox.revoke_tokens();
    world.run("tokens", &json!({})).done();
    assert_eq!(world.asked(LOGIN).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_waited_out() {
    let limit = RateLimit { requests: 1, window: Duration::from_secs(2) };
    let world = cloud(Settings::default()).without_rotation().rate_limit(limit).start().await;
    for _ in 0..2 {
        let ended = world.run("tokens", &json!({}));
        assert_eq!(ended.job["state"], "completed");
        assert_eq!(ended.job["errors"], 0);
    }
    assert_eq!(world.sandbox.counters().throttled, 1);
}

/// A lost answer is asked for again; the orphan shows in the list and dies by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_leaves_an_orphan_that_can_be_seen() {
    let mut world = cloud(Settings::default()).without_rotation().start().await;
    let create = "POST /api/v1/accounts/3816414018/tokens/create";
    world.sandbox.fault(Fault::new(create, attendant::sandbox::FaultKind::LoseReply));
    let id = world.failed_once("token_create", &json!({})).job["id"].as_str().unwrap().to_owned();
    world.site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    let listed = world.run("tokens", &json!({})).done();
    assert_eq!(listed.as_object().unwrap().len(), 2);
}
