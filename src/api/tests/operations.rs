//! Health, queues, catalogue, and the description of it all.

use super::*;
use crate::api::openapi::OPERATIONS;

#[tokio::test]
async fn ready_only_when_nothing_is_wrong() {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/healthz").await.expect(200), json!({"status": "alive"}));
    let before = setup.get("/readyz").await.expect(503);
    assert_eq!(before["status"], "not_ready");
    assert_eq!(before["reasons"][0]["code"], "credential_missing");
    assert_eq!(before["reasons"][0]["account"], "certn");
    credentials::put(&setup, Duration::from_hours(1)).await;
    assert_eq!(setup.get("/readyz").await.expect(200), json!({"status": "ready"}));

    setup.engine.store_works(Some("disk I/O error".into()));
    let catalog = setup.engine.catalog();
    let queue = catalog.account("certn").unwrap().queue;
    let kind = catalog.kind_id("certn.report").unwrap();
    setup.engine.gates.shut_kind(queue, kind, "410");
    setup.engine.drain();
    let reasons = setup.get("/readyz").await.expect(503)["reasons"].clone();
    let codes: Vec<&str> =
        reasons.as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["draining", "store", "provider_changed"]);
    // Jobs are taken in all the same, for the next daemon.
    setup.post("/v1/jobs", &applicant("1")).await.expect(201);
}

#[tokio::test]
async fn a_secret_that_ends_soon_is_told_and_holds_nothing_up() {
    // It is 2027-01-15, 08:00.
    let config = CONFIG
        .replace(r#"{ env = "ID" }"#, r#"{ env = "ID", expires = "2027-01-29T08:00:01Z" }"#)
        .replace(r#"{ env = "SECRET" }"#, r#"{ env = "SECRET", expires = "2027-02-01" }"#);
    let setup = Setup::with(own_user(), &config).await;
    credentials::put(&setup, Duration::from_hours(24 * 365)).await;
    assert_eq!(setup.get("/readyz").await.expect(200), json!({"status": "ready"}));
    let table = [
        (1, 1, "secret `client_id` of account certn expires in 14 days"),
        (14 * 24 * 3600, 2, "certn has expired (2027-01-29T08:00:01.000Z)"),
    ];
    for (seconds, count, words) in table {
        setup.clock.advance(Duration::from_secs(seconds));
        let ready = setup.get("/readyz").await.expect(200);
        assert_eq!((&ready["status"], &ready["reasons"]), (&json!("ready"), &Value::Null));
        assert_eq!(ready["warnings"].as_array().unwrap().len(), count);
        let warning = &ready["warnings"][0];
        assert_eq!(
            (&warning["code"], &warning["account"]),
            (&json!("secret_expiring"), &json!("certn"))
        );
        let detail = warning["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{detail}");
    }
}

#[tokio::test]
async fn queues_show_what_is_left_and_what_waits() {
    let setup = Setup::new().await;
    setup.job(&applicant("1")).await;
    let mut later = applicant("2");
    later["run_at"] = "2027-01-16T08:00:00Z".into();
    setup.job(&later).await;
    let queues = setup.get("/v1/queues").await.expect(200);
    let certn = &queues["queues"][1];
    assert_eq!((&certn["account"], &certn["provider"]), (&json!("certn"), &json!("certn")));
    assert_eq!((&certn["state"], &certn["waiting_for"]), (&json!("open"), &Value::Null));
    assert_eq!(certn["budget"][0], json!({"limit": "240/1m", "used": 0, "left": 240}));
    assert_eq!(
        (&certn["due"], &certn["waiting"], &certn["running"]),
        (&json!(2), &json!(1), &json!(0))
    );
    assert_eq!(certn["next_run_at"], "2027-01-16T08:00:00.000Z");
    assert_eq!((&certn["next_free"], &certn["held_kinds"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn kinds_and_definitions_say_what_can_be_asked() {
    let setup = Setup::new().await;
    let kinds = setup.get("/v1/kinds").await.expect(200)["kinds"].clone();
    let order = kinds.as_array().unwrap().iter().find(|one| one["name"] == "certn.application");
    let order = order.unwrap();
    assert_eq!((&order["shape"], &order["repeat"]), (&json!("call"), &json!("never")));
    assert_eq!(order["args"][1]["enum"], json!(["quick", "invite"]));
    let all = setup.get("/v1/definitions").await.expect(200);
    let mut all = all["definitions"].as_array().unwrap().iter();
    assert!(all.any(|one| one["provider"] == "certn"));
    let text = setup.get("/v1/definitions/certn").await;
    assert_eq!(text.headers["content-type"], "text/plain; charset=utf-8");
    assert!(String::from_utf8(text.bytes).unwrap().contains("[jobs.report]"));
    assert_eq!(setup.get("/v1/schedules").await.expect(200), json!({"schedules": []}));
}

#[tokio::test]
async fn every_described_operation_is_there() {
    let setup = Setup::new().await;
    let document = setup.get("/openapi.json").await.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    for operation in OPERATIONS {
        assert!(document["paths"][operation.path][operation.method].is_object());
        let path = operation.path.replace(['{', '}'], "");
        let method = operation.method.to_uppercase().parse().unwrap();
        let answer = setup.send(method, &path, "").await;
        let text = String::from_utf8_lossy(&answer.bytes);
        assert_ne!(answer.status, 405, "{path}");
        assert!(!text.contains("there is no route"), "{path}: {text}");
    }
}
