use attendant::{
    clock::new_job_id,
    store::{CancelOutcome, NewJob, Settlement, StoredError},
    types::JobState,
};

use crate::store::support::{World, at, snoozed};

pub async fn cancel_of_a_queued_job(world: World) {
    for job in [world.job(), world.later(500)] {
        let id = world.add(job).await;
        let outcome = world.store.cancel(id, at(3)).await.unwrap();
        assert_eq!(outcome, CancelOutcome::Cancelled);
        let row = world.row(id).await;
        assert_eq!((row.state, row.finished_at), (JobState::Cancelled, Some(at(3))));
    }
}

pub async fn cancel_of_a_running_job_asks(world: World) {
    let job = world.running().await;
    for _ in 0..2 {
        let outcome = world.store.cancel(job.id, at(3)).await.unwrap();
        assert_eq!(outcome, CancelOutcome::Asked(job.seq));
    }
    let row = world.row(job.id).await;
    assert_eq!((row.state, row.cancel, row.finished_at), (JobState::Running, true, None));
}

pub async fn cancel_of_ended_jobs_says_so(world: World) {
    for state in [JobState::Completed, JobState::Dead, JobState::Cancelled] {
        let id = world.job_in(state, world.job()).await;
        let outcome = world.store.cancel(id, at(9)).await.unwrap();
        assert_eq!(outcome, CancelOutcome::Ended(state));
        assert_eq!(world.row(id).await.finished_at, Some(at(0)));
    }
}

pub async fn cancel_of_nothing(world: World) {
    let outcome = world.store.cancel(new_job_id(at(0)), at(1)).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Unknown);
}

pub async fn a_cancelled_job_is_never_claimed(world: World) {
    for job in [world.job(), world.later(5)] {
        let id = world.add(job).await;
        world.store.cancel(id, at(1)).await.unwrap();
    }
    let claimed = world.claim(at(1_000), 10).await;
    assert!(claimed.jobs.is_empty() && claimed.promoted.is_empty());
    assert_eq!(claimed.next_due, None);
}

pub async fn reschedule_moves_only_waiting_jobs(world: World) {
    let id = world.add(world.later(5_000)).await;
    let seq = world.row(id).await.seq;
    assert!(world.store.reschedule(seq, at(100), false).await.unwrap());
    assert_eq!(world.claim(at(99), 10).await.next_due, Some(at(100)));
    assert!(world.store.reschedule(seq, at(50), true).await.unwrap());
    let job = world.claim_one(at(60)).await;
    assert_eq!((job.id, job.run_at), (id, at(50)));
    assert!(!world.store.reschedule(seq, at(70), true).await.unwrap(), "it runs");
    for state in [JobState::Completed, JobState::Dead, JobState::Cancelled] {
        let id = world.job_in(state, world.job()).await;
        let row = world.row(id).await;
        assert!(!world.store.reschedule(row.seq, at(70), true).await.unwrap(), "{state}");
        assert_eq!(world.row(id).await.run_at, row.run_at);
    }
}

pub async fn replace_args_wins_once(world: World) {
    let id = world.add(world.job()).await;
    let seq = world.row(id).await.seq;
    assert!(world.store.replace_args(seq, 0, b"first".to_vec()).await.unwrap());
    assert!(!world.store.replace_args(seq, 0, b"late".to_vec()).await.unwrap());
    let row = world.row(id).await;
    assert_eq!((row.args.as_slice(), row.args_rev), (&b"first"[..], 1));
    assert!(world.store.replace_args(seq, 1, b"second".to_vec()).await.unwrap());
    assert_eq!(world.row(id).await.args, b"second");
}

pub async fn replace_args_only_of_live_jobs(world: World) {
    for state in [JobState::Completed, JobState::Dead, JobState::Cancelled] {
        let id = world.job_in(state, world.job()).await;
        let seq = world.row(id).await.seq;
        assert!(!world.store.replace_args(seq, 0, b"more".to_vec()).await.unwrap(), "{state}");
    }
    let running = world.running().await;
    assert!(world.store.replace_args(running.seq, 0, b"more".to_vec()).await.unwrap());
}

pub async fn wake_kind_makes_its_jobs_due(world: World) {
    let kind = world.store.kind_id("certn.users").await.unwrap();
    let queue = world.store.queue_id("other").await.unwrap();
    let (mut woken, mut others) = (vec![], vec![]);
    for code in ["provider_changed", "definition", "http_500"] {
        let id = world.add(NewJob { kind, ..world.job() }).await;
        let job = world.claim_one(at(2)).await;
        let error = StoredError { code: code.to_owned(), message: None, at: at(3) };
        let away = Settlement { error: Some(error), ..snoozed(&job, at(3), at(5_000)) };
        assert!(world.settle(away).await);
        if code == "http_500" { others.push(id) } else { woken.push(id) }
    }
    let cancelled = world.add(NewJob { kind, ..world.later(5_000) }).await;
    world.store.cancel(cancelled, at(1)).await.unwrap();
    // For later by its client's wish, of another kind, of another queue.
    let more = [
        NewJob { kind, ..world.later(5_000) },
        world.later(5_000),
        NewJob { kind, queue, ..world.later(5_000) },
    ];
    others.extend(futures::future::join_all(more.map(|job| world.add(job))).await);
    assert_eq!(world.store.wake_kind(world.queue, kind, at(9)).await.unwrap(), 2);
    for id in woken {
        let row = world.row(id).await;
        assert_eq!((row.ready, row.run_at), (true, at(9)));
    }
    for id in others {
        assert_eq!(world.row(id).await.run_at, at(5_000));
    }
    assert_eq!(world.row(cancelled).await.state, JobState::Cancelled);
}
