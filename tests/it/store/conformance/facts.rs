use std::collections::HashMap;

use attendant::{
    clock::new_job_id,
    store::{NewJob, QueueDepth, Settlement},
    types::{JobState, Timestamp},
};

use crate::store::support::{World, at, ended, hash};

pub async fn ready_queues_have_a_ready_job(world: World) {
    let future = world.store.queue_id("future").await.unwrap();
    let running = world.store.queue_id("running").await.unwrap();
    world.store.queue_id("empty").await.unwrap();
    world.add(NewJob { queue: future, ..world.later(500) }).await;
    let cancelled = world.add(NewJob { queue: running, ..world.job() }).await;
    world.store.cancel(cancelled, at(0)).await.unwrap();
    assert!(world.store.ready_queues().await.unwrap().is_empty());
    world.add(world.job()).await;
    world.add(world.job()).await;
    assert_eq!(world.store.ready_queues().await.unwrap(), [world.queue]);
    world.claim(at(0), 10).await;
    assert!(world.store.ready_queues().await.unwrap().is_empty());
    world.claim(at(500), 10).await;
    assert_eq!(world.store.ready_queues().await.unwrap(), [future]);
}

pub async fn depths_count_due_later_and_running(world: World) {
    let other = world.store.queue_id("other").await.unwrap();
    world.job_in(JobState::Running, world.job()).await;
    world.job_in(JobState::Cancelled, world.job()).await;
    let mut jobs = vec![world.job(), world.job(), world.job(), world.later(900), world.later(700)];
    jobs.push(NewJob { queue: other, priority: 3, ..world.later(800) });
    world.store.enqueue(jobs).await.unwrap();
    let mut depths = world.store.depths().await.unwrap();
    depths.sort_by_key(|depth| depth.queue);
    let depth = |queue, due, later, running, follows, next: Timestamp| QueueDepth {
        oldest_due: (due > 0).then_some(at(0)),
        queue,
        due,
        later,
        running,
        follows,
        next_run_at: Some(next),
    };
    let expected = [depth(world.queue, 3, 2, 1, 0, at(700)), depth(other, 0, 1, 0, 1, at(800))];
    assert_eq!(depths, expected);
}

pub async fn counts_of_each_state(world: World) {
    assert!(world.store.counts().await.unwrap().is_empty());
    for state in [JobState::Dead, JobState::Dead, JobState::Completed, JobState::Running] {
        world.job_in(state, world.job()).await;
    }
    world.store.enqueue(vec![world.job(), world.later(9), world.later(9)]).await.unwrap();
    let counts: HashMap<_, _> = world.store.counts().await.unwrap().into_iter().collect();
    let expected = [
        (JobState::Queued, 3),
        (JobState::Running, 1),
        (JobState::Completed, 1),
        (JobState::Dead, 2),
    ];
    assert_eq!(counts, HashMap::from(expected));
}

pub async fn result_of_each_state(world: World) {
    for state in JobState::ALL.into_iter().rev() {
        let id = world.job_in(state, world.job()).await;
        let result = world.store.result(id).await.unwrap().unwrap();
        assert_eq!((result.state, result.result), (state, None));
        world.store.cancel(id, at(1)).await.unwrap();
    }
    world.claim(at(0), 10).await;
    let job = world.running().await;
    let end = Settlement { result: Some(vec![0, 1]), ..ended(&job, JobState::Completed, at(1)) };
    assert!(world.settle(end).await);
    let result = world.store.result(job.id).await.unwrap().unwrap();
    assert_eq!((result.result, result.salt), (Some(vec![0, 1]), job.salt));
}

pub async fn live_job_by_natural_key(world: World) {
    let other = world.store.queue_id("other").await.unwrap();
    let find = |queue, n| world.store.live_job(queue, hash(n));
    let id = world.add(NewJob { uniq: Some(hash(1)), ..world.job() }).await;
    assert_eq!(find(world.queue, 1).await.unwrap().unwrap().id, id);
    assert!(find(world.queue, 2).await.unwrap().is_none());
    assert!(find(other, 1).await.unwrap().is_none());
    let job = world.claim_one(at(0)).await;
    assert_eq!(find(world.queue, 1).await.unwrap().unwrap().state, JobState::Running);
    assert!(world.settle(ended(&job, JobState::Completed, at(1))).await);
    assert!(find(world.queue, 1).await.unwrap().is_none());
}

pub async fn nothing_is_found_where_nothing_is(world: World) {
    let id = new_job_id(at(0));
    assert!(world.store.job(id).await.unwrap().is_none());
    assert!(world.store.result(id).await.unwrap().is_none());
    assert!(world.store.artifact(id, "a").await.unwrap().is_none());
    assert!(world.store.attempts(1).await.unwrap().is_empty());
    assert!(world.store.observations(1).await.unwrap().is_empty());
    assert!(world.store.chain(1).await.unwrap().is_empty());
    assert!(world.store.artifacts(vec![]).await.unwrap().is_empty());
    assert!(world.store.running(None).await.unwrap().is_empty());
    assert!(world.store.depths().await.unwrap().is_empty());
}
