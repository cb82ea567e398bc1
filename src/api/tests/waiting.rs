//! Waiting for jobs, and not for ever.

use axum::extract::State;

use super::*;
use crate::api::{Api, access::Peer, path::Id, problem::Kind, query::Raw, wait::wait};

async fn user(setup: &Setup) -> JobId {
    setup.job(&json!({"kind": "acme.user", "args": {"name": "a", "pass": "p"}})).await
}

#[tokio::test]
async fn a_wait_ends_with_the_job() {
    let setup = Setup::new().await;
    let id = user(&setup).await;
    let path = format!("/v1/jobs/{id}/wait?timeout=1m");
    let waiting = setup.get(&path);
    let (answer, ()) = tokio::join!(waiting, async {
        setup.complete("acme", &json!(1)).await;
    });
    let job = answer.expect(200);
    assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!(1)));
    // It has ended already.
    setup.get(&path).await.expect(200);
}

#[tokio::test]
async fn a_chain_is_waited_for_to_its_last_job() {
    let setup = Setup::new().await;
    let id = user(&setup).await;
    let chain = format!("/v1/jobs/{id}/wait?scope=chain&timeout=1m");
    let job = setup.claim("acme").await;
    let mut child = new_child(&setup, &job);
    child.run_at = setup.now();
    let settlement =
        Settlement { children: vec![child], ..completed(&setup.engine, &job, &json!("parent")) };
    setup.settle(settlement, job.root).await;
    let parent = setup.get(&format!("/v1/jobs/{id}/wait")).await.expect(200);
    assert_eq!(parent["chain"]["state"], "running");
    assert_eq!(setup.get(&chain.replace("1m", "0s")).await.status, 204);
    let (answer, ()) = tokio::join!(setup.get(&chain), async {
        setup.die("acme", "http_400").await;
    });
    let parent = answer.expect(200);
    assert_eq!(parent["chain"]["state"], "dead");
    assert_eq!(parent["state"], "completed");
    let child = parent["children"][0].as_str().unwrap();
    assert_eq!(parent["chain"]["jobs"][1], json!({"id": child, "state": "dead"}));
    let child = setup.get(&format!("/v1/jobs/{child}")).await.expect(200);
    assert_eq!(child["parent_id"], id.to_string());
}

fn new_child(setup: &Setup, parent: &ClaimedJob) -> crate::store::NewJob {
    let id = crate::clock::new_job_id(setup.now());
    let chain = setup.engine.vault.chain(&parent.salt.unwrap());
    let payload = vault::Payload::default();
    crate::store::NewJob {
        id,
        queue: parent.queue,
        kind: parent.kind,
        priority: 1,
        run_at: setup.now(),
        ready: true,
        max_errors: 3,
        deadline: None,
        created_at: setup.now(),
        created_by: setup.engine.actor,
        salt: None,
        family: Some(crate::store::Parentage { parent: parent.seq, root: parent.root }),
        args: vault::seal_json(&chain, id, Part::Args, &payload),
        uniq: None,
        key: None,
        tags: vec![],
    }
}

#[tokio::test]
async fn a_wait_ends_at_its_timeout() {
    let setup = Setup::new().await;
    let id = user(&setup).await;
    let answer = setup.get(&format!("/v1/jobs/{id}/wait?timeout=10ms")).await;
    assert_eq!((answer.status.as_u16(), answer.bytes.len()), (204, 0));
}

#[tokio::test]
async fn stopping_answers_those_who_wait() {
    let setup = Setup::new().await;
    let id = user(&setup).await;
    let (pair, _other) = tokio::net::UnixStream::pair().unwrap();
    let peer = pair.peer_cred().unwrap();
    let api = Arc::new(Api::new(Arc::clone(&setup.engine), setup.stop.clone()));
    let me = own_user().peer(&peer).await;
    let waiting = wait(State(api), Peer(me), Id(id), Raw::default());
    let (answer, ()) = tokio::join!(waiting, async { setup.stop.cancel() });
    assert_eq!(answer.unwrap_err().kind(), Kind::Draining);
}

#[tokio::test]
async fn stopping_ends_the_server() {
    let setup = Setup::new().await;
    // Leaves a connection behind that is kept alive.
    setup.get("/healthz").await.expect(200);
    setup.stop.cancel();
    setup.server.await.unwrap();
    assert!(setup.client.get("http://attendant/healthz").send().await.is_err());
}
