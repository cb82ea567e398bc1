use std::collections::HashSet;

use attendant::{
    store::{ClaimedJob, Enqueued, JobFilter, NewJob, Settlement, StoreError},
    types::JobState,
};
use futures::future::join_all;

use crate::store::support::{World, at, ended, hash, key, snoozed};

/// Runs the same thing in so many tasks at once.
async fn at_once<T: Send + 'static, F>(count: u8, make: impl Fn(u8) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(make(n))).collect();
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

pub async fn names_have_one_number(world: World) {
    let asked = at_once(16, |_| {
        let store = world.store.clone();
        async move {
            [
                store.queue_id("new").await.unwrap(),
                store.kind_id("new").await.unwrap(),
                store.actor_id("new").await.unwrap(),
            ]
        }
    });
    let numbers: HashSet<_> = asked.await.into_iter().collect();
    assert_eq!(numbers.len(), 1);
    let [queue, kind, actor] = numbers.into_iter().next().unwrap();
    assert_ne!((queue, kind, actor), (world.queue, world.kind, world.actor));
    assert_eq!(world.store.queue_id("certn").await.unwrap(), world.queue);
    assert_eq!(world.store.kind_id("certn.applicant").await.unwrap(), world.kind);
    assert_eq!(world.store.queues().await.unwrap().len(), 2);
}

async fn sixty_four(world: &World, job: impl Fn(u8) -> NewJob) -> Vec<Enqueued> {
    let asked = at_once(64, |n| {
        let (store, job) = (world.store.clone(), job(n));
        async move { store.enqueue(vec![job]).await.unwrap().remove(0) }
    });
    let outcomes = asked.await;
    let jobs = world.store.jobs(JobFilter { limit: 99, ..JobFilter::default() }).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(outcomes.iter().filter(|one| **one == Enqueued::New).count(), 1);
    outcomes.into_iter().filter(|one| *one != Enqueued::New).collect()
}

async fn only_job(world: &World) -> attendant::types::JobId {
    world.store.jobs(JobFilter { limit: 1, ..JobFilter::default() }).await.unwrap()[0].id
}

pub async fn one_key_makes_one_job(world: World) {
    let met = sixty_four(&world, |_| NewJob { key: Some(key(1, 1)), ..world.job() }).await;
    let id = only_job(&world).await;
    assert!(met.into_iter().all(|one| one == Enqueued::SameKey { id, same_request: true }));
}

pub async fn one_natural_key_makes_one_job(world: World) {
    let job = |n| NewJob { key: Some(key(n, 1)), uniq: Some(hash(200)), ..world.job() };
    let met = sixty_four(&world, job).await;
    let id = only_job(&world).await;
    assert!(met.into_iter().all(|one| one == Enqueued::Live { id }));
    // Each of the keys is the one job's now.
    for n in 0..64 {
        let outcome = world.enqueue(&job(n)).await;
        assert_eq!(outcome, Enqueued::SameKey { id, same_request: true });
    }
}

pub async fn a_key_shared_at_once_is_the_live_jobs(world: World) {
    let live = world.add(NewJob { uniq: Some(hash(200)), ..world.job() }).await;
    // By twos: one meets the live job, the other the key that it left there.
    let jobs: Vec<_> = (0..64_u8)
        .map(|n| NewJob {
            key: Some(key(n / 2, 1)),
            uniq: (n % 2 == 0).then_some(hash(200)),
            ..world.job()
        })
        .collect();
    let outcomes = join_all(jobs.iter().map(|job| world.enqueue(job))).await;
    for pair in outcomes.chunks(2) {
        assert_eq!(pair[0], Enqueued::Live { id: live });
        assert_eq!(pair[1], Enqueued::SameKey { id: live, same_request: true });
    }
}

pub async fn no_job_is_given_twice(world: World) {
    world.store.enqueue((0..1_000).map(|_| world.job()).collect()).await.unwrap();
    let claims = at_once(2, |_| {
        let (store, round) = (world.store.clone(), world.round(at(0), 7));
        async move {
            let mut mine = vec![];
            loop {
                let jobs = store.claim(round.clone()).await.unwrap().jobs;
                if jobs.is_empty() {
                    return mine;
                }
                assert!(jobs.len() <= 7);
                mine.extend(jobs);
            }
        }
    });
    let jobs: Vec<ClaimedJob> = claims.await.into_iter().flatten().collect();
    assert_eq!(jobs.len(), 1_000);
    assert_eq!(jobs.iter().map(|job| job.id).collect::<HashSet<_>>().len(), 1_000);
    assert!(jobs.iter().all(|job| job.generation.0 == 1));
}

pub async fn one_of_many_replacements_wins(world: World) {
    let id = world.add(world.job()).await;
    let seq = world.row(id).await.seq;
    let asked = at_once(16, |n| {
        let store = world.store.clone();
        async move { store.replace_args(seq, 0, vec![n]).await.unwrap() }
    });
    let won = asked.await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = u8::try_from(won.iter().position(|won| *won).unwrap()).unwrap();
    assert_eq!(world.row(id).await.args, [winner]);
}

pub async fn settlements_of_one_claim_have_one_winner(world: World) {
    let job = world.running().await;
    let asked = at_once(32, |n| {
        let store = world.store.clone();
        let mut end = if n % 2 == 0 {
            ended(&job, JobState::Completed, at(1))
        } else {
            snoozed(&job, at(1), at(500))
        };
        end = Settlement { result: Some(vec![n]), children: vec![world.child_of(&job)], ..end };
        async move { store.settle(vec![end]).await.unwrap()[0] }
    });
    let won = asked.await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = u8::try_from(won.iter().position(|won| *won).unwrap()).unwrap();
    let result = world.store.result(job.id).await.unwrap().unwrap();
    assert_eq!(result.result, Some(vec![winner]));
    assert_eq!(world.store.chain(job.root).await.unwrap().len(), 2, "one winner, one child");
}

pub async fn a_closed_store_says_so(world: World) {
    world.store.close().await;
    let written = world.store.enqueue(vec![world.job()]).await;
    assert!(matches!(written, Err(StoreError::Closed)), "{written:?}");
    let read = world.store.counts().await;
    assert!(matches!(read, Err(StoreError::Closed)), "{read:?}");
    world.store.close().await;
}
