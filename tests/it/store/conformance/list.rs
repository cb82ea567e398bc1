use attendant::{
    clock::new_job_id,
    store::{JobFilter, NewJob, Settlement, StoredError, Within},
    types::{JobId, JobState},
};

use crate::store::support::{World, at, ended};

fn all() -> JobFilter {
    JobFilter { limit: 100, ..JobFilter::default() }
}

async fn ids(world: &World, filter: JobFilter) -> Vec<JobId> {
    world.store.jobs(filter).await.unwrap().into_iter().map(|row| row.id).collect()
}

/// A job created at a time of its own, so that the order is known.
fn made_at(world: &World, ms: u64) -> NewJob {
    NewJob { id: new_job_id(at(ms)), created_at: at(ms), ..world.job() }
}

async fn die_with(world: &World, code: &str) -> JobId {
    let job = world.claim_one(at(0)).await;
    let error = StoredError { code: code.to_owned(), message: None, at: at(1) };
    let end = Settlement { error: Some(error), ..ended(&job, JobState::Dead, at(1)) };
    assert!(world.settle(end).await);
    job.id
}

pub async fn newest_first(world: World) {
    let mut made = vec![];
    for ms in [30, 10, 20] {
        made.push((ms, world.add(made_at(&world, ms)).await));
    }
    made.sort_by_key(|(ms, _)| std::cmp::Reverse(*ms));
    let expected: Vec<JobId> = made.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids(&world, all()).await, expected);
    assert_eq!(ids(&world, JobFilter { limit: 2, ..all() }).await, expected[..2]);
}

pub async fn by_state(world: World) {
    let mut made = vec![];
    for state in [JobState::Completed, JobState::Dead, JobState::Cancelled, JobState::Running] {
        made.push((state, world.job_in(state, world.job()).await));
    }
    made.push((JobState::Queued, world.add(world.job()).await));
    for (state, id) in made {
        assert_eq!(ids(&world, JobFilter { state: Some(state), ..all() }).await, [id], "{state}");
    }
}

pub async fn by_kind_and_account(world: World) {
    let kind = world.store.kind_id("certn.users").await.unwrap();
    let queue = world.store.queue_id("certn_test").await.unwrap();
    let usual = world.add(made_at(&world, 1)).await;
    let of_kind = world.add(NewJob { kind, ..made_at(&world, 2) }).await;
    let of_queue = world.add(NewJob { queue, ..made_at(&world, 3) }).await;
    let kind = |name: &str| JobFilter { kind: Some(name.to_owned()), ..all() };
    let account = |name: &str| JobFilter { account: Some(name.to_owned()), ..all() };
    assert_eq!(ids(&world, kind("certn.users")).await, [of_kind]);
    assert_eq!(ids(&world, kind("certn.applicant")).await, [of_queue, usual]);
    assert_eq!(ids(&world, account("certn_test")).await, [of_queue]);
    assert_eq!(ids(&world, account("certn")).await, [of_kind, usual]);
    assert!(ids(&world, kind("no.such")).await.is_empty());
    assert!(ids(&world, account("no_such")).await.is_empty());
}

pub async fn within_limits(world: World) {
    let kind = world.store.kind_id("certn.users").await.unwrap();
    let queue = world.store.queue_id("certn_test").await.unwrap();
    let root = world.running().await;
    let child = NewJob { kind, ..world.child_of(&root) };
    let child_id = child.id;
    let end = Settlement { children: vec![child], ..ended(&root, JobState::Completed, at(1)) };
    assert!(world.settle(end).await);
    let other = world.add(NewJob { queue, kind, ..world.job() }).await;
    let names = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
    let found = async |within: Vec<Within>| {
        let mut found = ids(&world, JobFilter { within: Some(within), ..all() }).await;
        found.sort();
        found
    };
    let sorted = |mut ids: Vec<JobId>| {
        ids.sort();
        ids
    };
    let limit = |accounts, kinds| Within { accounts, kinds };
    // Nothing is within no limit.
    assert!(found(vec![]).await.is_empty());
    assert_eq!(found(vec![limit(None, None)]).await.len(), 3);
    assert_eq!(found(vec![limit(names(&["certn_test"]), None)]).await, [other]);
    assert!(found(vec![limit(names(&[]), None)]).await.is_empty());
    // What came of a kind is within it.
    let family = sorted(vec![root.id, child_id]);
    assert_eq!(found(vec![limit(None, names(&["certn.applicant"]))]).await, family);
    let users = limit(None, names(&["certn.users"]));
    assert_eq!(found(vec![users]).await, sorted(vec![child_id, other]));
    let both = limit(names(&["certn"]), names(&["certn.users"]));
    assert_eq!(found(vec![both.clone()]).await, [child_id]);
    let either = vec![both, limit(names(&["certn_test"]), None)];
    assert_eq!(found(either).await, sorted(vec![child_id, other]));
    let row = world.row(child_id).await;
    assert_eq!((row.root_kind.as_str(), row.root_account.as_str()), ("certn.applicant", "certn"));
    let row = world.row(other).await;
    assert_eq!((row.root_kind.as_str(), row.root_account.as_str()), ("certn.users", "certn_test"));
}

pub async fn by_tag(world: World) {
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    let one = world.add(NewJob { tags: tags(&["a"]), ..made_at(&world, 1) }).await;
    let two = world.add(NewJob { tags: tags(&["a", "b", "b"]), ..made_at(&world, 2) }).await;
    world.add(made_at(&world, 3)).await;
    let tag = |tag: &str| JobFilter { tag: Some(tag.to_owned()), ..all() };
    assert_eq!(ids(&world, tag("a")).await, [two, one]);
    assert_eq!(ids(&world, tag("b")).await, [two]);
    assert!(ids(&world, tag("%")).await.is_empty());
}

pub async fn by_error_code(world: World) {
    world.add(world.job()).await;
    let timeout = die_with(&world, "timeout").await;
    world.add(world.job()).await;
    die_with(&world, "http_400").await;
    let filter = JobFilter { code: Some("timeout".to_owned()), ..all() };
    assert_eq!(ids(&world, filter).await, [timeout]);
}

pub async fn by_creation(world: World) {
    world.add(made_at(&world, 1)).await;
    let second = world.add(made_at(&world, 2)).await;
    let third = world.add(made_at(&world, 3)).await;
    assert_eq!(ids(&world, JobFilter { since: Some(at(2)), ..all() }).await, [third, second]);
    assert!(ids(&world, JobFilter { since: Some(at(4)), ..all() }).await.is_empty());
}

pub async fn filters_combine(world: World) {
    let kind = world.store.kind_id("certn.users").await.unwrap();
    let job = |ms| NewJob { tags: vec!["t".to_owned()], ..made_at(&world, ms) };
    let mut dead = vec![];
    for ms in 1..=3 {
        world.add(job(ms)).await;
        dead.push(die_with(&world, "timeout").await);
    }
    // Each of these fails one condition.
    world.add(NewJob { tags: vec![], ..job(2) }).await;
    die_with(&world, "timeout").await;
    world.add(job(2)).await;
    die_with(&world, "other").await;
    world.add(NewJob { kind, ..job(2) }).await;
    die_with(&world, "timeout").await;
    world.add(job(2)).await;
    let filter = JobFilter {
        state: Some(JobState::Dead),
        kind: Some("certn.applicant".to_owned()),
        account: Some("certn".to_owned()),
        tag: Some("t".to_owned()),
        code: Some("timeout".to_owned()),
        since: Some(at(2)),
        before: Some(dead[2]),
        within: Some(vec![Within {
            accounts: Some(vec!["certn".to_owned()]),
            kinds: Some(vec!["certn.applicant".to_owned()]),
        }]),
        limit: 100,
    };
    assert_eq!(ids(&world, filter).await, [dead[1]]);
}

pub async fn pages_are_stable_while_jobs_arrive(world: World) {
    let jobs: Vec<_> = (1..=10).map(|ms| made_at(&world, ms)).collect();
    let mut expected: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    expected.reverse();
    world.store.enqueue(jobs).await.unwrap();
    let (mut seen, mut before) = (vec![], None);
    while seen.len() <= expected.len() {
        let state = Some(JobState::Queued);
        let page = ids(&world, JobFilter { state, before, limit: 3, ..JobFilter::default() }).await;
        let Some(last) = page.last() else { break };
        before = Some(*last);
        seen.extend(page);
        world.add(made_at(&world, 1_000)).await;
    }
    assert_eq!(seen, expected);
}
