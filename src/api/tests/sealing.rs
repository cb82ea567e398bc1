//! What is secret and what is erased, as clients see it.

use super::*;
use crate::{
    api::access::{Caller, Grants},
    config::{Access, Right},
};

async fn login(setup: &Setup) -> JobId {
    setup.job(&json!({"kind": "acme.login", "key": "k", "tags": ["t"]})).await
}

#[tokio::test]
async fn a_secret_result_shows_in_one_place() {
    let setup = Setup::new().await;
    let id = login(&setup).await;
    setup.complete("acme", &json!({"token": "hunter2"})).await;
    let path = format!("/v1/jobs/{id}");
    let again = json!({"kind": "acme.login", "key": "k"});
    for answer in [
        setup.get(&path).await,
        setup.get(&format!("{path}/wait")).await,
        setup.get("/v1/jobs?account=acme").await,
        setup.post("/v1/jobs", &again).await,
    ] {
        let text = answer.expect(200).to_string();
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert_eq!(setup.get(&path).await.json()["result"], "***");
    let result = setup.get(&format!("{path}/result")).await.expect(200);
    assert_eq!(result, json!({"token": "hunter2"}));
}

#[test]
fn a_missing_right_is_named() {
    let may = [Right::Results].into();
    let caller = Caller::with(Grants::of(vec![Access { may, accounts: None, kinds: None }]));
    assert!(caller.needs_in(Right::Results, "acme").is_ok());
    let problem = caller.needs_in(Right::Credentials, "acme").unwrap_err();
    let problem = problem.because("it holds secrets");
    let told: Value = serde_json::from_slice(&problem.to_json()).unwrap();
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.starts_with("it holds secrets: this needs the right `credentials`"), "{detail}");
    assert_eq!(problem.status(), 403);
}

#[tokio::test]
async fn an_erased_chain_is_a_skeleton() {
    let setup = Setup::new().await;
    let id = login(&setup).await;
    let path = format!("/v1/jobs/{id}");
    let early = setup.post(&format!("{path}/erase"), &json!({})).await.problem(409);
    assert!(early["detail"].as_str().unwrap().contains("cancel"), "{early}");
    setup.complete("acme", &json!({"token": "hunter2"})).await;
    let row = setup.engine.store.job(id).await.unwrap().unwrap();
    let sealed = setup.engine.store.result(id).await.unwrap().unwrap().result.unwrap();
    for artifacts in [1, 0] {
        let job = setup.post(&format!("{path}/erase"), &json!({})).await.expect(200);
        let expected = json!({"jobs": [id], "artifacts": artifacts, "backups": "unreadable"});
        assert_eq!(job["erased"], expected);
        let personal = ["args", "key", "result", "status"].map(|name| job[name].clone());
        assert_eq!(personal, [Value::Null, Value::Null, Value::Null, Value::Null]);
        assert_eq!((&job["state"], &job["tags"]), (&json!("completed"), &json!([])));
    }
    setup.get(&format!("{path}/result")).await.problem(410);
    setup.get(&format!("{path}/artifacts/report.pdf")).await.problem(410);
    setup.get(&path).await.expect(200);
    // The salt of a backup does not help.
    let chain = setup.engine.vault.chain(&row.salt.unwrap());
    vault::open(&chain, id, Part::Result, &sealed).unwrap_err();
    let again = setup.post("/v1/jobs", &json!({"kind": "acme.login", "key": "k"})).await;
    assert_eq!(again.expect(200)["id"], id.to_string());
    let other = json!({"kind": "acme.user", "args": {"name": "n", "pass": "p"}, "key": "k"});
    setup.post("/v1/jobs", &other).await.problem(409);
    setup.post(&format!("/v1/jobs/{}/erase", uuid::Uuid::nil()), &json!({})).await.problem(404);
}

#[tokio::test]
async fn an_erased_job_is_not_run_again() {
    let setup = Setup::new().await;
    let id = login(&setup).await;
    setup.die("acme", "http_400").await;
    setup.post(&format!("/v1/jobs/{id}/erase"), &json!({})).await.expect(200);
    setup.post(&format!("/v1/jobs/{id}/retry"), &json!({})).await.problem(409);
}

#[tokio::test]
async fn everything_is_sealed_anew_and_opens() {
    let setup = Setup::new().await;
    let done = login(&setup).await;
    setup.complete("acme", &json!({"token": "hunter2"})).await;
    let waiting =
        setup.job(&json!({"kind": "acme.user", "args": {"name": "n", "pass": "p"}})).await;
    let held = setup.claim("acme").await;
    let rekeyed = setup.post("/v1/rekey", &json!({})).await.expect(200);
    assert_eq!((&rekeyed["unreadable"], &rekeyed["resealed"]["results"]), (&json!(0), &json!(1)));
    let row = setup.engine.store.job(done).await.unwrap().unwrap();
    assert_eq!(&row.args[1..5], setup.engine.vault.key_id().0);
    let result = setup.get(&format!("/v1/jobs/{done}/result")).await.expect(200);
    assert_eq!(result, json!({"token": "hunter2"}));
    assert_eq!(setup.get(&format!("/v1/jobs/{waiting}")).await.json()["args"]["name"], "n");
    // What an attempt holds since before still opens.
    let chain = setup.engine.vault.chain(&held.salt.unwrap());
    vault::open(&chain, held.id, Part::Args, &held.args).unwrap();
    let second = setup.post("/v1/rekey", &json!({})).await.expect(200);
    assert_ne!(second["key"], rekeyed["key"]);
    setup.get(&format!("/v1/jobs/{done}/result")).await.expect(200);
}
