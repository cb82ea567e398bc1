//! Schedules, and what is pruned.

use std::io::Read as _;

use attendant::{
    store::{Cutoffs, Enqueued, Fire, NewArtifact, NewAttempt, NewObservation, Settlement},
    types::JobState,
};

use crate::store::support::{World, at, ended, hash, key};

fn fire(world: &World, was: u64, occurrence: u64, next: u64) -> Fire {
    Fire {
        schedule: "nightly".to_owned(),
        was: at(was),
        at: at(occurrence),
        now: at(occurrence),
        next_at: Some(at(next)),
        job: world.job(),
    }
}

pub async fn an_occurrence_is_run_once_and_moves_its_schedule(world: World) {
    let store = &world.store;
    store.save_schedule("nightly", "0 3 * * * UTC", Some(at(10))).await.unwrap();
    let tags = vec!["schedule:nightly".to_owned()];
    let mut first = fire(&world, 10, 10, 20);
    first.job.tags = tags.clone();
    let id = first.job.id;
    assert!(store.fire(first.clone()).await.unwrap());
    // Again, by somebody who has not seen it, and by one who has.
    first.job = world.job();
    assert!(!store.fire(first.clone()).await.unwrap());
    first.was = at(20);
    assert!(!store.fire(first).await.unwrap(), "the occurrence is its own key");
    let rows = store.schedules().await.unwrap();
    assert_eq!((rows[0].name.as_str(), rows[0].next_at), ("nightly", Some(at(20))));
    assert_eq!(rows[0].last.unwrap().job, id);
    assert_eq!(store.counts().await.unwrap(), [(JobState::Queued, 1)]);
    assert_eq!(world.row(id).await.tags, tags);
    assert_eq!(world.claim_one(at(10)).await.id, id, "it is ready");
}

pub async fn only_who_sees_a_schedule_as_it_is_moves_it(world: World) {
    let store = &world.store;
    store.save_schedule("nightly", "0 3 * * * UTC", Some(at(10))).await.unwrap();
    assert!(!store.fire(fire(&world, 9, 9, 20)).await.unwrap());
    assert!(!store.move_schedule("nightly", at(9), Some(at(20))).await.unwrap());
    assert!(store.counts().await.unwrap().is_empty());
    assert!(store.move_schedule("nightly", at(10), Some(at(20))).await.unwrap());
    let unknown = Fire { schedule: "other".to_owned(), ..fire(&world, 10, 10, 20) };
    assert!(!store.fire(unknown).await.unwrap());
    store.fire(fire(&world, 20, 20, 30)).await.unwrap();
    store.forget_schedule("nightly").await.unwrap();
    assert_eq!(store.schedules().await.unwrap(), []);
}

pub async fn an_occurrence_whose_twin_lives_is_that_one(world: World) {
    let store = &world.store;
    store.save_schedule("nightly", "0 3 * * * UTC", Some(at(10))).await.unwrap();
    let mut twin = world.job();
    twin.uniq = Some(hash(7));
    let live = world.add(twin).await;
    let mut second = fire(&world, 10, 10, 20);
    second.job.uniq = Some(hash(7));
    assert!(store.fire(second).await.unwrap());
    let row = &store.schedules().await.unwrap()[0];
    assert_eq!((row.last.unwrap().job, row.next_at), (live, Some(at(20))));
    assert_eq!(store.counts().await.unwrap(), [(JobState::Queued, 1)]);
}

const CUTOFFS: u64 = 1_000;

async fn prune(world: &World, state: JobState) -> u64 {
    let cutoffs = Cutoffs { completed: at(CUTOFFS), dead: at(CUTOFFS) };
    let chains = world.store.ended_chains(state, at(CUTOFFS), None, 100).await.unwrap();
    let roots = chains.iter().map(|chain| chain.root).collect();
    world.store.prune(roots, cutoffs).await.unwrap()
}

pub async fn a_pruned_chain_leaves_its_tombstone_alone(world: World) {
    let store = &world.store;
    let mut job = world.job();
    (job.key, job.tags) = (Some(key(1, 2)), vec!["t".to_owned()]);
    let id = world.add(job).await;
    let claimed = world.claim_one(at(0)).await;
    let child = world.child_of(&claimed);
    let child_id = child.id;
    let end = Settlement {
        children: vec![child],
        result: Some(vec![1]),
        history: Some(NewAttempt {
            started_at: at(0),
            outcome: "completed",
            code: None,
            message: None,
        }),
        observation: Some(NewObservation { n: 1, polls: 1, status: vec![1] }),
        artifact: Some(NewArtifact {
            name: "report.pdf".into(),
            content_type: "application/pdf".into(),
            size: 1,
            sha256: "00".into(),
            sealed: vec![9; 5_000],
        }),
        ..ended(&claimed, JobState::Completed, at(10))
    };
    assert!(world.settle(end).await);
    assert_eq!(prune(&world, JobState::Completed).await, 0, "its child is queued");
    let claimed_child = world.claim_one(at(20)).await;
    assert!(world.settle(ended(&claimed_child, JobState::Dead, at(30))).await);
    let chain = store.ended_chains(JobState::Completed, at(CUTOFFS), None, 9).await.unwrap()[0];
    assert_eq!((chain.files, chain.last, chain.dead), (5_000, at(30), true));
    let after = Some((chain.finished_at, chain.root));
    let rest = store.ended_chains(JobState::Completed, at(CUTOFFS), after, 9).await.unwrap();
    assert_eq!(rest, []);
    // The dead child keeps it as long as dead ones are kept.
    let young = Cutoffs { completed: at(CUTOFFS), dead: at(30) };
    assert_eq!(store.prune(vec![chain.root], young).await.unwrap(), 0);
    assert_eq!(prune(&world, JobState::Completed).await, 2);
    assert_eq!(prune(&world, JobState::Completed).await, 0);
    for gone in [id, child_id] {
        assert!(store.job(gone).await.unwrap().is_none());
        assert!(store.artifact(gone, "report.pdf").await.unwrap().is_none());
    }
    assert!(store.attempts(claimed.seq).await.unwrap().is_empty());
    assert!(store.observations(claimed.seq).await.unwrap().is_empty());
    assert_eq!(store.tombstone(id).await.unwrap(), Some(JobState::Completed));
    assert_eq!(store.tombstone(child_id).await.unwrap(), None);
    let mut again = world.job();
    again.key = Some(key(1, 2));
    assert_eq!(world.enqueue(&again).await, Enqueued::SameKey { id, same_request: true });
}

pub async fn nothing_live_or_young_is_pruned(world: World) {
    let young = world.job_in(JobState::Completed, world.job()).await;
    let queued = world.add(world.job()).await;
    let roots = vec![world.row(queued).await.root, world.row(young).await.root];
    let early = Cutoffs { completed: at(0), dead: at(0) };
    assert_eq!(world.store.prune(roots, early).await.unwrap(), 0);
    assert!(world.store.job(young).await.unwrap().is_some());
}

pub async fn a_copy_has_what_is_committed(world: World) {
    world.add(world.job()).await;
    let (mut copy, schema) = world.store.copy().await.unwrap();
    assert!(schema >= 10);
    let mut bytes = vec![];
    copy.read_to_end(&mut bytes).unwrap();
    assert!(bytes.starts_with(b"SQLite format 3\0"));
    assert!(bytes.windows(16).any(|part| part == b"sealed arguments"));
}
