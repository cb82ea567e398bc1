use attendant::{
    clock::new_job_id,
    store::{
        CredentialRow, Enqueued, ErasureRow, JobFilter, NewArtifact, NewAttempt, NewJob,
        NewObservation, Resealed, SealedAt, SealedColumn, SealedValue, SecretChangeRow, Settlement,
        StoreError, StoredError,
    },
    types::{JobId, JobState},
};

use crate::store::support::{World, at, ended, hash, key};

/// The end of an attempt with everything that can be sealed, each beginning with `o`.
fn with_all(job: &attendant::store::ClaimedJob, state: JobState) -> Settlement {
    Settlement {
        result: Some(b"old result".to_vec()),
        error: Some(StoredError {
            code: "http_400".to_owned(),
            message: Some(b"old error".to_vec()),
            at: at(2),
        }),
        history: Some(NewAttempt {
            started_at: at(0),
            outcome: "completed",
            code: Some("http_400".to_owned()),
            message: Some(b"old attempt".to_vec()),
        }),
        observation: Some(NewObservation { n: 1, polls: 1, status: b"old status".to_vec() }),
        artifact: Some(NewArtifact {
            name: "report.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            size: 3,
            sha256: "abc".to_owned(),
            sealed: b"old file".to_vec(),
        }),
        ..ended(job, state, at(2))
    }
}

/// A chain of two jobs with all that can be kept of them: the first's id and the second's.
async fn chain(world: &World) -> (JobId, JobId) {
    let first = NewJob {
        key: Some(key(1, 1)),
        uniq: Some(hash(3)),
        tags: vec!["ann".to_owned()],
        args: b"old args".to_vec(),
        ..world.job()
    };
    let first = world.add(first).await;
    let job = world.claim_one(at(0)).await;
    let child = NewJob { tags: vec!["bob".to_owned()], ..world.child_of(&job) };
    let end = Settlement { children: vec![child], ..with_all(&job, JobState::Completed) };
    assert!(world.settle(end).await);
    let job = world.claim_one(at(2)).await;
    assert!(world.settle(with_all(&job, JobState::Dead)).await);
    (first, job.id)
}

async fn tagged(world: &World, tag: &str) -> usize {
    let filter = JobFilter { tag: Some(tag.to_owned()), limit: 9, ..JobFilter::default() };
    world.store.jobs(filter).await.unwrap().len()
}

pub async fn an_erased_chain_keeps_its_skeleton_alone(world: World) {
    let (first, second) = chain(&world).await;
    let before = [world.row(first).await, world.row(second).await];
    assert_eq!((tagged(&world, "ann").await, tagged(&world, "bob").await), (1, 1));
    let erased = world.store.erase(before[0].seq, at(9), true).await.unwrap();
    assert_eq!((erased.jobs, erased.artifacts), (2, 2));
    for was in &before {
        let row = world.row(was.id).await;
        assert_eq!((row.salt, &row.args[..], row.has_result), (None, &[][..], false));
        assert_eq!((row.status, row.tags), (None, vec![]));
        let error = row.error.unwrap();
        assert_eq!((error.code.as_str(), error.message), ("http_400", None));
        let kept = (row.state, row.created_at, row.finished_at, row.attempt, row.polls, row.parent);
        let was_kept =
            (was.state, was.created_at, was.finished_at, was.attempt, was.polls, was.parent);
        assert_eq!(kept, was_kept);
        let attempts = world.store.attempts(was.seq).await.unwrap();
        assert_eq!((attempts.len(), &attempts[0].message), (1, &None));
        assert!(world.store.observations(was.seq).await.unwrap().is_empty());
        assert!(world.store.artifacts(vec![was.seq]).await.unwrap().is_empty());
        assert_eq!(world.store.result(was.id).await.unwrap().unwrap().result, None);
    }
    assert_eq!((tagged(&world, "ann").await, tagged(&world, "bob").await), (0, 0));
}

pub async fn the_key_of_an_erased_chain_is_not_forgotten(world: World) {
    let (first, _) = chain(&world).await;
    world.store.erase(world.row(first).await.seq, at(9), true).await.unwrap();
    for (request, same_request) in [(1, true), (2, false)] {
        let again = NewJob { key: Some(key(1, request)), ..world.job() };
        assert_eq!(world.enqueue(&again).await, Enqueued::SameKey { id: first, same_request });
    }
}

pub async fn erasing_again_is_no_trouble_and_leaves_others_alone(world: World) {
    let (first, _) = chain(&world).await;
    let other = world.add(NewJob { tags: vec!["ann".to_owned()], ..world.job() }).await;
    let seq = world.row(first).await.seq;
    let erasure = |cut| [ErasureRow { job: first, at: at(9), cut }];
    for (cut, known) in [(false, false), (true, true), (false, true)] {
        world.store.erase(seq, at(9), cut).await.unwrap();
        assert_eq!(world.store.erasures().await.unwrap(), erasure(known));
    }
    let row = world.row(other).await;
    assert_eq!((row.salt, row.tags.len(), row.state), (Some(hash(0xa5)), 1, JobState::Queued));
    assert_eq!(tagged(&world, "ann").await, 1);
}

pub async fn what_is_live_when_it_is_erased_ends(world: World) {
    for state in [JobState::Running, JobState::Queued] {
        let id = world.job_in(state, NewJob { uniq: Some(hash(7)), ..world.job() }).await;
        world.store.erase(world.row(id).await.seq, at(9), true).await.unwrap();
        let row = world.row(id).await;
        assert_eq!((row.state, row.finished_at), (JobState::Cancelled, Some(at(9))));
        assert!(world.store.live_job(world.queue, hash(7)).await.unwrap().is_none());
    }
    assert!(world.store.running(None).await.unwrap().is_empty());
    assert!(world.claim(at(10), 10).await.jobs.is_empty());
}

pub async fn a_rekey_cuts_all_erased_chains(world: World) {
    let (first, _) = chain(&world).await;
    world.store.erase(world.row(first).await.seq, at(9), false).await.unwrap();
    world.store.all_cut().await.unwrap();
    assert!(world.store.erasures().await.unwrap()[0].cut);
    assert!(world.store.truncate_log().await.unwrap());
}

fn credential(world: &World, name: &str) -> CredentialRow {
    CredentialRow {
        queue: world.queue,
        name: name.to_owned(),
        generation: 1,
        salt: hash(8),
        value: Some(b"old value".to_vec()),
        sent_at: None,
        expires_at: None,
        renew_at: None,
        promised_until: None,
        errors: 1,
        error: Some(StoredError {
            code: "refused".to_owned(),
            message: Some(b"old words".to_vec()),
            at: at(6),
        }),
        secrets: None,
    }
}

async fn change_secrets(world: &World) {
    for pending in [true, false] {
        let row = SecretChangeRow {
            queue: world.queue,
            name: if pending { "b" } else { "a" }.to_owned(),
            pending,
            configured: hash(1),
            salt: hash(8),
            value: b"old secret".to_vec(),
            job: new_job_id(at(0)),
            at: at(1),
        };
        world.store.save_secret_change(row).await.unwrap();
    }
}

async fn all(world: &World, column: SealedColumn) -> Vec<SealedValue> {
    let mut values: Vec<SealedValue> = vec![];
    loop {
        let after = values.last().map(|value| value.at.clone());
        let page = world.store.sealed(column, b"old", after, 1).await.unwrap();
        if page.is_empty() {
            return values;
        }
        assert_eq!(page.len(), 1);
        values.extend(page);
    }
}

pub async fn what_is_sealed_is_gone_through_in_pages(world: World) {
    let (first, second) = chain(&world).await;
    world.add(NewJob { args: b"new args".to_vec(), ..world.job() }).await;
    for name in ["b", "a"] {
        world.store.save_credential(credential(&world, name)).await.unwrap();
    }
    change_secrets(&world).await;
    let seqs = [world.row(first).await.seq, world.row(second).await.seq];
    for column in SealedColumn::ALL {
        let values = all(&world, column).await;
        let of_credentials = matches!(
            column,
            SealedColumn::CredentialValue
                | SealedColumn::CredentialError
                | SealedColumn::SecretChange
        );
        let jobs: Vec<Option<JobId>> = values.iter().map(|value| value.job).collect();
        let salts: Vec<_> = values.iter().map(|value| value.salt.unwrap()).collect();
        if of_credentials {
            assert_eq!((jobs, salts), (vec![None; 2], vec![hash(8); 2]));
            let names: Vec<&str> = values.iter().map(|value| value.at.name.as_str()).collect();
            assert_eq!(names, ["a", "b"]);
        } else if column == SealedColumn::Args {
            // The second's begin otherwise.
            assert_eq!((jobs, salts), (vec![Some(first)], vec![hash(0xa5)]));
        } else {
            assert_eq!(jobs, [Some(first), Some(second)], "{column:?}");
            assert_eq!(salts, [hash(0xa5); 2]);
            assert_eq!([values[0].at.row, values[1].at.row], seqs);
        }
        assert!(values.iter().all(|value| value.sealed.starts_with(b"old ")), "{column:?}");
    }
}

pub async fn only_what_was_read_is_replaced(world: World) {
    chain(&world).await;
    world.store.save_credential(credential(&world, "a")).await.unwrap();
    change_secrets(&world).await;
    for column in SealedColumn::ALL {
        let values = all(&world, column).await;
        let anew = |value: &SealedValue, was: &[u8], to: &[u8]| Resealed {
            at: value.at.clone(),
            was: was.to_vec(),
            sealed: to.to_vec(),
        };
        let stale = values.iter().map(|value| anew(value, b"old other", b"never")).collect();
        assert_eq!(world.store.reseal(column, stale).await.unwrap(), 0, "{column:?}");
        assert_eq!(all(&world, column).await, values);
        let nowhere = SealedAt { row: 999, n: 9, name: "x".to_owned() };
        let mut fresh: Vec<Resealed> =
            values.iter().map(|value| anew(value, &value.sealed, b"new")).collect();
        fresh.push(Resealed { at: nowhere, was: b"old".to_vec(), sealed: b"new".to_vec() });
        let count = world.store.reseal(column, fresh).await.unwrap();
        assert_eq!(count, values.len() as u64, "{column:?}");
        assert!(all(&world, column).await.is_empty());
        let new = world.store.sealed(column, b"new", None, 9).await.unwrap();
        assert_eq!(new.len(), values.len());
    }
    assert_eq!(world.store.reseal(SealedColumn::Args, vec![]).await.unwrap(), 0);
}

pub async fn what_is_refused_is_stored_no_more(world: World) {
    let job = world.running().await;
    world.store.refuse(b"old").await.unwrap();
    let stale = |outcome: Result<(), StoreError>| {
        assert!(matches!(outcome, Err(StoreError::Stale)), "{outcome:?}");
    };
    stale(world.store.settle(vec![with_all(&job, JobState::Completed)]).await.map(drop));
    let late = NewJob { args: b"old args".to_vec(), ..world.job() };
    stale(world.store.enqueue(vec![late]).await.map(drop));
    stale(world.store.replace_args(job.seq, 0, b"old args".to_vec()).await.map(drop));
    stale(world.store.save_credential(credential(&world, "a")).await);
    assert_eq!(world.row(job.id).await.state, JobState::Running);
    // Whatever comes with them is stored all the same.
    let late = NewJob { args: b"old args".to_vec(), ..world.job() };
    let (late, fresh) =
        tokio::join!(world.store.enqueue(vec![late]), world.store.enqueue(vec![world.job()]));
    stale(late.map(drop));
    assert_eq!(fresh.unwrap(), [Enqueued::New]);
    assert!(world.settle(ended(&job, JobState::Completed, at(3))).await);
}

pub async fn what_came_before_a_refusal_is_sealed_anew_after_it(world: World) {
    chain(&world).await;
    world.store.save_credential(credential(&world, "a")).await.unwrap();
    change_secrets(&world).await;
    world.store.refuse(b"old").await.unwrap();
    for column in SealedColumn::ALL {
        let values = all(&world, column).await;
        assert!(!values.is_empty(), "{column:?}");
        let count = values.len() as u64;
        let anew = |value: SealedValue| Resealed {
            at: value.at,
            was: value.sealed,
            sealed: b"new".to_vec(),
        };
        let anew = values.into_iter().map(anew).collect();
        assert_eq!(world.store.reseal(column, anew).await.unwrap(), count, "{column:?}");
        assert!(all(&world, column).await.is_empty(), "{column:?}");
    }
}
