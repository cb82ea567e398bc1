//! Who is let in.

use super::*;

#[tokio::test]
async fn strangers_learn_only_that_it_is_alive() {
    let setup = Setup::with_access(Access::of(vec![], Clock::System)).await;
    setup.get("/healthz").await.expect(200);
    for path in ["/readyz", "/v1/jobs", "/v1/nothing", "/openapi.json"] {
        let problem = setup.get(path).await.problem(403);
        assert_eq!(problem["type"], "urn:attendant:refused");
    }
    setup.post("/v1/jobs", &applicant("1")).await.problem(403);
    assert_eq!(setup.engine.store.counts().await.unwrap(), [(JobState::Queued, 1)]);
}

#[tokio::test]
async fn many_share_few_connections() {
    let setup = Setup::new().await;
    let many = (0..200).map(|_| async { setup.get("/healthz").await.expect(200) });
    futures::future::join_all(many).await;
}
