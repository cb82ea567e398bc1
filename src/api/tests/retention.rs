//! What is forgotten, when, and what is left of it.

use super::*;
use crate::{
    engine::retention::{HISTORY_KEPT, Pruned},
    store::{History, JobSeq, Parentage},
};

const DAY: Duration = Duration::from_hours(24);

impl Setup {
    fn days(&self, days: u32) {
        // In steps that a machine that is never off would see.
        self.clock.advance(DAY * days);
    }

    async fn pruned(&self) -> (u64, u64) {
        let Pruned { chains, jobs } = self.engine.prune().await.unwrap();
        (chains, jobs)
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status.as_u16()
    }

    /// A chain of two: the parent has completed, the child is queued.
    async fn with_child(&self) -> (JobId, JobId) {
        let parent =
            self.job(&json!({"kind": "acme.user", "args": {"name": "a", "pass": "b"}})).await;
        let claimed = self.claim("acme").await;
        let mut child = crate::engine::enqueue::prepare(
            serde_json::from_value(json!({"kind": "acme.login"})).unwrap(),
            &self.engine.catalog(),
            &self.engine.vault,
            self.engine.actor,
            self.now(),
        )
        .unwrap()
        .row;
        child.family = Some(Parentage { parent: claimed.seq, root: claimed.root });
        let id = child.id;
        let settlement =
            Settlement { children: vec![child], ..completed(&self.engine, &claimed, &json!(1)) };
        self.settle(settlement, claimed.root).await;
        (parent, id)
    }
}

#[tokio::test]
async fn what_has_ended_goes_and_its_key_stays() {
    let setup = Setup::new().await;
    let body = json!({"kind": "acme.user", "args": {"name": "a", "pass": "b"}, "key": "k1",
                      "tags": ["t"]});
    let id = setup.job(&body).await;
    setup.complete("acme", &json!({"ok": true})).await;
    setup.days(30);
    assert_eq!(setup.pruned().await, (0, 0), "not yet");
    setup.days(1);
    assert_eq!(setup.pruned().await, (1, 1));
    assert_eq!(setup.pruned().await, (0, 0));
    let again = setup.post("/v1/jobs", &body).await.expect(200);
    assert_eq!(again, json!({"id": id.to_string(), "pruned": true}));
    let other = json!({"kind": "acme.user", "args": {"name": "x", "pass": "b"}, "key": "k1"});
    setup.post("/v1/jobs", &other).await.problem(409);
    let gone = setup.get(&format!("/v1/jobs/{id}/result")).await.problem(410);
    assert!(gone["detail"].as_str().unwrap().contains("ended as completed"), "{gone}");
    assert_eq!(setup.status(&format!("/v1/jobs/{id}")).await, 410);
    assert_eq!(setup.status(&format!("/v1/jobs/{id}/artifacts/report.pdf")).await, 410);
    let tagged = setup.get("/v1/jobs?tag=t").await.expect(200);
    assert_eq!(tagged["jobs"], json!([]));
    // Of one without a key nothing is left to tell by.
    let unknown = setup.get("/v1/jobs/01900000-0000-7000-8000-000000000000/result").await;
    let words = unknown.problem(404)["detail"].as_str().unwrap().to_owned();
    assert!(words.ends_with("may not be kept any longer"), "{words}");
}

#[tokio::test]
async fn chains_go_whole_and_by_their_end() {
    let setup = Setup::new().await;
    let (parent, child) = setup.with_child().await;
    setup.days(60);
    assert_eq!(setup.pruned().await, (0, 0), "the child is queued");
    setup.complete("acme", &json!(2)).await;
    setup.days(29);
    assert_eq!(setup.pruned().await, (0, 0));
    setup.days(2);
    assert_eq!(setup.pruned().await, (1, 2));
    for id in [parent, child] {
        assert_eq!(setup.status(&format!("/v1/jobs/{id}")).await, 404);
    }
    // One dead job keeps its chain as long as dead ones are kept.
    setup.with_child().await;
    setup.die("acme", "http_404").await;
    setup.days(179);
    assert_eq!(setup.pruned().await, (0, 0));
    setup.days(2);
    assert_eq!(setup.pruned().await, (1, 2));
}

#[tokio::test]
async fn nothing_goes_while_the_clock_is_in_doubt() {
    let setup = Setup::new().await;
    setup.job(&json!({"kind": "acme.login"})).await;
    setup.complete("acme", &json!(1)).await;
    let years = 3 * 365 * 24 * 3_600_000;
    setup.clock.step_wall(years);
    assert_eq!(setup.pruned().await, (0, 0));
    setup.clock.step_wall(-years);
    setup.days(31);
    assert_eq!(setup.pruned().await, (1, 1));
}

#[tokio::test]
async fn many_go_in_batches_and_others_stay() {
    let setup = Setup::new().await;
    for _ in 0..450 {
        setup.job(&json!({"kind": "acme.login"})).await;
        let job = setup.claim("acme").await;
        let end = Settlement { state: JobState::Cancelled, ..unchanged(&setup.engine, &job) };
        setup.settle(end, job.root).await;
    }
    setup.days(31);
    let kept = setup.job(&json!({"kind": "acme.login"})).await;
    assert_eq!(setup.pruned().await, (450, 450));
    assert_eq!(setup.status(&format!("/v1/jobs/{kept}")).await, 200);
}

#[tokio::test]
async fn the_history_of_a_job_that_lives_long_is_bounded() {
    let setup = Setup::new().await;
    let id = setup.job(&json!({"kind": "acme.login"})).await;
    for n in 1..=i64::from(HISTORY_KEPT) + 20 {
        let job = setup.claim("acme").await;
        let status = vault::seal(
            &setup.engine.vault.chain(&job.salt.unwrap()),
            job.id,
            Part::Status(n),
            n.to_string().as_bytes(),
        );
        let again = Settlement {
            state: JobState::Queued,
            ready: true,
            history: Some(NewAttempt {
                started_at: setup.now(),
                outcome: "error",
                code: None,
                message: None,
            }),
            observation: Some(NewObservation { n, polls: n, status }),
            ..unchanged(&setup.engine, &job)
        };
        setup.settle(again, job.root).await;
    }
    setup.engine.trim_histories().await.unwrap();
    for of in History::ALL {
        let lengths = setup.engine.store.history_lengths(of, JobSeq::MIN, 10).await.unwrap();
        let longest = lengths.iter().map(|(_, count)| *count).max();
        assert_eq!(longest, Some(i64::from(HISTORY_KEPT)), "{of:?}");
    }
    let job = setup.get(&format!("/v1/jobs/{id}")).await.expect(200);
    assert_eq!(job["status"], "220", "the newest are kept");
}
