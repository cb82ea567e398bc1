//! The wall clock goes wrong: nothing is lost, nothing expires, nothing is flooded.

use tokio::sync::mpsc;

use super::*;
use crate::{
    credentials::cell::rotation::{Retired, Rotation},
    engine::{dispatcher::Dispatcher, gates::Admit, reaper},
    policy::{
        budget::Class,
        codes::Code,
        rotation::{self, Step},
    },
    store::JobRow,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const YEAR: i64 = 365 * 24 * HOUR;

/// Minutes, hours and years, either way.
const STEPS: [i64; 6] = [10 * MINUTE, -10 * MINUTE, 5 * HOUR, -5 * HOUR, 10 * YEAR, -50 * YEAR];

impl Setup {
    async fn row(&self, id: JobId) -> JobRow {
        self.engine.store.job(id).await.unwrap().unwrap()
    }

    /// A follow that was polled once, and is to be polled again in ten minutes.
    async fn followed(&self, id: &str) -> JobId {
        let mut body = applicant(id);
        body["deadline"] = json!("1d");
        let id = self.job(&body).await;
        let mut job = self.claim("certn").await;
        if job.id != id {
            // The renewal goes first, and runs on.
            job = self.claim("certn").await;
        }
        assert_eq!(job.id, id);
        let run_at = self.now().plus(Duration::from_mins(10));
        let snoozed =
            Settlement { state: JobState::Queued, run_at, ..unchanged(&self.engine, &job) };
        self.settle(snoozed, job.root).await;
        id
    }

    fn step(&self, by: i64) -> Timestamp {
        self.clock.step_wall(by);
        self.now()
    }

    async fn follow(&self) {
        self.engine.mind_clock().await.unwrap();
    }
}

fn moved(at: Timestamp, by: i64) -> Timestamp {
    Timestamp(at.0 + by)
}

#[tokio::test]
async fn what_the_daemon_put_off_keeps_its_distance_and_what_was_asked_for_stays() {
    for by in STEPS {
        let setup = Setup::new().await;
        let polled = setup.followed("1").await;
        let mut asked = applicant("2");
        asked["run_at"] = json!("2030-01-01T00:00:00Z");
        let asked = setup.job(&asked).await;
        let running = setup.job(&json!({ "kind": "acme.login", "account": "acme" })).await;
        let claimed = setup.claim("acme").await;
        assert_eq!(claimed.id, running);
        let before = (setup.row(polled).await.run_at, setup.row(asked).await.run_at);
        let now = setup.step(by);
        setup.follow().await;
        setup.follow().await;
        assert_eq!(setup.row(polled).await.run_at, moved(before.0, by), "{by}");
        assert_eq!(setup.row(asked).await.run_at, before.1);
        // A lease neither ends nor lasts for years.
        assert!(setup.engine.store.running(Some(now)).await.unwrap().is_empty());
        let in_time = now.plus(Duration::from_mins(2));
        let over = setup.engine.store.running(Some(in_time)).await.unwrap();
        assert!(over.iter().any(|job| job.id == running));
    }
}

#[tokio::test]
async fn gates_open_when_they_would_have() {
    for by in STEPS {
        let setup = Setup::new().await;
        let queue = setup.engine.catalog().account("certn").unwrap().queue;
        let until = setup.now().plus(Duration::from_mins(30));
        assert!(setup.engine.gates.shut(queue, until, Code::Http(429)));
        setup.engine.gates.save(&*setup.engine.store, queue, "certn").await.unwrap();
        let now = setup.step(by);
        setup.follow().await;
        assert_eq!(setup.engine.gates.admit(queue, now), Admit::Wait(Some(moved(until, by))));
        let later = now.plus(Duration::from_mins(30));
        assert_eq!(setup.engine.gates.admit(queue, later), Admit::All);
        let stored = setup.engine.store.queues().await.unwrap();
        let gate = stored.into_iter().find(|row| row.id == queue).unwrap().gate.unwrap();
        assert_eq!(gate.until, Some(moved(until, by)));
    }
}

#[tokio::test]
async fn nothing_is_flooded_and_nothing_is_silent_for_years() {
    for by in STEPS {
        let setup = Setup::new().await;
        let mut ids = vec![];
        for n in 0..20 {
            ids.push(setup.followed(&n.to_string()).await);
        }
        let (jobs, mut claimed) = mpsc::channel(100);
        let mut dispatcher = Dispatcher::new(Arc::clone(&setup.engine), jobs).await.unwrap();
        dispatcher.round().await.unwrap();
        let polls = |claimed: &mut mpsc::Receiver<crate::engine::dispatcher::Handed>| {
            std::iter::from_fn(|| claimed.try_recv().ok())
                .filter(|one| ids.contains(&one.job.id))
                .count()
        };
        polls(&mut claimed);
        setup.step(by);
        let sleep = dispatcher.round().await.unwrap();
        assert_eq!(polls(&mut claimed), 0, "a step by {by} ms makes no poll due");
        assert!(sleep <= Duration::from_mins(10), "a step by {by} ms: asleep for {sleep:?}");
        setup.clock.advance(Duration::from_mins(10));
        dispatcher.round().await.unwrap();
        dispatcher.round().await.unwrap();
        assert!(polls(&mut claimed) > 0, "after ten minutes they are due, whatever the clock says");
    }
}

#[tokio::test]
async fn a_suspend_is_no_step() {
    let setup = Setup::new().await;
    let polled = setup.followed("1").await;
    let due = setup.row(polled).await.run_at;
    setup.clock.advance(Duration::from_hours(9));
    setup.follow().await;
    assert!(!setup.engine.clock_is_doubtful());
    assert_eq!(setup.row(polled).await.run_at, due);
    let (jobs, mut claimed) = mpsc::channel(100);
    let mut dispatcher = Dispatcher::new(Arc::clone(&setup.engine), jobs).await.unwrap();
    while dispatcher.round().await.unwrap().is_zero() {}
    let handed = std::iter::from_fn(|| claimed.try_recv().ok());
    assert!(handed.map(|one| one.job.id).any(|id| id == polled), "what came due meanwhile runs");
}

#[tokio::test]
async fn no_deadline_ends_a_job_until_the_time_is_confirmed() {
    for (by, doubtful) in [(HOUR / 2, false), (5 * HOUR, true), (10 * YEAR, true)] {
        let setup = Setup::new().await;
        let engine = &setup.engine;
        let deadline = Some(setup.now().plus(Duration::from_mins(20)));
        credentials::put(&setup, Duration::from_hours(20 * 366 * 24)).await;
        let now = setup.step(by);
        assert_eq!(engine.clock_is_doubtful(), doubtful);
        assert_eq!(engine.deadline_of(deadline), deadline.filter(|_| !doubtful));
        let warnings = setup.get("/readyz").await.expect(200)["warnings"].clone();
        if !doubtful {
            assert!(warnings.is_null(), "{warnings}");
            continue;
        }
        assert_eq!(warnings[0]["code"], "clock_doubtful");
        // A provider that says otherwise does not confirm it, and is quoted.
        engine.hear_date("certn", moved(now, -by));
        let detail = setup.get("/readyz").await.expect(200)["warnings"][0]["detail"].clone();
        assert!(detail.as_str().unwrap().contains("certn's provider says"), "{detail}");
        assert_eq!(engine.deadline_of(deadline), None);
        if by == 5 * HOUR {
            engine.hear_date("certn", moved(now, 2 * MINUTE));
        } else {
            let confirmed = setup.post("/v1/clock/confirm", &json!({})).await.expect(200);
            assert_eq!(confirmed["was_doubtful"], true);
        }
        assert_eq!(engine.deadline_of(deadline), deadline);
        assert_eq!(setup.get("/readyz").await.expect(200), json!({"status": "ready"}));
    }
}

#[tokio::test]
async fn a_clock_that_was_put_back_right_leaves_nothing_behind() {
    // Wrong from the start of something until NTP corrects it.
    for by in [10 * YEAR, -50 * YEAR] {
        let setup = Setup::new().await;
        let polled = setup.followed("1").await;
        let before = setup.row(polled).await;
        setup.step(by);
        setup.follow().await;
        let mut made = applicant("2");
        made["deadline"] = json!("60d");
        made["run_at"] = json!(moved(setup.now(), 2 * HOUR).to_string());
        let made = setup.job(&made).await;
        setup.clock.advance(Duration::from_secs(1));
        setup.step(-by);
        // Whoever looks first sees that it is right again, and takes nothing from who follows.
        assert!(!setup.engine.clock_is_doubtful());
        setup.follow().await;
        let after = setup.row(polled).await;
        assert_eq!((after.run_at, after.deadline), (before.run_at, before.deadline));
        let made = setup.row(made).await;
        let deadline = made.deadline.unwrap();
        assert!(deadline >= NOW.plus(Duration::from_hours(60 * 24)), "{deadline}");
        assert!(made.run_at <= NOW.plus(Duration::from_hours(2)), "{}", made.run_at);
    }
}

#[tokio::test]
async fn what_was_spent_is_not_forgotten() {
    for by in STEPS {
        let setup = Setup::new().await;
        let engine = &setup.engine;
        let account = Arc::clone(engine.catalog().account("certn").unwrap());
        let (_, rows) = engine.budgets.take(&account.budget, 30).unwrap();
        assert!(!rows.is_empty());
        engine.store.save_buckets(rows).await.unwrap();
        let left = engine.budgets.allowance(&account.budget, Class::Renewal);
        setup.step(by);
        reaper::round(engine).await.unwrap();
        assert_eq!(engine.budgets.allowance(&account.budget, Class::Renewal), left);
        let stored = engine.store.buckets().await.unwrap();
        assert!(stored.iter().any(|row| row.spent == 30), "{by}: {stored:?}");
        // Nor what is spent after the step.
        setup.clock.advance(Duration::from_mins(20));
        let (_, rows) = engine.budgets.take(&account.budget, 20).unwrap();
        engine.store.save_buckets(rows).await.unwrap();
        setup.clock.advance(Duration::from_mins(20));
        reaper::round(engine).await.unwrap();
        let stored = engine.store.buckets().await.unwrap();
        assert!(stored.iter().any(|row| row.spent == 20), "{by}: {stored:?}");
    }
}

#[tokio::test]
async fn a_step_while_nothing_ran_is_followed_at_the_start() {
    for (by, doubtful) in [(10 * MINUTE, false), (2 * YEAR, true), (-2 * YEAR, true)] {
        let setup = Setup::new().await;
        let polled = setup.followed("1").await;
        let due = setup.row(polled).await.run_at;
        setup.engine.keep_time_now().await.unwrap();
        let Setup { engine, clock, stop, server, _folder: folder, .. } = setup;
        stop.cancel();
        server.await.unwrap();
        engine.store.close().await;
        drop(engine);
        clock.step_wall(by);
        let engine = engine_with(&folder, clock, CONFIG).await;
        assert_eq!(engine.clock_is_doubtful(), doubtful, "{by}");
        let row = engine.store.job(polled).await.unwrap().unwrap();
        assert_eq!(row.run_at, moved(due, by));
    }
}

#[tokio::test]
async fn nothing_is_revoked_or_forgotten_by_a_time_in_doubt() {
    let setup = Setup::new().await;
    let engine = &setup.engine;
    let cell = engine.cell("certn", "access_token").unwrap();
    credentials::put(&setup, Duration::from_hours(20 * 366 * 24)).await;
    let hours = |hours| Some(NOW.plus(Duration::from_hours(hours)));
    let retired = |generation, revoke_at| Retired {
        value: "0ld".into(),
        generation,
        expires_at: hours(4),
        revoke_at,
        tries: 0,
        retry_at: None,
        withdrawn: false,
    };
    let kept = |rotation: &mut Rotation| {
        rotation.retired =
            vec![retired(0, None), Retired { expires_at: None, ..retired(1, hours(2)) }];
    };
    let (store, vault) = (&*engine.store, &engine.vault);
    cell.rotate(store, vault, engine.sure_time(), kept).await.unwrap();
    let now = setup.step(5 * HOUR);
    let next = || rotation::next(now, &cell.facts(now, true, engine.clock_is_doubtful()));
    assert!(!matches!(next(), Step::Revoke(_)), "{:?}", next());
    cell.rotate(store, vault, engine.sure_time(), |_| {}).await.unwrap();
    assert_eq!(cell.rotation().retired.len(), 2);
    engine.confirm_clock();
    assert_eq!(next(), Step::Revoke(1));
    cell.rotate(store, vault, engine.sure_time(), |_| {}).await.unwrap();
    assert_eq!(cell.rotation().retired.len(), 1, "what has expired is forgotten");
}
