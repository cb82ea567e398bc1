//! Credentials: shown without values, handed out with care.

use secrecy::ExposeSecret as _;

use super::*;
use crate::{
    credentials::cell::{
        Failure, Obtained, Origin,
        rotating::{Plan, Published},
        rotation::{Candidate, Rotation},
    },
    policy::{codes::Code, renewal::Life},
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

/// Creates and publishes a value as a rotation does.
async fn publish(setup: &Setup, value: &str, life: Duration, overlap: Duration) -> Published {
    let cell = setup.engine.cell("certn", "access_token").unwrap();
    let (store, vault) = (&*setup.engine.store, &setup.engine.vault);
    let (sent_at, expires_at) = (setup.now(), setup.now().plus(life));
    let candidate = Candidate {
        value: value.to_owned().into(),
        sent_at,
        expires_at: Some(expires_at),
        relative: false,
        unsure: false,
        verify_failures: 0,
    };
    let made = |rotation: &mut Rotation| rotation.candidate = Some(candidate);
    cell.rotate(store, vault, sent_at, made).await.unwrap();
    let renew_at = Life { sent_at, expires_at }.renew_at(0.0);
    let plan = Plan { sure: sent_at, renew_at, overlap, revocable: true, place: [0; 16] };
    cell.publish(store, vault, &setup.engine.clock, plan).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_rotated_value_is_promised_as_long_as_it_is_kept() {
    let setup = Setup::new().await;
    let hours = Duration::from_hours;
    publish(&setup, "first", hours(10), hours(1)).await;
    // It is renewed after 6.2 hours, and kept for one more.
    let value = setup.get(&format!("{PATH}/value?min_ttl=7h")).await.expect(200);
    assert_eq!(value["expires_at"], setup.now().plus(hours(1) * 36 / 5).to_string());
    let never = setup.get(&format!("{PATH}/value?min_ttl=8h")).await.problem(422);
    assert_eq!(never["type"], "urn:attendant:min_ttl_unreachable");
    // It is late: whoever asks now has the overlap from now on.
    setup.clock.advance(hours(7));
    let value = setup.get(&format!("{PATH}/value")).await.expect(200);
    let promised = setup.now().plus(hours(1));
    assert_eq!(value["expires_at"], promised.to_string());
    let published = publish(&setup, "second", hours(10), hours(0)).await;
    assert!(published.revoke_at >= Some(promised), "{published:?}");
    let shown = setup.get(PATH).await.expect(200);
    let retired = &shown["retired"];
    assert_eq!(retired[0]["revoke_at"], promised.to_string());
    assert_eq!((retired.as_array().unwrap().len(), &retired[0]["generation"]), (1, &json!(1)));
    assert!(!shown.to_string().contains("first"));
    // The same answer again makes no second value, and takes the one in hand not out of use.
    publish(&setup, "second", hours(10), hours(0)).await;
    assert_eq!(setup.get(PATH).await.expect(200)["retired"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_withdrawn_value_is_not_handed_out_again() {
    let setup = Setup::new().await;
    let revoke = format!("{PATH}/revoke");
    let nothing = setup.post(&revoke, &json!({})).await.expect(200);
    assert_eq!((&nothing["provider"], &nothing["state"]), (&json!("nothing"), &json!("missing")));
    put(&setup, Duration::from_hours(1)).await;
    // Certn's definition does not say how to revoke one.
    let withdrawn = setup.post(&revoke, &json!({})).await.expect(200);
    assert_eq!(withdrawn["provider"], "cannot");
    assert_eq!((&withdrawn["state"], &withdrawn["generation"]), (&json!("missing"), &json!(1)));
    assert_eq!(withdrawn["retired"][0]["revoke_at"], Value::Null);
    setup.get(&format!("{PATH}/value?timeout=10ms")).await.problem(503);
    setup.post("/v1/credentials/certn/nothing/revoke", &json!({})).await.problem(404);
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
