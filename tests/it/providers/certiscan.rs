//! CertiScan.

use std::time::Duration;

use attendant::sandbox::{Provider, Recorded, certiscan::Settings};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::world::{Plan, header};

const ROOT: &str = "/api/v1/account/worktoken/";
const OWN: &str = "8ade3b80-56c8-4593-8e51-5e98c5afbbbe";

fn certiscan(settings: Settings) -> Plan {
    Plan::of(Provider::CertiScan(settings))
}

fn client(subject: &str, secret: &str) -> Value {
    json!({ "subject": subject, "name": "Scanner", "secret": secret })
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_made_changed_and_deleted() {
    let world = certiscan(Settings::default()).start().await;
    let answer = json!({ "success": true, "result": { "subject": "s-1", "name": "Scanner" } });
    assert_eq!(world.run("client_create", &client("s-1", "a-new-secret")).done(), answer);
    let changed = world.run("client_update", &client("s-1", "another-secret"));
    assert_eq!(changed.job["args"]["secret"], "***");
    assert_eq!(changed.done(), answer);
    let deleted = world.run("client_delete", &json!({ "subject": "s-1" })).done();
    assert_eq!(deleted, json!({ "success": true, "result": {} }));
    let asked = ["POST", "PUT", "DELETE"].map(|method| world.asked(&format!("{method} {ROOT}")));
    let paths =
        asked.map(|requests| requests.iter().map(|one| one.path.clone()).collect::<Vec<_>>());
    let own = format!("{ROOT}s-1/");
    assert_eq!(paths, [vec![ROOT.to_owned()], vec![own.clone()], vec![own]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_one_with_a_status_or_in_words() {
    for refuses_with_200 in [false, true] {
        let settings = Settings { refuses_with_200, ..Settings::default() };
        let world = certiscan(settings).start().await;
        let code = |status: &'static str| if refuses_with_200 { "unsuccessful" } else { status };
        let table = [
            ("client_create", client(OWN, "a-new-secret"), "http_400", "has a client"),
            ("client_update", client("nobody", "a-new-secret"), "http_404", "No such client"),
            ("client_delete", json!({ "subject": "nobody" }), "http_404", "No such client"),
        ];
        for (kind, args, status, words) in table {
            let refused = world.run(kind, &args);
            assert!(refused.died(code(status)).contains(words), "{:#}", refused.job);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_bearer_serves_with_or_without_its_prefix() {
    for given in ["Bearer sandbox-session", "sandbox-session"] {
        let world = certiscan(Settings::default()).secrets(&[("auth_token", given)]).start().await;
        world.run("client_create", &client("s-1", "a-new-secret")).done();
        let asked = &world.asked(&format!("POST {ROOT}"))[0];
        assert_eq!(header(asked, "authorization"), "Bearer sandbox-session");
        assert!(world.asked(&format!("GET {ROOT}")).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_work_token_comes_from_subject_and_secret_and_is_renewed() {
    let settings = Settings { token_life: Duration::from_secs(3), ..Settings::default() };
    let mut world = certiscan(settings).start().await;
    for _ in 0..2 {
        world.daemon.wait_for("credential.obtained");
    }
    let login = format!("GET {ROOT}{OWN}/");
    let asked = world.asked(&login);
    assert!(asked.len() >= 2);
    assert!(header(&asked[0], "authorization").starts_with("Basic "));
    world.sandbox.revoke_tokens();
    world.run("client_create", &client("s-1", "a-new-secret")).done();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_not_hammered_however_it_is_refused() {
    for refuses_with_200 in [false, true] {
        let settings = Settings { refuses_with_200, ..Settings::default() };
        let secrets = [("subject", OWN), ("secret", "wrong-secret")];
        let mut world = certiscan(settings).secrets(&secrets).start().await;
        world.locks_out(&format!("GET {ROOT}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let path = r#"{ method = "DELETE", path = "/{{ args.subject }}/" }"#;
    let without = r#"{ method = "DELETE", path = "/{{ args.subject }}" }"#;
    let world = certiscan(Settings::default()).mended(path, without).start().await;
    world.run("client_delete", &json!({ "subject": OWN })).died("redirected");
    assert!(world.token("work_token").starts_with("sandbox-"), "the client is still there");
}

/// Old tokens are taken for a while, and may be refused at any moment of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_dies_with_its_client_s_old_secret_is_replaced() {
    let settings = Settings { death_delay: Duration::ZERO, ..Settings::default() };
    let world = certiscan(settings).start().await;
    // The same secret again: the tokens die all the same.
    world.run("client_update", &client(OWN, "sandbox-secret")).done();
    world.run("client_create", &client("s-1", "a-new-secret")).done();
    assert_eq!(world.asked(&format!("GET {ROOT}{OWN}/")).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_of_the_own_client_is_the_account_s_from_then_on() {
    let settings = Settings { death_delay: Duration::ZERO, ..Settings::default() };
    let world = certiscan(settings).start().await;
    world.run("client_update", &client(OWN, "a-new-secret")).done();
    world.run("client_create", &client("s-1", "any-secret")).done();
    let logins = world.asked(&format!("GET {ROOT}{OWN}/"));
    let logins: Vec<_> = logins.iter().map(|login| (basic(login), login.status)).collect();
    let of = |secret: &str| (format!("{OWN}:{secret}"), Some(200));
    assert_eq!(logins, [of("sandbox-secret"), of("a-new-secret")]);
}

fn basic(request: &Recorded) -> String {
    let encoded = header(request, "authorization").strip_prefix("Basic ").unwrap();
    String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
}
