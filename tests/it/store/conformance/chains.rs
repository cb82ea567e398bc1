use attendant::{
    store::{ClaimedJob, JobFilter, NewArtifact, NewJob, Settlement},
    types::JobState,
};

use crate::store::support::{World, at, ended, hash};

/// Completes a job with children, and claims these.
async fn complete_with(world: &World, job: &ClaimedJob, children: Vec<NewJob>) -> Vec<ClaimedJob> {
    let end = Settlement { children, ..ended(job, JobState::Completed, at(1)) };
    assert!(world.settle(end).await);
    world.claim(at(2), 10).await.jobs
}

pub async fn children_get_parent_root_and_salt(world: World) {
    let root = world.running().await;
    let child = complete_with(&world, &root, vec![world.child_of(&root)]).await.remove(0);
    assert_eq!((child.parent, child.root), (Some(root.seq), root.seq));
    assert_eq!((child.salt, child.args.as_slice()), (Some(hash(0xa5)), &b"child"[..]));
    let row = world.row(child.id).await;
    assert_eq!((row.parent, row.root, row.salt), (Some(root.id), root.seq, Some(hash(0xa5))));
}

pub async fn a_grandchild_keeps_the_root(world: World) {
    let root = world.running().await;
    let child = complete_with(&world, &root, vec![world.child_of(&root)]).await.remove(0);
    let grandchildren = vec![world.child_of(&child), world.child_of(&child)];
    let grandchildren = complete_with(&world, &child, grandchildren).await;
    assert_eq!(grandchildren.len(), 2);
    assert!(grandchildren.iter().all(|one| one.parent == Some(child.seq) && one.root == root.seq));
    let chain = world.store.chain(root.seq).await.unwrap();
    let states: Vec<_> = chain.iter().map(|one| one.state).collect();
    assert_eq!(
        states,
        [JobState::Completed, JobState::Completed, JobState::Running, JobState::Running]
    );
    let parents: Vec<_> = chain.iter().map(|one| one.parent).collect();
    assert_eq!(parents, [None, Some(root.seq), Some(child.seq), Some(child.seq)]);
    assert_eq!((chain[0].id, chain[1].id), (root.id, child.id));
}

pub async fn a_child_is_stored_whole(world: World) {
    let root = world.running().await;
    let kind = world.store.kind_id("certn.report").await.unwrap();
    let child = NewJob {
        kind,
        priority: 2,
        run_at: at(700),
        ready: false,
        max_errors: 4,
        deadline: Some(at(9_999)),
        created_at: at(1),
        uniq: Some(hash(9)),
        tags: vec!["nightly".to_owned()],
        ..world.child_of(&root)
    };
    assert!(complete_with(&world, &root, vec![child.clone()]).await.is_empty());
    let row = world.store.live_job(world.queue, hash(9)).await.unwrap().unwrap();
    assert_eq!(
        (row.id, row.kind.as_str(), row.state),
        (child.id, "certn.report", JobState::Queued)
    );
    assert_eq!((row.priority, row.ready, row.max_errors), (2, false, 4));
    assert_eq!((row.run_at, row.created_at, row.deadline), (at(700), at(1), Some(at(9_999))));
    assert_eq!(row.tags, child.tags);
    let filter = JobFilter { tag: Some("nightly".to_owned()), limit: 9, ..JobFilter::default() };
    assert_eq!(world.store.jobs(filter).await.unwrap().len(), 1);
}

pub async fn a_child_with_a_live_twin_loses_only_its_natural_key(world: World) {
    let root = world.running().await;
    let twin = world.add(NewJob { uniq: Some(hash(9)), ..world.later(5_000) }).await;
    let child = NewJob { uniq: Some(hash(9)), ..world.child_of(&root) };
    let stored = complete_with(&world, &root, vec![child.clone()]).await;
    assert_eq!(stored.len(), 1);
    assert_eq!((stored[0].id, stored[0].parent), (child.id, Some(root.seq)));
    let live = world.store.live_job(world.queue, hash(9)).await.unwrap().unwrap();
    assert_eq!(live.id, twin);
}

pub async fn siblings_with_one_natural_key_are_both_stored(world: World) {
    let root = world.running().await;
    let child = || NewJob { uniq: Some(hash(9)), ..world.child_of(&root) };
    let children = vec![child(), child()];
    let first = children[0].id;
    assert_eq!(complete_with(&world, &root, children).await.len(), 2);
    let live = world.store.live_job(world.queue, hash(9)).await.unwrap().unwrap();
    assert_eq!(live.id, first);
}

pub async fn children_of_a_lost_claim_keep_no_natural_key(world: World) {
    world.store.enqueue(vec![world.job(), world.job()]).await.unwrap();
    let jobs = world.claim(at(0), 10).await.jobs;
    let ends = jobs.iter().map(|job| {
        let child = NewJob { uniq: Some(hash(9)), ..world.child_of(job) };
        Settlement { children: vec![child], ..ended(job, JobState::Completed, at(1)) }
    });
    let mut ends: Vec<_> = ends.collect();
    ends[0].generation.0 += 1;
    let winner = ends[1].children[0].id;
    assert_eq!(world.store.settle(ends).await.unwrap(), [false, true]);
    let live = world.store.live_job(world.queue, hash(9)).await.unwrap().unwrap();
    assert_eq!(live.id, winner);
}

pub async fn results_and_artifacts_of_a_child_open_with_the_roots_salt(world: World) {
    let root = world.running().await;
    let child = complete_with(&world, &root, vec![world.child_of(&root)]).await.remove(0);
    let file = NewArtifact {
        name: "report.html".to_owned(),
        content_type: "text/html".to_owned(),
        size: 1,
        sha256: String::new(),
        sealed: b"x".to_vec(),
    };
    let end = Settlement {
        result: Some(b"r".to_vec()),
        artifact: Some(file),
        ..ended(&child, JobState::Completed, at(3))
    };
    assert!(world.settle(end).await);
    let result = world.store.result(child.id).await.unwrap().unwrap();
    assert_eq!((result.salt, result.result.as_deref()), (Some(hash(0xa5)), Some(&b"r"[..])));
    assert_eq!((result.kind.as_str(), result.account.as_str()), ("certn.applicant", "certn"));
    let file = world.store.artifact(child.id, "report.html").await.unwrap().unwrap();
    assert_eq!((file.salt, file.row.job), (Some(hash(0xa5)), child.id));
    let of_chain = world.store.artifacts(vec![root.seq, child.seq]).await.unwrap();
    assert_eq!(of_chain.len(), 1);
}
