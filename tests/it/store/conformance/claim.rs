use std::time::Duration;

use attendant::{
    store::{Allowance, BucketRow, Claim, ClaimedJob, NewJob},
    types::{Generation, JobId, JobState},
};

use crate::store::support::{World, at, hash, snoozed};

fn ids(jobs: &[ClaimedJob]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

fn sorted(mut ids: Vec<JobId>) -> Vec<JobId> {
    ids.sort();
    ids
}

/// Claims one job after the other, so that the order shows: a batch comes unordered.
async fn one_by_one(world: &World) -> Vec<JobId> {
    let mut order = vec![];
    while order.len() < 100 {
        let claimed = world.claim(at(100), 1).await.jobs;
        if claimed.is_empty() {
            break;
        }
        order.extend(ids(&claimed));
    }
    order
}

pub async fn urgent_jobs_first_then_the_oldest(world: World) {
    let mut expected = vec![];
    for (priority, ms) in [(2, 1), (0, 30), (1, 20), (2, 0), (0, 10), (3, 0)] {
        let job = NewJob { priority, run_at: at(ms), ..world.job() };
        expected.push((priority, ms, world.add(job).await));
    }
    expected.sort();
    let expected: Vec<JobId> = expected.into_iter().map(|(_, _, id)| id).collect();
    assert_eq!(one_by_one(&world).await, expected);
}

pub async fn jobs_of_one_instant_keep_their_order(world: World) {
    let jobs: Vec<_> = (0..20).map(|_| world.job()).collect();
    let expected: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    world.store.enqueue(jobs).await.unwrap();
    assert_eq!(one_by_one(&world).await, expected);
}

pub async fn hands_over_what_an_attempt_needs(world: World) {
    let new = NewJob {
        priority: 2,
        max_errors: 3,
        run_at: at(4),
        created_at: at(2),
        deadline: Some(at(9_000)),
        ..world.job()
    };
    let id = world.add(new.clone()).await;
    let job = world.claim_one(at(5)).await;
    assert_eq!((job.id, job.queue, job.kind), (id, world.queue, world.kind));
    assert_eq!((job.priority, job.max_errors, job.deadline), (2, 3, Some(at(9_000))));
    assert_eq!((job.run_at, job.created_at, job.created_by), (at(4), at(2), world.actor));
    assert_eq!((job.generation, job.attempt, job.errors, job.polls), (Generation(1), 0, 0, 0));
    assert_eq!((job.parent, job.root, job.salt), (None, job.seq, new.salt));
    assert_eq!((job.args, job.args_rev, job.observation), (new.args, 0, None));
    let row = world.row(id).await;
    assert_eq!((row.state, row.generation), (JobState::Running, Generation(1)));
    assert_eq!(row.started_at, Some(at(5)));
}

pub async fn each_queue_within_its_allowance(world: World) {
    let mut allowances = vec![];
    for (account, count) in [("a", 3), ("b", 1), ("c", 0), ("d", 50)] {
        let queue = world.store.queue_id(account).await.unwrap();
        allowances.push(Allowance { queue, count, max_priority: 3 });
        let jobs = (0..5).map(|_| NewJob { queue, ..world.job() }).collect();
        world.store.enqueue(jobs).await.unwrap();
    }
    let queues: Vec<_> = allowances.iter().map(|one| one.queue).collect();
    world.add(world.job()).await; // a queue without an allowance
    let claim = Claim { allowances, ..world.round(at(0), 0) };
    let jobs = world.store.claim(claim).await.unwrap().jobs;
    let of = |queue| jobs.iter().filter(|job| job.queue == queue).count();
    assert_eq!(queues.into_iter().map(of).collect::<Vec<_>>(), [3, 1, 0, 5]);
    assert_eq!(jobs.len(), 9);
}

pub async fn only_jobs_urgent_enough(world: World) {
    let mut urgent = vec![];
    for priority in 0..4 {
        let id = world.add(NewJob { priority, ..world.job() }).await;
        if priority <= 1 {
            urgent.push(id);
        }
    }
    let allowances = vec![Allowance { queue: world.queue, count: 10, max_priority: 1 }];
    let claim = Claim { allowances, ..world.round(at(0), 0) };
    let claimed = world.store.claim(claim).await.unwrap();
    assert_eq!(sorted(ids(&claimed.jobs)), sorted(urgent));
    assert_eq!(world.claim(at(0), 10).await.jobs.len(), 2);
}

pub async fn promotes_at_the_very_millisecond(world: World) {
    let id = world.add(world.later(1_000)).await;
    let early = world.claim(at(999), 10).await;
    assert!(early.jobs.is_empty() && early.promoted.is_empty());
    assert_eq!(early.next_due, Some(at(1_000)));
    assert!(!world.row(id).await.ready);
    let due = world.claim(at(1_000), 10).await;
    assert_eq!((ids(&due.jobs), due.promoted, due.next_due), (vec![id], vec![world.queue], None));
}

pub async fn promotes_no_more_than_asked(world: World) {
    let other = world.store.queue_id("other").await.unwrap();
    for (ms, queue) in [(30, world.queue), (10, other), (20, other)] {
        world.add(NewJob { queue, ..world.later(ms) }).await;
    }
    let claim = |promote| Claim { promote, ..world.round(at(50), 10) };
    let none = world.store.claim(claim(0)).await.unwrap();
    assert_eq!((none.promoted, none.next_due), (vec![], Some(at(10))));
    let two = world.store.claim(claim(2)).await.unwrap();
    // The two that have waited longest, both of the other queue, which is named once.
    assert_eq!((two.promoted, two.next_due), (vec![other], Some(at(30))));
    assert!(two.jobs.is_empty());
    let last = world.store.claim(claim(2)).await.unwrap();
    assert_eq!((last.promoted, last.next_due, last.jobs.len()), (vec![world.queue], None, 1));
}

pub async fn says_when_the_next_comes_due(world: World) {
    assert_eq!(world.claim(at(0), 1).await.next_due, None);
    world.add(world.job()).await;
    world.add(world.later(700)).await;
    let sooner = world.add(world.later(300)).await;
    assert_eq!(world.claim(at(0), 0).await.next_due, Some(at(300)), "ready jobs do not count");
    world.store.cancel(sooner, at(1)).await.unwrap();
    assert_eq!(world.claim(at(0), 0).await.next_due, Some(at(700)));
}

pub async fn generations_grow_by_one(world: World) {
    let id = world.add(world.job()).await;
    for n in 1..=4 {
        let job = world.claim_one(at(n)).await;
        assert_eq!(job.generation.0, i64::try_from(n).unwrap());
        assert!(world.settle(snoozed(&job, at(n), at(n))).await);
    }
    assert_eq!(world.row(id).await.generation, Generation(4));
}

pub async fn without_allowances_it_only_promotes(world: World) {
    let id = world.add(world.later(5)).await;
    let claim = Claim { allowances: vec![], ..world.round(at(5), 0) };
    let claimed = world.store.claim(claim).await.unwrap();
    assert!(claimed.jobs.is_empty());
    assert_eq!(claimed.promoted, [world.queue]);
    let row = world.row(id).await;
    assert_eq!((row.state, row.ready, row.run_at), (JobState::Queued, true, at(5)));
}

pub async fn saves_the_permits_it_was_given(world: World) {
    let bucket = |spent| BucketRow {
        budget: "certn".to_owned(),
        window_ms: 60_000,
        boot: "boot".to_owned(),
        start_ms: 1_000,
        wall_ms: at(0).0,
        spent,
        version: spent,
    };
    for spent in [3, 8] {
        let claim = Claim { buckets: vec![bucket(spent)], ..world.round(at(0), 5) };
        world.store.claim(claim).await.unwrap();
        assert_eq!(world.store.buckets().await.unwrap(), [bucket(spent)]);
    }
    // A lease is as long as the claim says.
    world.add(NewJob { uniq: Some(hash(1)), ..world.job() }).await;
    world.claim_one(at(0)).await;
    let end = at(0).plus(Duration::from_mins(1));
    assert!(world.store.running(Some(end)).await.unwrap().is_empty());
    let after = end.plus(Duration::from_millis(1));
    assert_eq!(world.store.running(Some(after)).await.unwrap().len(), 1);
}
