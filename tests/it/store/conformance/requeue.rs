use attendant::{
    clock::new_job_id,
    store::{NewJob, Settlement, StoredError},
    types::{Generation, JobState},
};

use crate::store::support::{World, at, ended, hash};

pub async fn from_each_state_that_is_named(world: World) {
    for state in JobState::ALL {
        let id = world.job_in(state, world.job()).await;
        let others: Vec<JobState> =
            JobState::ALL.into_iter().filter(|other| *other != state).collect();
        assert!(!world.store.requeue(id, &others, at(5), None).await.unwrap(), "{state}");
        assert_eq!(world.row(id).await.state, state);
        assert!(!world.store.requeue(id, &[], at(5), None).await.unwrap());
        assert!(world.store.requeue(id, &[state], at(5), None).await.unwrap(), "{state}");
        let row = world.row(id).await;
        assert_eq!((row.state, row.ready, row.run_at), (JobState::Queued, true, at(5)));
        assert_eq!(world.claim_one(at(5)).await.id, id);
    }
}

pub async fn starts_afresh_and_keeps_history(world: World) {
    let job = world.running().await;
    let error = StoredError { code: "http_500".to_owned(), message: None, at: at(1) };
    let dead = Settlement {
        errors: 5,
        error: Some(error.clone()),
        deadline: Some(at(10)),
        ..ended(&job, JobState::Dead, at(1))
    };
    assert!(world.settle(dead).await);
    let again = world.store.requeue(job.id, &[JobState::Dead], at(20), Some(at(99))).await;
    assert!(again.unwrap());
    let row = world.row(job.id).await;
    assert_eq!((row.errors, row.attempt, row.generation), (0, 1, Generation(1)));
    assert_eq!((row.deadline, row.finished_at, row.error), (Some(at(99)), None, Some(error)));
    assert_eq!(world.store.attempts(job.seq).await.unwrap().len(), 1);
    assert_eq!(world.claim_one(at(20)).await.generation, Generation(2));
}

pub async fn refused_while_a_twin_lives(world: World) {
    let dead = world.job_in(JobState::Dead, NewJob { uniq: Some(hash(1)), ..world.job() }).await;
    let twin = world.add(NewJob { uniq: Some(hash(1)), ..world.later(500) }).await;
    assert!(!world.store.requeue(dead, &[JobState::Dead], at(1), None).await.unwrap());
    assert_eq!(world.row(dead).await.state, JobState::Dead);
    world.store.cancel(twin, at(2)).await.unwrap();
    assert!(world.store.requeue(dead, &[JobState::Dead], at(3), None).await.unwrap());
    assert!(!world.store.requeue(twin, &[JobState::Cancelled], at(3), None).await.unwrap());
}

pub async fn fences_off_a_running_attempt(world: World) {
    let job = world.running().await;
    world.store.record_intent(job.seq, job.generation).await.unwrap();
    world.store.cancel(job.id, at(1)).await.unwrap();
    assert!(world.store.requeue(job.id, &[JobState::Running], at(2), None).await.unwrap());
    let row = world.row(job.id).await;
    assert!(!row.intent && !row.cancel);
    assert!(!world.settle(ended(&job, JobState::Completed, at(3))).await);
    assert_eq!(world.claim_one(at(3)).await.generation, Generation(2));
    assert!(!world.settle(ended(&job, JobState::Completed, at(4))).await);
}

pub async fn of_nothing(world: World) {
    let unknown = new_job_id(at(0));
    assert!(!world.store.requeue(unknown, &JobState::ALL, at(0), None).await.unwrap());
}
