//! Credentials: shown without values, handed out with care.

use secrecy::ExposeSecret as _;

use super::*;
use crate::{
    credentials::cell::{Failure, Obtained, Origin},
    policy::codes::Code,
};

const PATH: &str = "/v1/credentials/certn/access_token";

pub(super) async fn put(setup: &Setup, ttl: Duration) {
    let cell = setup.engine.cell("certn", "access_token").unwrap();
    let obtained = Obtained {
        value: "s3cret".into(),
        refresh_token: None,
        origin: Origin::default(),
        sent_at: setup.now(),
        expires_at: Some(setup.now().plus(ttl)),
        renew_at: None,
    };
    assert_eq!(obtained.value.expose_secret(), "s3cret");
    cell.put(&*setup.engine.store, &setup.engine.vault, obtained).await.unwrap();
}

async fn refuse(setup: &Setup) {
    let cell = setup.engine.cell("certn", "access_token").unwrap();
    let failure = Failure {
        now: setup.now(),
        code: Code::Lockout,
        words: "invalid_client",
        retry_at: None,
        secrets: [7; 16],
    };
    cell.fail(&*setup.engine.store, &setup.engine.vault, failure).await.unwrap();
}

#[tokio::test]
async fn a_credential_is_shown_without_its_value() {
    let setup = Setup::new().await;
    put(&setup, Duration::from_hours(1)).await;
    let list = setup.get("/v1/credentials").await.expect(200);
    let one = setup.get(PATH).await.expect(200);
    assert_eq!(list, json!({"credentials": [one]}));
    assert_eq!((&one["account"], &one["name"]), (&json!("certn"), &json!("access_token")));
    assert_eq!((&one["state"], &one["generation"]), (&json!("fresh"), &json!(1)));
    assert!(!list.to_string().contains("s3cret"));
}

#[tokio::test]
async fn a_value_is_handed_out_and_not_stored_by_caches() {
    let setup = Setup::new().await;
    put(&setup, Duration::from_hours(1)).await;
    let answer = setup.get(&format!("{PATH}/value?min_ttl=5m")).await;
    assert_eq!(
        answer.expect(200),
        json!({"value": "s3cret", "expires_at": "2027-01-15T09:00:00.000Z", "generation": 1})
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    let never = setup.get(&format!("{PATH}/value?min_ttl=2h")).await.problem(422);
    assert_eq!(never["type"], "urn:attendant:min_ttl_unreachable");
}

#[tokio::test]
async fn a_value_that_is_not_to_be_had_says_why_and_when() {
    let setup = Setup::new().await;
    let answer = setup.get(&format!("{PATH}/value?timeout=10ms")).await;
    assert_eq!(answer.problem(503)["code"], "timeout");
    assert!(answer.headers.contains_key("retry-after"));
    refuse(&setup).await;
    let answer = setup.get(&format!("{PATH}/value")).await;
    let problem = answer.problem(503);
    assert_eq!(problem["code"], "lockout");
    assert_eq!(answer.headers["retry-after"], problem["retry_after"].to_string().as_str());
    let reasons = setup.get("/readyz").await.expect(503)["reasons"].clone();
    assert_eq!(reasons[0]["code"], "credential_locked_out", "{reasons}");
    // A person's word forgives.
    let renewed = setup.post(&format!("{PATH}/renew"), &json!({})).await.expect(202);
    assert_eq!(renewed["state"], "missing");
}
