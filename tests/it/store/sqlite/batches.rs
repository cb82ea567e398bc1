//! Several statements in one text, and what a failing one does to the others.

use attendant::store::{Enqueued, JobFilter, NewJob, StoreError, sqlite::Synchronous};
use futures::{StreamExt as _, future::join_all};
use sqlx::{Arguments as _, Connection as _, Either, Executor as _, Row as _, SqliteConnection};
use tempfile::TempDir;

use super::open_in;
use crate::store::support::{World, at, key};

/// The group commit sends many statements as one text, and counts on this of sqlx.
#[tokio::test]
async fn statements_of_one_text_take_arguments_in_order_and_mark_their_ends() {
    let mut connection = SqliteConnection::connect(":memory:").await.unwrap();
    let sql = "-- made first
               CREATE TABLE t (x INTEGER);
               INSERT INTO t SELECT value FROM json_each(?) RETURNING x;
               UPDATE t SET x = x + ? WHERE x > ?;
               SELECT x, ? FROM t ORDER BY x;
               SELECT 1 WHERE false;
               SELECT ?;";
    let mut args = sqlx::sqlite::SqliteArguments::default();
    args.add("[1,2,3]").unwrap();
    args.add(10).unwrap();
    args.add(1).unwrap();
    args.add(7).unwrap();
    args.add(8).unwrap();
    let mut stream = connection.fetch_many(sqlx::query_with(sql, args));
    let mut statements: Vec<Vec<i64>> = vec![vec![]];
    while let Some(step) = stream.next().await {
        match step.unwrap() {
            Either::Left(_) => statements.push(vec![]),
            Either::Right(row) => {
                let numbers = (0..row.len()).map(|column| row.get::<i64, _>(column));
                statements.last_mut().unwrap().extend(numbers);
            }
        }
    }
    let expected: [&[i64]; 7] = [&[], &[1, 2, 3], &[], &[1, 7, 12, 7, 13, 7], &[], &[8], &[]];
    assert_eq!(statements, expected);
}

/// A store whose jobs of one priority SQLite itself refuses.
async fn refusing() -> (World, TempDir) {
    let dir = TempDir::new().unwrap();
    let store = open_in(dir.path(), Synchronous::Normal).await;
    let path = dir.path().join("attendant.db");
    let mut other = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON jobs WHEN NEW.priority = 3
                   BEGIN SELECT RAISE(ABORT, 'refused by a test'); END";
    sqlx::raw_sql(trigger).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    (World::over((std::sync::Arc::new(store), Box::new(()))).await, dir)
}

async fn count(world: &World) -> usize {
    world.store.jobs(JobFilter { limit: 99, ..JobFilter::default() }).await.unwrap().len()
}

fn is_refusal<T: std::fmt::Debug>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Unexpected(words)) if words.contains("refused by a test"))
}

#[tokio::test]
async fn a_failing_statement_undoes_its_batch_and_no_other() {
    let (world, _dir) = refusing().await;
    let keyed = NewJob { key: Some(key(1, 1)), tags: vec!["t".to_owned()], ..world.job() };
    let bad = NewJob { priority: 3, ..world.job() };
    let outcome = world.store.enqueue(vec![keyed.clone(), bad]).await;
    assert!(is_refusal(&outcome), "{outcome:?}");
    assert_eq!(count(&world).await, 0);
    // Neither the transaction nor the key of the undone job is in the way.
    assert_eq!(world.enqueue(&keyed).await, Enqueued::New);
    assert_eq!(count(&world).await, 1);
}

/// On one thread all of these are waiting before the writer looks: one batch.
#[tokio::test(flavor = "current_thread")]
async fn a_bad_request_fails_alone() {
    let (world, _dir) = refusing().await;
    world.add(world.job()).await;
    let jobs = [world.job(), NewJob { priority: 3, ..world.job() }, world.job()];
    let all = join_all(jobs.map(|job| world.store.enqueue(vec![job])));
    let claim = world.store.claim(world.round(at(0), 10));
    let custom = world.store.set_meta("name", vec![1]);
    let (enqueued, claimed, custom) = futures::join!(all, claim, custom);
    let refused: Vec<bool> = enqueued.iter().map(is_refusal).collect();
    assert_eq!(refused, [false, true, false], "{enqueued:?}");
    assert_eq!(claimed.unwrap().jobs.len(), 3);
    custom.unwrap();
    assert_eq!(world.store.meta("name").await.unwrap(), Some(vec![1]));
    assert_eq!(count(&world).await, 3);
}

/// Equal keys must not stand in one transaction: who asks second is held back, and meets the first.
#[tokio::test(flavor = "current_thread")]
async fn callers_with_one_key_are_answered_in_order() {
    let dir = TempDir::new().unwrap();
    let store = open_in(dir.path(), Synchronous::Normal).await;
    let world = World::over((std::sync::Arc::new(store), Box::new(()))).await;
    let jobs: Vec<_> =
        (0..40).map(|n| NewJob { key: Some(key(n % 4, n)), ..world.job() }).collect();
    let outcomes = join_all(jobs.iter().map(|job| world.enqueue(job))).await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let expected = match n {
            0..4 => Enqueued::New,
            // Who came first has the key; each request here is another.
            _ => Enqueued::SameKey { id: jobs[n % 4].id, same_request: false },
        };
        assert_eq!(outcome, expected, "caller {n}");
    }
}
