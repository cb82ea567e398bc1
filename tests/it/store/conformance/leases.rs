use attendant::{
    store::{CancelOutcome, NewJob, Settlement},
    types::{Generation, JobState},
};

use crate::store::support::{World, at, ended, snoozed};

pub async fn extend_prolongs_only_what_is_held(world: World) {
    let waiting = world.add(world.later(9_000)).await;
    world.store.enqueue((0..3).map(|_| world.job()).collect()).await.unwrap();
    let jobs = world.claim(at(0), 10).await.jobs;
    assert!(world.settle(ended(&jobs[1], JobState::Completed, at(1))).await);
    let leases = vec![
        (jobs[0].seq, jobs[0].generation),
        (jobs[1].seq, jobs[1].generation), // has ended
        (jobs[2].seq, Generation(jobs[2].generation.0 + 1)), // another's claim
        (world.row(waiting).await.seq, Generation(0)), // never claimed
        (1_000_000, Generation(1)),        // unknown
    ];
    assert_eq!(world.store.extend(leases, at(500_000)).await.unwrap(), [jobs[0].seq]);
    assert!(world.store.extend(vec![], at(500_000)).await.unwrap().is_empty());
}

pub async fn extend_counts_for_the_reaper(world: World) {
    let job = world.running().await;
    assert_eq!(world.store.running(Some(at(60_001))).await.unwrap().len(), 1);
    world.store.extend(vec![(job.seq, job.generation)], at(90_000)).await.unwrap();
    assert!(world.store.running(Some(at(90_000))).await.unwrap().is_empty());
    assert_eq!(world.store.running(Some(at(90_001))).await.unwrap().len(), 1);
}

pub async fn running_tells_what_a_reaper_needs(world: World) {
    let new = NewJob {
        max_errors: 7,
        run_at: at(3),
        created_at: at(2),
        deadline: Some(at(8_000)),
        ..world.job()
    };
    world.add(world.later(9_000)).await;
    let id = world.add(new).await;
    let claimed = world.claim_one(at(4)).await;
    let failed = Settlement { errors: 2, attempt: 2, ..snoozed(&claimed, at(5), at(6)) };
    assert!(world.settle(failed).await);
    let claimed = world.claim_one(at(7)).await;
    world.store.record_intent(claimed.seq, claimed.generation).await.unwrap();
    world.store.cancel(id, at(8)).await.unwrap();
    let mut running = world.store.running(None).await.unwrap();
    assert_eq!(running.len(), 1);
    let job = running.remove(0);
    assert_eq!((job.seq, job.id, job.queue, job.kind), (claimed.seq, id, world.queue, world.kind));
    assert_eq!((job.generation, job.attempt, job.errors), (Generation(2), 2, 2));
    assert_eq!((job.max_errors, job.polls, job.run_at), (7, 1, at(6)));
    assert_eq!((job.created_at, job.started_at, job.deadline), (at(2), at(7), Some(at(8_000))));
    assert!(job.intent && job.cancel);
}

pub async fn an_intent_is_recorded_for_the_holder_only(world: World) {
    let job = world.running().await;
    let stale = Generation(job.generation.0 - 1);
    assert!(!world.store.record_intent(job.seq, stale).await.unwrap());
    assert!(!world.row(job.id).await.intent);
    assert!(world.store.record_intent(job.seq, job.generation).await.unwrap());
    assert!(world.row(job.id).await.intent);
    assert!(world.settle(ended(&job, JobState::Dead, at(1))).await);
    assert!(!world.store.record_intent(job.seq, job.generation).await.unwrap());
}

pub async fn no_intent_once_cancellation_was_asked(world: World) {
    let job = world.running().await;
    assert_eq!(world.store.cancel(job.id, at(1)).await.unwrap(), CancelOutcome::Asked(job.seq));
    assert!(!world.store.record_intent(job.seq, job.generation).await.unwrap());
    assert!(!world.row(job.id).await.intent);
}

pub async fn reclaimed_jobs_fence_off_their_last_holder(world: World) {
    let lost = world.running().await;
    let reaped = world.store.running(Some(at(60_001))).await.unwrap().remove(0);
    assert_eq!((reaped.seq, reaped.generation), (lost.seq, lost.generation));
    let back = Settlement { errors: 1, ..ended(&lost, JobState::Queued, at(60_001)) };
    assert!(world.settle(back).await);
    let held = world.claim_one(at(60_002)).await;
    assert_eq!((held.generation, held.errors, held.attempt), (Generation(2), 1, 1));
    let leases = vec![(lost.seq, lost.generation)];
    assert!(world.store.extend(leases, at(200_000)).await.unwrap().is_empty());
    assert!(!world.store.record_intent(lost.seq, lost.generation).await.unwrap());
    assert!(!world.settle(ended(&lost, JobState::Completed, at(60_003))).await);
    assert!(world.settle(ended(&held, JobState::Completed, at(60_004))).await);
    assert_eq!(world.store.attempts(held.seq).await.unwrap().len(), 2);
}
