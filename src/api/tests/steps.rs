//! Steps of the wall clock: what follows them, on a real database.

use super::*;
use crate::{
    credentials::cell::{Cell, Obtained, Origin, rotation::Retired},
    engine::steps::Steps,
    store::{CredentialRow, JobFilter, QueueId, StoreError, StoreResult},
};

const ACCOUNTS: &str = r#"
[accounts.one]
provider = "certn"
base_url = "http://127.0.0.1:9"
secrets = { client_id = { env = "ID" }, client_secret = { env = "SECRET" } }
[accounts.two]
provider = "certn"
base_url = "http://127.0.0.1:9"
secrets = { client_id = { env = "ID" }, client_secret = { env = "SECRET" } }
"#;

const HOUR: i64 = 3_600_000;

struct World {
    engine: Arc<Engine>,
    clock: ManualClock,
    steps: Steps,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(NOW);
        let engine = engine_with(&folder, clock.clone(), ACCOUNTS).await;
        let steps = Steps::since(engine.clock.now());
        Self { engine, clock, steps, _folder: folder }
    }

    async fn follow_clock(&mut self) -> StoreResult<()> {
        self.engine.follow_clock(&mut self.steps, self.engine.clock.now()).await
    }

    fn cell(&self, account: &str) -> Arc<Cell> {
        self.engine.cell(account, "access_token").unwrap()
    }

    /// A value of these ten hours, to be renewed after six, and its job waiting for that.
    async fn put(&self, cell: &Cell, relative: bool, expires: bool) {
        let obtained = Obtained {
            value: "s3cret".into(),
            refresh_token: None,
            origin: Origin { relative, ..Origin::default() },
            sent_at: NOW,
            expires_at: expires.then_some(Timestamp(NOW.0 + 10 * HOUR)),
            renew_at: Some(Timestamp(NOW.0 + 6 * HOUR)),
        };
        cell.put(&*self.engine.store, &self.engine.vault, obtained).await.unwrap();
        let seq = self.job(cell.queue).await.seq;
        let at = Timestamp(NOW.0 + 6 * HOUR);
        assert!(self.engine.store.reschedule(seq, at, false).await.unwrap());
    }

    async fn row(&self, queue: QueueId) -> CredentialRow {
        let rows = self.engine.store.credentials().await.unwrap();
        rows.into_iter().find(|row| row.queue == queue).unwrap()
    }

    async fn job(&self, queue: QueueId) -> crate::store::JobRow {
        let filter = JobFilter { limit: 9, ..JobFilter::default() };
        let jobs = self.engine.store.jobs(filter).await.unwrap();
        jobs.into_iter().find(|job| job.queue == queue).unwrap()
    }

    /// When its job runs, in hours from the beginning.
    async fn runs_at(&self, cell: &Cell) -> i64 {
        (self.job(cell.queue).await.run_at.0 - NOW.0) / HOUR
    }
}

#[tokio::test]
async fn what_was_told_as_a_duration_moves_and_what_was_told_as_a_time_stays() {
    for by in [2 * HOUR, -3 * HOUR, 0] {
        // Relative, absolute, unknown.
        for (relative, expires) in [(true, true), (false, true), (false, false)] {
            let world = World::new().await;
            let cell = world.cell("one");
            world.put(&cell, relative, expires).await;
            let planned = cell.step(&*world.engine.store, by, 0.5).await.unwrap();
            let row = world.row(cell.queue).await;
            let at = |ms: i64| Some(Timestamp(NOW.0 + ms));
            assert_eq!(row.sent_at, at(by));
            assert_eq!((row.renew_at, cell.renew_at()), (planned, planned));
            if relative {
                assert_eq!((row.expires_at, planned), (at(10 * HOUR + by), at(6 * HOUR + by)));
            } else if expires {
                assert_eq!(row.expires_at, at(10 * HOUR));
                // Around two thirds of the life that is left by the new time.
                let life = 10 * HOUR - by;
                assert_eq!(planned, at(by + life * 66 / 100));
            } else {
                assert_eq!((row.expires_at, planned), (None, at(6 * HOUR + by)));
            }
            assert_eq!(cell.life().map(|life| life.expires_at), row.expires_at);
        }
    }
}

#[tokio::test]
async fn nothing_in_hand_has_nothing_to_move() {
    let world = World::new().await;
    let cell = world.cell("one");
    assert_eq!(cell.step(&*world.engine.store, HOUR, 0.5).await.unwrap(), None);
    assert!(world.engine.store.credentials().await.unwrap().is_empty());
}

#[tokio::test]
async fn renewals_follow_a_step_and_what_the_store_did_not_take_is_not_lost() {
    let mut world = World::new().await;
    let (one, two) = (world.cell("one"), world.cell("two"));
    for cell in [&one, &two] {
        world.put(cell, true, true).await;
    }
    world.clock.step_wall(2 * HOUR);
    // The store takes the row of the first no more.
    let sealed = world.row(one.queue).await.value.unwrap();
    world.engine.store.refuse(&sealed).await.unwrap();
    for _ in 0..2 {
        let followed = world.follow_clock().await;
        assert!(matches!(followed, Err(StoreError::Stale)), "{followed:?}");
        assert_eq!((world.runs_at(&one).await, world.runs_at(&two).await), (6, 8));
    }
    // One more step meanwhile: both are owed.
    world.clock.step_wall(-5 * HOUR);
    assert_eq!(one.reseal(&*world.engine.store, &world.engine.vault, &sealed).await.unwrap(), 1);
    for _ in 0..2 {
        world.follow_clock().await.unwrap();
        for cell in [&one, &two] {
            assert_eq!(world.runs_at(cell).await, 3);
            let expires_at = world.row(cell.queue).await.expires_at;
            assert_eq!(expires_at, Some(Timestamp(NOW.0 + 7 * HOUR)));
        }
    }
}

#[tokio::test]
async fn a_value_that_came_after_the_step_is_not_moved() {
    let mut world = World::new().await;
    let cell = world.cell("one");
    world.put(&cell, true, true).await;
    world.clock.step_wall(2 * HOUR);
    let sealed = world.row(cell.queue).await.value.unwrap();
    world.engine.store.refuse(&sealed).await.unwrap();
    world.follow_clock().await.unwrap_err();
    world.put(&cell, true, true).await;
    world.follow_clock().await.unwrap();
    assert_eq!(world.runs_at(&cell).await, 6);
}

#[tokio::test]
async fn a_revocation_before_the_renewal_keeps_its_time() {
    let mut world = World::new().await;
    let cell = world.cell("one");
    world.put(&cell, true, true).await;
    let retired = Retired {
        value: "0ld".into(),
        generation: 0,
        expires_at: None,
        revoke_at: Some(Timestamp(NOW.0 + 4 * HOUR)),
        tries: 0,
        retry_at: None,
        withdrawn: false,
    };
    let (store, vault) = (&*world.engine.store, &world.engine.vault);
    cell.rotate(store, vault, NOW, |rotation| rotation.retired.push(retired)).await.unwrap();
    world.clock.step_wall(2 * HOUR);
    world.follow_clock().await.unwrap();
    assert_eq!(world.runs_at(&cell).await, 4);
    assert_eq!(cell.renew_at(), Some(Timestamp(NOW.0 + 8 * HOUR)));
}
