//! Whose file it is, what is refused, and that a refusal changes nothing.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use attendant::{
    store::{
        NewArtifact, NewJob, Settlement, Store, StoreError,
        sqlite::{DatabaseLock, OpenError, Synchronous, open, peek_meta},
    },
    types::JobState,
};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::open_in;
use crate::store::support::{World, at, ended, hash, key};

async fn try_open(path: &Path) -> Result<(), OpenError> {
    open(DatabaseLock::take(path)?, Synchronous::Full).await.map(drop)
}

#[tokio::test]
async fn commits_are_on_the_disk_unless_told_otherwise() {
    assert_eq!(Synchronous::default(), Synchronous::Full);
    for (synchronous, expected) in [(Synchronous::Full, "FULL"), (Synchronous::Normal, "NORMAL")] {
        let dir = TempDir::new().unwrap();
        let info = open_in(dir.path(), synchronous).await.describe().await.unwrap();
        assert_eq!((info.journal_mode.as_str(), info.synchronous.as_str()), ("wal", expected));
        assert_eq!(info.engine, "SQLite");
        assert!(info.version.starts_with("3."), "{}", info.version);
    }
}

#[tokio::test]
async fn files_are_for_their_user_alone() {
    let dir = TempDir::new().unwrap();
    let store = open_in(dir.path(), Synchronous::Full).await;
    store.set_meta("name", vec![1]).await.unwrap();
    let mut files = vec![];
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let name = entry.file_name().into_string().unwrap();
        assert_eq!(mode, 0o600, "{name} has mode {mode:o}");
        files.push(name);
    }
    files.sort();
    let expected = ["attendant.db", "attendant.db-shm", "attendant.db-wal", "attendant.db.lock"];
    assert_eq!(files, expected);
}

#[tokio::test]
async fn a_second_daemon_is_refused_before_it_touches_anything() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("attendant.db");
    let first = DatabaseLock::take(&path).unwrap();
    let refused = DatabaseLock::take(&path).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
    let words = refused.to_string();
    assert!(words.contains("attendant.db") && words.contains("one daemon per database"), "{words}");
    assert!(!path.exists(), "the lock alone makes no database");
    // Held by the store as long as that lives.
    let store = open(first, Synchronous::Full).await.unwrap();
    assert!(DatabaseLock::take(&path).is_err());
    store.close().await;
    drop(store);
    DatabaseLock::take(&path).unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("attendant.db");
    let store = open_in(dir.path(), Synchronous::Full).await;
    store.set_meta("check", b"value".to_vec()).await.unwrap();
    store.close().await;
    drop(store);
    let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum,
               execution_time) VALUES (9999, 'of the future', 1, x'00', 1)";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let before = fs::read(&path).unwrap();
    let refused = try_open(&path).await.unwrap_err();
    let OpenError::Newer { found: 9999, known, .. } = refused else { panic!("{refused:?}") };
    assert!((1..9999).contains(&known));
    assert!(refused.to_string().contains("newer attendant"), "{refused}");
    assert_eq!(peek_meta(&path, "check").await.unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("attendant.db");
    let text = "Dear diary, today I was nearly a database.\n".repeat(200);
    fs::write(&path, &text).unwrap();
    let refused = try_open(&path).await.unwrap_err();
    assert!(matches!(refused, OpenError::NoDatabase { .. }), "{refused:?}");
    assert!(refused.to_string().contains("attendant.db"), "{refused}");
    peek_meta(&path, "check").await.unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    let missing = try_open(&dir.path().join("no/such/attendant.db")).await.unwrap_err();
    assert!(matches!(missing, OpenError::Path { .. }), "{missing:?}");
    let words = missing.to_string();
    assert!(words.contains("no/such") && words.contains("create the folder"), "{words}");
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let refused = try_open(&folder).await.unwrap_err();
    assert!(
        matches!(refused, OpenError::Store { error: StoreError::Unavailable(_), .. }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("folder"), "{refused}");
}

#[tokio::test]
async fn peeking_makes_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("attendant.db");
    assert_eq!(peek_meta(&path, "check").await.unwrap(), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    open_in(dir.path(), Synchronous::Full).await.close().await;
    assert_eq!(peek_meta(&path, "check").await.unwrap(), None);
}

#[tokio::test]
async fn closing_leaves_all_in_one_file() {
    let dir = TempDir::new().unwrap();
    let store = open_in(dir.path(), Synchronous::Full).await;
    store.set_meta("name", vec![0; 10_000]).await.unwrap();
    let log = dir.path().join("attendant.db-wal");
    assert!(fs::metadata(&log).unwrap().len() > 10_000);
    store.close().await;
    assert_eq!(fs::metadata(&log).map_or(0, |log| log.len()), 0);
}

#[tokio::test]
async fn what_was_erased_is_in_no_file() {
    let dir = TempDir::new().unwrap();
    let world = reopened(&dir).await;
    let tag = "canary-tag-7718";
    let job = NewJob { tags: vec![tag.to_owned()], args: vec![b'#'; 9_000], ..world.job() };
    world.add(job).await;
    let job = world.claim_one(at(0)).await;
    assert!(world.settle(ended(&job, JobState::Dead, at(1))).await);
    let shows = |name: &str, what: &[u8]| {
        let bytes = fs::read(dir.path().join(name)).unwrap();
        bytes.windows(what.len()).any(|window| window == what)
    };
    assert!(shows("attendant.db-wal", tag.as_bytes()) && shows("attendant.db-wal", b"######"));
    world.store.erase(job.seq, at(2), true).await.unwrap();
    assert!(world.store.truncate_log().await.unwrap());
    for name in ["attendant.db", "attendant.db-wal"] {
        assert!(!shows(name, tag.as_bytes()) && !shows(name, b"######"), "{name}");
    }
}

async fn reopened(dir: &TempDir) -> World {
    let store: Arc<dyn Store> = Arc::new(open_in(dir.path(), Synchronous::Full).await);
    World::over((store, Box::new(()))).await
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let dir = TempDir::new().unwrap();
    let world = reopened(&dir).await;
    let numbers = (world.queue, world.kind, world.actor);
    let keyed = NewJob { key: Some(key(1, 1)), tags: vec!["t".to_owned()], ..world.job() };
    world.add(keyed.clone()).await;
    let job = world.claim_one(at(0)).await;
    let file = NewArtifact {
        name: "a".to_owned(),
        content_type: "text/plain".to_owned(),
        size: 1,
        sha256: "s".to_owned(),
        sealed: vec![9; 70_000],
    };
    let end = Settlement {
        artifact: Some(file),
        result: Some(b"r".to_vec()),
        children: vec![NewJob { uniq: Some(hash(1)), ..world.child_of(&job) }],
        ..ended(&job, JobState::Completed, at(1))
    };
    assert!(world.settle(end).await);
    let child = world.claim_one(at(2)).await;
    let before = format!("{:?}", (world.row(job.id).await, world.row(child.id).await));
    world.store.close().await;
    drop(world);

    let world = reopened(&dir).await;
    assert_eq!((world.queue, world.kind, world.actor), numbers);
    let after = format!("{:?}", (world.row(job.id).await, world.row(child.id).await));
    assert_eq!(after, before);
    assert_eq!(world.store.artifact(job.id, "a").await.unwrap().unwrap().sealed, vec![9; 70_000]);
    assert_eq!(world.store.attempts(job.seq).await.unwrap().len(), 1);
    // What ran when the last daemon stopped is for this one to reclaim.
    let left = world.store.running(None).await.unwrap();
    assert_eq!((left[0].id, left[0].generation), (child.id, child.generation));
}
