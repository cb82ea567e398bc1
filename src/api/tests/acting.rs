//! Cancel, retry, resolve, pause.

use super::*;

const USER: &str = r#"{"kind": "acme.user", "args": {"name": "a", "pass": "p"}}"#;

async fn user(setup: &Setup) -> JobId {
    setup.job(&serde_json::from_str(USER).unwrap()).await
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once_and_can_be_retried() {
    let setup = Setup::new().await;
    let path = format!("/v1/jobs/{}", user(&setup).await);
    let job = setup.post(&format!("{path}/cancel"), &json!({})).await.expect(200);
    assert_eq!(job["state"], "cancelled");
    setup.post(&format!("{path}/cancel"), &json!({})).await.problem(409);
    let job = setup.send(Method::POST, &format!("{path}/retry"), "").await.expect(200);
    assert_eq!(job["state"], "queued");
    setup.post(&format!("{path}/retry"), &json!({"now": true})).await.problem(422);
}

#[tokio::test]
async fn a_running_job_is_asked_to_end() {
    let setup = Setup::new().await;
    let path = format!("/v1/jobs/{}", user(&setup).await);
    setup.claim("acme").await;
    let job = setup.post(&format!("{path}/cancel"), &json!({})).await.expect(202);
    assert_eq!(job["state"], "running");
    setup.post(&format!("{path}/retry"), &json!({})).await.problem(409);
}

#[tokio::test]
async fn an_unknown_outcome_is_a_persons_decision() {
    let setup = Setup::new().await;
    let path = format!("/v1/jobs/{}", user(&setup).await);
    let resolve = format!("{path}/resolve");
    setup.post(&resolve, &json!({"not_sent": true})).await.problem(409);
    setup.die("acme", "outcome_unknown").await;
    assert_eq!(setup.get(&path).await.expect(200)["last_error"]["code"], "outcome_unknown");
    setup.post(&format!("{path}/retry"), &json!({})).await.problem(409);
    for bad in [json!({}), json!({"happened": {}, "not_sent": true}), json!({"x": 1}), json!([])] {
        setup.post(&resolve, &bad).await.problem(422);
    }
    let job = setup.post(&resolve, &json!({"happened": {"id": 5}})).await.expect(200);
    assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!({"id": 5})));
}

#[tokio::test]
async fn what_was_not_sent_is_sent_again() {
    let setup = Setup::new().await;
    let path = format!("/v1/jobs/{}", user(&setup).await);
    setup.die("acme", "outcome_unknown").await;
    let job = setup.post(&format!("{path}/resolve"), &json!({"not_sent": true})).await.expect(200);
    assert_eq!(job["state"], "queued");
    setup.die("acme", "outcome_unknown").await;
    let again = setup.post(&format!("{path}/retry"), &json!({"resend": true})).await.expect(200);
    assert_eq!(again["state"], "queued");
}

#[tokio::test]
async fn a_pause_shows_in_the_queue_and_in_its_jobs() {
    let setup = Setup::new().await;
    let path = format!("/v1/jobs/{}", user(&setup).await);
    let queue = setup.post("/v1/queues/acme/pause", &json!({})).await.expect(200);
    assert_eq!((&queue["account"], &queue["state"]), (&json!("acme"), &json!("paused")));
    assert_eq!(queue["waiting_for"]["code"], "paused");
    assert_eq!(setup.get(&path).await.expect(200)["waiting_for"]["code"], "paused");
    let held = setup.post("/v1/jobs", &serde_json::from_str(USER).unwrap()).await.expect(201);
    assert_eq!(held["waiting_for"]["code"], "paused");
    let queue = setup.post("/v1/queues/acme/resume", &json!({})).await.expect(200);
    assert_eq!((&queue["state"], &queue["waiting_for"]), (&json!("open"), &Value::Null));
    assert_eq!(setup.get(&path).await.expect(200)["waiting_for"], Value::Null);
}
