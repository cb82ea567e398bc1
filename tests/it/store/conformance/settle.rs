use attendant::{
    store::{
        ClaimedJob, JobFilter, NewArtifact, NewAttempt, NewObservation, Settlement, StoredError,
    },
    types::{JobState, Timestamp},
};

use crate::store::support::{World, at, ended, hash, snoozed};

fn observation(n: i64, status: &str) -> NewObservation {
    NewObservation { n, polls: n * 10, status: status.as_bytes().to_vec() }
}

fn artifact(name: &str, content: &[u8]) -> NewArtifact {
    NewArtifact {
        name: name.to_owned(),
        content_type: "application/pdf".to_owned(),
        size: 3,
        sha256: "abc".to_owned(),
        sealed: content.to_vec(),
    }
}

fn error(code: &str, words: Option<&str>, at: Timestamp) -> StoredError {
    let message = words.map(|words| words.as_bytes().to_vec());
    StoredError { code: code.to_owned(), message, at }
}

/// An end with one of each thing that a settlement may bring.
fn full_end(world: &World, job: &ClaimedJob) -> Settlement {
    Settlement {
        result: Some(b"result".to_vec()),
        observation: Some(observation(1, "COMPLETE")),
        artifact: Some(artifact("report.pdf", b"pdf")),
        children: vec![world.child_of(job)],
        ..ended(job, JobState::Completed, at(40))
    }
}

/// Attempts, observations, artifacts, other jobs of the chain.
async fn dependents(world: &World, job: &ClaimedJob) -> [usize; 4] {
    [
        world.store.attempts(job.seq).await.unwrap().len(),
        world.store.observations(job.seq).await.unwrap().len(),
        world.store.artifacts(vec![job.seq]).await.unwrap().len(),
        world.store.chain(job.root).await.unwrap().len() - 1,
    ]
}

pub async fn completes_with_all_that_belongs_to_it(world: World) {
    let job = world.running().await;
    let history = NewAttempt {
        started_at: at(1),
        outcome: "completed",
        code: Some("ok".to_owned()),
        message: Some(b"words".to_vec()),
    };
    let end = Settlement { history: Some(history), ..full_end(&world, &job) };
    assert!(world.settle(end).await);
    assert_eq!(dependents(&world, &job).await, [1, 1, 1, 1]);

    let row = world.row(job.id).await;
    assert_eq!((row.state, row.finished_at), (JobState::Completed, Some(at(40))));
    assert_eq!((row.attempt, row.errors, row.polls), (1, 0, 1));
    assert!(row.has_result);
    assert_eq!(row.status, Some((1, b"COMPLETE".to_vec())));
    let attempt = world.store.attempts(job.seq).await.unwrap().remove(0);
    assert_eq!((attempt.generation, attempt.started_at), (job.generation, at(1)));
    assert_eq!((attempt.finished_at, attempt.outcome.as_str()), (at(40), "completed"));
    assert_eq!(attempt.code.as_deref(), Some("ok"));
    assert_eq!(attempt.message.as_deref(), Some(&b"words"[..]));
    let seen = world.store.observations(job.seq).await.unwrap().remove(0);
    assert_eq!((seen.n, seen.at, seen.polls), (1, at(40), 10));
    let file = world.store.artifact(job.id, "report.pdf").await.unwrap().unwrap();
    assert_eq!((file.row.job, file.row.size), (job.id, 3));
    assert_eq!(
        (file.row.content_type.as_str(), file.row.sha256.as_str()),
        ("application/pdf", "abc")
    );
    assert_eq!((file.sealed.as_slice(), file.salt), (&b"pdf"[..], Some(hash(0xa5))));
}

pub async fn snooze_keeps_one_row_and_no_attempt(world: World) {
    let mut job = world.running().await;
    for n in 1..=3 {
        let (now, run_at) = (at(n * 1_000), at(n * 1_000 + 500));
        assert!(world.settle(snoozed(&job, now, run_at)).await);
        let row = world.row(job.id).await;
        assert_eq!((row.state, row.ready, row.run_at), (JobState::Queued, false, run_at));
        assert_eq!((row.attempt, row.finished_at), (0, None));
        assert_eq!(row.polls, i64::try_from(n).unwrap());
        job = world.claim_one(run_at).await;
    }
    let all = world.store.jobs(JobFilter { limit: 9, ..JobFilter::default() }).await.unwrap();
    assert_eq!(all.len(), 1);
    assert!(world.store.attempts(job.seq).await.unwrap().is_empty());
}

pub async fn an_error_stays_until_the_next(world: World) {
    let (timeout, http) = (error("timeout", Some("slow"), at(1)), error("http_500", None, at(3)));
    let ends = [(Some(timeout.clone()), &timeout), (None, &timeout), (Some(http.clone()), &http)];
    world.add(world.job()).await;
    for (n, (given, expected)) in (1..).zip(ends) {
        let job = world.claim_one(at(n)).await;
        let end = Settlement { error: given, errors: 2, ..snoozed(&job, at(n), at(n)) };
        assert!(world.settle(end).await);
        let row = world.row(job.id).await;
        assert_eq!((row.error.as_ref(), row.errors), (Some(expected), 2));
    }
}

pub async fn a_stale_generation_changes_nothing(world: World) {
    let first = world.running().await;
    assert!(world.settle(snoozed(&first, at(1), at(1))).await);
    let second = world.claim_one(at(2)).await;
    assert!(!world.settle(full_end(&world, &first)).await);
    assert_eq!(dependents(&world, &first).await, [0; 4]);
    let row = world.row(first.id).await;
    assert_eq!(
        (row.state, row.generation, row.has_result),
        (JobState::Running, second.generation, false)
    );
    assert!(world.settle(full_end(&world, &second)).await);
}

pub async fn another_state_changes_nothing(world: World) {
    let job = world.running().await;
    let of_a_dead_one = Settlement { from: JobState::Dead, ..full_end(&world, &job) };
    assert!(!world.settle(of_a_dead_one).await);
    assert_eq!(dependents(&world, &job).await, [0; 4]);
    assert!(world.settle(snoozed(&job, at(1), at(500))).await);
    assert!(!world.settle(full_end(&world, &job)).await, "it waits");
    world.store.cancel(job.id, at(2)).await.unwrap();
    assert!(!world.settle(full_end(&world, &job)).await, "it is cancelled");
    assert_eq!(dependents(&world, &job).await, [0; 4]);
    assert_eq!(world.row(job.id).await.state, JobState::Cancelled);
}

pub async fn changed_arguments_change_nothing(world: World) {
    let job = world.running().await;
    assert!(world.store.replace_args(job.seq, 0, b"more".to_vec()).await.unwrap());
    let end = Settlement { args_rev: Some(job.args_rev), ..full_end(&world, &job) };
    assert!(!world.settle(end).await);
    assert_eq!(dependents(&world, &job).await, [0; 4]);
    assert_eq!(world.row(job.id).await.state, JobState::Running);
    // What does not depend on the arguments settles all the same, and keeps them.
    assert!(world.settle(snoozed(&job, at(2), at(2))).await);
    let again = world.claim_one(at(2)).await;
    assert_eq!((again.args.as_slice(), again.args_rev), (&b"more"[..], 1));
}

pub async fn the_same_arguments_settle(world: World) {
    let job = world.running().await;
    let end = Settlement { args_rev: Some(0), ..full_end(&world, &job) };
    assert!(world.settle(end).await);
    assert_eq!(dependents(&world, &job).await, [1, 1, 1, 1]);
}

pub async fn a_batch_with_stale_ones_settles_the_others(world: World) {
    world.store.enqueue((0..6).map(|_| world.job()).collect()).await.unwrap();
    let jobs = world.claim(at(0), 10).await.jobs;
    let ends = jobs.iter().enumerate().map(|(n, job)| {
        let mut end = full_end(&world, job);
        if n % 2 == 1 {
            end.generation.0 += 1;
        }
        end
    });
    let settled = world.store.settle(ends.collect()).await.unwrap();
    assert_eq!(settled, [true, false, true, false, true, false]);
    for (n, job) in jobs.iter().enumerate() {
        let (state, each) =
            if n % 2 == 0 { (JobState::Completed, 1) } else { (JobState::Running, 0) };
        assert_eq!(world.row(job.id).await.state, state);
        assert_eq!(dependents(&world, job).await, [each; 4]);
    }
}

pub async fn an_old_and_the_new_claim_in_one_batch(world: World) {
    let old = world.running().await;
    assert!(world.settle(snoozed(&old, at(1), at(1))).await);
    let new = world.claim_one(at(2)).await;
    let ends = vec![full_end(&world, &old), full_end(&world, &new)];
    assert_eq!(world.store.settle(ends).await.unwrap(), [false, true]);
    assert_eq!(dependents(&world, &new).await, [1, 1, 1, 1]);
}

pub async fn two_ends_of_one_claim_in_one_batch(world: World) {
    let job = world.running().await;
    let lost = Settlement { children: vec![world.child_of(&job)], ..snoozed(&job, at(1), at(900)) };
    let ends = vec![full_end(&world, &job), lost];
    assert_eq!(world.store.settle(ends).await.unwrap(), [true, false]);
    assert_eq!(dependents(&world, &job).await, [1, 1, 1, 1]);
    assert_eq!(world.row(job.id).await.state, JobState::Completed);
}

pub async fn only_what_was_answered_is_a_poll(world: World) {
    let job = world.running().await;
    assert_eq!((job.polled_at, job.status_at), (None, None));
    assert!(world.settle(snoozed(&job, at(5), at(5))).await);
    let job = world.claim_one(at(6)).await;
    assert_eq!((job.polled_at, job.status_at), (Some(at(5)), None));
    let released = Settlement { polls: job.polls, ..snoozed(&job, at(7), at(7)) };
    assert!(world.settle(released).await);
    assert_eq!(world.claim_one(at(8)).await.polled_at, Some(at(5)));
}

pub async fn observations_reach_the_next_attempt(world: World) {
    let mut job = world.running().await;
    for (n, status) in [(1_i64, "PENDING"), (2, "ANALYZING")] {
        let now = at(n.unsigned_abs());
        let end =
            Settlement { observation: Some(observation(n, status)), ..snoozed(&job, now, now) };
        assert!(world.settle(end).await);
        job = world.claim_one(now).await;
        assert_eq!(job.observation, Some((n, status.as_bytes().to_vec())));
        assert_eq!(job.status_at, Some(now));
    }
    let seen = world.store.observations(job.seq).await.unwrap();
    assert_eq!(seen.iter().map(|one| one.n).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(
        world.row(job.id).await.status.map(|(_, sealed)| sealed).as_deref(),
        Some(&b"ANALYZING"[..])
    );
}

pub async fn a_persons_word_settles_a_dead_job(world: World) {
    let job = world.running().await;
    let dead = Settlement {
        error: Some(error("outcome_unknown", Some("check"), at(1))),
        ..ended(&job, JobState::Dead, at(1))
    };
    assert!(world.settle(dead).await);
    let happened = Settlement {
        from: JobState::Dead,
        state: JobState::Completed,
        result: Some(b"as it was".to_vec()),
        children: vec![world.child_of(&job)],
        ..snoozed(&job, at(2), at(2))
    };
    assert!(world.settle(happened.clone()).await);
    assert!(!world.settle(happened).await, "only once");
    let result = world.store.result(job.id).await.unwrap().unwrap();
    assert_eq!(result.state, JobState::Completed);
    assert_eq!(result.result.as_deref(), Some(&b"as it was"[..]));
    assert_eq!(dependents(&world, &job).await, [1, 0, 0, 1]);
}

pub async fn a_settlement_ends_intent_and_cancellation(world: World) {
    let job = world.running().await;
    assert!(world.store.record_intent(job.seq, job.generation).await.unwrap());
    world.store.cancel(job.id, at(1)).await.unwrap();
    let row = world.row(job.id).await;
    assert!(row.intent && row.cancel);
    assert!(world.settle(ended(&job, JobState::Cancelled, at(2))).await);
    let row = world.row(job.id).await;
    assert!(!row.intent && !row.cancel);
    assert_eq!((row.state, row.finished_at), (JobState::Cancelled, Some(at(2))));
    assert!(world.store.running(None).await.unwrap().is_empty());
}

pub async fn an_artifact_of_the_same_name_is_replaced(world: World) {
    let mut job = world.running().await;
    for content in [&b"half"[..], b"whole"] {
        let end = Settlement {
            artifact: Some(artifact("a/b c.pdf", content)),
            ..snoozed(&job, at(1), at(1))
        };
        assert!(world.settle(end).await);
        job = world.claim_one(at(1)).await;
    }
    let end = Settlement { artifact: Some(artifact("other", b"x")), ..snoozed(&job, at(1), at(1)) };
    assert!(world.settle(end).await);
    let names: Vec<String> =
        world.store.artifacts(vec![job.seq]).await.unwrap().into_iter().map(|a| a.name).collect();
    assert_eq!(names, ["a/b c.pdf", "other"]);
    let kept = world.store.artifact(job.id, "a/b c.pdf").await.unwrap().unwrap();
    assert_eq!(kept.sealed, b"whole");
    assert!(world.store.artifact(job.id, "none").await.unwrap().is_none());
}

pub async fn nothing_settled_is_no_trouble(world: World) {
    assert_eq!(world.store.settle(vec![]).await.unwrap(), Vec::<bool>::new());
}
