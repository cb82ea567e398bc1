use attendant::{
    clock::new_job_id,
    store::{Enqueued, JobFilter, NewJob},
    types::{Generation, JobState},
};

use crate::store::support::{World, at, hash, key};

async fn count(world: &World) -> usize {
    world.store.jobs(JobFilter { limit: 10_000, ..JobFilter::default() }).await.unwrap().len()
}

pub async fn stores_every_field(world: World) {
    let job = NewJob {
        id: new_job_id(at(7)),
        priority: 2,
        run_at: at(5_001),
        ready: false,
        max_errors: 9,
        deadline: Some(at(86_400_000)),
        created_at: at(7),
        args: vec![0, 255, b'"', b'\\', 0],
        uniq: Some(hash(1)),
        key: Some(key(2, 3)),
        tags: vec!["päyroll".to_owned(), "a \"b\" \\ ;?".to_owned()],
        ..world.job()
    };
    let row = world.row(world.add(job.clone()).await).await;
    assert_eq!((row.id, row.queue, row.account.as_str()), (job.id, world.queue, "certn"));
    assert_eq!(row.kind, "certn.applicant");
    assert_eq!(row.created_by, r#"{"uid":1000,"user":"ann"}"#);
    assert_eq!((row.state, row.ready), (JobState::Queued, false));
    assert_eq!((row.priority, row.max_errors), (2, 9));
    assert_eq!((row.run_at, row.created_at, row.deadline), (at(5_001), at(7), job.deadline));
    assert_eq!((row.generation, row.attempt, row.errors, row.polls), (Generation(0), 0, 0, 0));
    assert_eq!((row.parent, row.root, row.salt), (None, row.seq, job.salt));
    assert_eq!((row.args, row.args_rev, row.tags), (job.args, 0, job.tags));
    assert_eq!((row.started_at, row.finished_at), (None, None));
    assert!(!row.intent && !row.cancel && !row.has_result);
    assert_eq!((row.error, row.status), (None, None));
}

pub async fn same_key_and_request_gives_the_earlier_job(world: World) {
    let first = NewJob { key: Some(key(1, 1)), ..world.job() };
    let again = NewJob { key: Some(key(1, 1)), ..world.job() };
    let id = world.add(first).await;
    assert_eq!(world.enqueue(&again).await, Enqueued::SameKey { id, same_request: true });
    assert_eq!(count(&world).await, 1);
}

pub async fn same_key_with_another_request_is_told_apart(world: World) {
    let id = world.add(NewJob { key: Some(key(1, 1)), ..world.job() }).await;
    let other = NewJob { key: Some(key(1, 2)), ..world.job() };
    assert_eq!(world.enqueue(&other).await, Enqueued::SameKey { id, same_request: false });
    assert_eq!(count(&world).await, 1);
    // The refused request took nothing over.
    let first = NewJob { key: Some(key(1, 1)), ..world.job() };
    assert_eq!(world.enqueue(&first).await, Enqueued::SameKey { id, same_request: true });
}

pub async fn keys_belong_to_their_queue(world: World) {
    let other = world.store.queue_id("scantrust").await.unwrap();
    let job = NewJob { key: Some(key(1, 1)), uniq: Some(hash(2)), ..world.job() };
    world.add(job.clone()).await;
    world.add(NewJob { id: new_job_id(at(0)), queue: other, ..job }).await;
    assert_eq!(count(&world).await, 2);
}

pub async fn a_key_outlives_the_end_of_its_job(world: World) {
    for (n, state) in (1..).zip([JobState::Completed, JobState::Dead, JobState::Cancelled]) {
        let job = NewJob { key: Some(key(n, 1)), ..world.job() };
        let id = world.job_in(state, job.clone()).await;
        let again = NewJob { id: new_job_id(at(0)), ..job };
        let outcome = world.enqueue(&again).await;
        assert_eq!(outcome, Enqueued::SameKey { id, same_request: true }, "{state}");
    }
}

pub async fn a_live_natural_key_gives_the_live_job(world: World) {
    let id = world.add(NewJob { uniq: Some(hash(1)), ..world.job() }).await;
    let again = NewJob { uniq: Some(hash(1)), ..world.job() };
    assert_eq!(world.enqueue(&again).await, Enqueued::Live { id });
    world.claim_one(at(0)).await;
    assert_eq!(world.enqueue(&again).await, Enqueued::Live { id }, "while it runs");
    assert_eq!(count(&world).await, 1);
}

pub async fn a_natural_key_is_free_once_its_job_has_ended(world: World) {
    for state in [JobState::Completed, JobState::Dead, JobState::Cancelled] {
        world.job_in(state, NewJob { uniq: Some(hash(1)), ..world.job() }).await;
    }
    world.add(NewJob { uniq: Some(hash(1)), ..world.job() }).await;
}

pub async fn a_key_that_meets_a_live_job_belongs_to_it(world: World) {
    let live = world.add(NewJob { uniq: Some(hash(1)), ..world.job() }).await;
    let keyed = NewJob { uniq: Some(hash(1)), key: Some(key(2, 2)), ..world.job() };
    // The caller must know that it met a live job, for it may ask more of it.
    assert_eq!(world.enqueue(&keyed).await, Enqueued::Live { id: live });
    assert!(world.store.job(keyed.id).await.unwrap().is_none());
    let again = NewJob { id: new_job_id(at(0)), ..keyed.clone() };
    let same = Enqueued::SameKey { id: live, same_request: true };
    assert_eq!(world.enqueue(&again).await, same);
    world.store.cancel(live, at(1)).await.unwrap();
    assert_eq!(world.enqueue(&again).await, same, "for ever");
}

pub async fn a_key_is_looked_at_before_the_natural_key(world: World) {
    let by_key = world.add(NewJob { key: Some(key(1, 1)), ..world.job() }).await;
    world.add(NewJob { uniq: Some(hash(2)), ..world.job() }).await;
    let both = NewJob { key: Some(key(1, 1)), uniq: Some(hash(2)), ..world.job() };
    let outcome = world.enqueue(&both).await;
    assert_eq!(outcome, Enqueued::SameKey { id: by_key, same_request: true });
}

pub async fn one_batch_with_the_same_key_twice(world: World) {
    let first = NewJob { key: Some(key(1, 1)), ..world.job() };
    let same = NewJob { key: Some(key(1, 1)), ..world.job() };
    let other = NewJob { key: Some(key(1, 2)), ..world.job() };
    let id = first.id;
    let outcomes = world.store.enqueue(vec![first, same, other]).await.unwrap();
    assert_eq!(
        outcomes,
        [
            Enqueued::New,
            Enqueued::SameKey { id, same_request: true },
            Enqueued::SameKey { id, same_request: false },
        ]
    );
}

pub async fn one_batch_with_the_same_natural_key_twice(world: World) {
    let jobs = [(); 3].map(|()| NewJob { uniq: Some(hash(1)), ..world.job() });
    let live = Enqueued::Live { id: jobs[0].id };
    let outcomes = world.store.enqueue(jobs.to_vec()).await.unwrap();
    assert_eq!(outcomes, [Enqueued::New, live, live]);
}

pub async fn one_batch_whose_key_meets_a_live_job(world: World) {
    let live = world.add(NewJob { uniq: Some(hash(1)), ..world.job() }).await;
    let first = NewJob { uniq: Some(hash(1)), key: Some(key(2, 2)), ..world.job() };
    let again = NewJob { key: Some(key(2, 2)), ..world.job() };
    let outcomes = world.store.enqueue(vec![first, again]).await.unwrap();
    let met = Enqueued::SameKey { id: live, same_request: true };
    assert_eq!(outcomes, [Enqueued::Live { id: live }, met]);
}

pub async fn outcomes_stand_in_the_order_of_the_batch(world: World) {
    let keyed = world.add(NewJob { key: Some(key(1, 1)), ..world.job() }).await;
    let live = world.add(NewJob { uniq: Some(hash(2)), ..world.job() }).await;
    let batch = vec![
        world.job(),
        NewJob { uniq: Some(hash(2)), ..world.job() },
        NewJob { key: Some(key(3, 1)), ..world.job() },
        NewJob { key: Some(key(1, 9)), ..world.job() },
        world.later(50),
        NewJob { key: Some(key(1, 1)), ..world.job() },
    ];
    let outcomes = world.store.enqueue(batch).await.unwrap();
    assert_eq!(
        outcomes,
        [
            Enqueued::New,
            Enqueued::Live { id: live },
            Enqueued::New,
            Enqueued::SameKey { id: keyed, same_request: false },
            Enqueued::New,
            Enqueued::SameKey { id: keyed, same_request: true },
        ]
    );
}

pub async fn a_refused_job_leaves_no_tags(world: World) {
    let tags = |tag: &str| vec![tag.to_owned()];
    world.add(NewJob { key: Some(key(1, 1)), tags: tags("kept"), ..world.job() }).await;
    world.enqueue(&NewJob { key: Some(key(1, 1)), tags: tags("refused"), ..world.job() }).await;
    for (tag, expected) in [("kept", 1), ("refused", 0)] {
        let filter = JobFilter { tag: Some(tag.to_owned()), limit: 9, ..JobFilter::default() };
        assert_eq!(world.store.jobs(filter).await.unwrap().len(), expected, "{tag}");
    }
}

pub async fn nothing_enqueued_is_nothing_stored(world: World) {
    assert_eq!(world.store.enqueue(vec![]).await.unwrap(), []);
    assert_eq!(count(&world).await, 0);
}

pub async fn a_batch_larger_than_a_transaction(world: World) {
    let mut jobs: Vec<_> = (0..4_500).map(|_| world.job()).collect();
    jobs[0].key = Some(key(1, 1));
    jobs[4_400].key = Some(key(1, 1));
    let met = Enqueued::SameKey { id: jobs[0].id, same_request: true };
    let outcomes = world.store.enqueue(jobs).await.unwrap();
    assert_eq!(outcomes.len(), 4_500);
    assert_eq!(outcomes[4_400], met);
    assert_eq!(outcomes.iter().filter(|one| **one == Enqueued::New).count(), 4_499);
    assert_eq!(count(&world).await, 4_499);
}
