//! Random histories: the store and a plain list in memory are told the same, and must agree on
//! every answer and every row.

mod plain;

use std::sync::Arc;

use attendant::{
    store::{CancelOutcome, ClaimedJob, JobFilter, NewJob, Settlement, sqlite::Synchronous},
    types::{JobId, JobState, Timestamp},
};
use proptest::prelude::*;
use tempfile::TempDir;

use self::plain::Plain;
use super::{
    sqlite::open_in,
    support::{World, at, ended, hash, key, snoozed},
};

/// Which of the jobs or claims so far is meant: taken modulo their number.
type Pick = usize;

#[derive(Debug, Clone)]
enum Step {
    Enqueue {
        uniq: Option<u8>,
        key: Option<(u8, u8)>,
        priority: u8,
        wait: u64,
    },
    Wait(u64),
    Claim {
        count: u32,
        max_priority: u8,
    },
    Settle(Pick, End),
    Cancel(Pick),
    Requeue(Pick),
    /// What a reaper does with lost leases.
    Reclaim,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Complete,
    Die,
    Retry,
    Snooze(u64),
    /// Completes with a child, which may want a natural key that lives.
    Continue(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        Just(End::Complete),
        Just(End::Die),
        Just(End::Retry),
        (0..300_u64).prop_map(End::Snooze),
        (0..3_u8).prop_map(End::Continue),
    ];
    let enqueue =
        (prop::option::of(0..3_u8), prop::option::of((10..14_u8, 0..2_u8)), 0..4_u8, 0..3_u64);
    prop_oneof![
        5 => enqueue.prop_map(|(uniq, key, priority, wait)| {
            Step::Enqueue { uniq, key, priority, wait: wait * 100 }
        }),
        2 => (1..400_u64).prop_map(Step::Wait),
        4 => (0..4_u32, 1..4_u8).prop_map(|(count, max_priority)| {
            Step::Claim { count, max_priority }
        }),
        5 => (any::<Pick>(), end).prop_map(|(pick, end)| Step::Settle(pick, end)),
        2 => any::<Pick>().prop_map(Step::Cancel),
        2 => any::<Pick>().prop_map(Step::Requeue),
        1 => Just(Step::Reclaim),
    ]
}

/// A lease of these histories; short, so that waiting loses it.
const LEASE_MS: u64 = 500;

struct Run {
    world: World,
    plain: Plain,
    now_ms: u64,
    /// Every claim ever handed out: most are stale.
    claims: Vec<ClaimedJob>,
}

impl Run {
    fn now(&self) -> Timestamp {
        at(self.now_ms)
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Wait(ms) => self.now_ms += ms,
            Step::Enqueue { uniq, key: of, priority, wait } => {
                let job = NewJob {
                    priority,
                    run_at: at(self.now_ms + wait),
                    ready: wait == 0,
                    uniq: uniq.map(hash),
                    key: of.map(|(key_hash, request)| key(key_hash, request)),
                    ..self.world.job()
                };
                assert_eq!(self.world.enqueue(&job).await, self.plain.enqueue(&job));
            }
            Step::Claim { count, max_priority } => self.claim(count, max_priority).await,
            Step::Settle(pick, end) => self.settle(pick, end).await,
            Step::Cancel(pick) => self.cancel(pick).await,
            Step::Requeue(pick) => {
                let Some(id) = self.plain.pick(pick) else { return };
                let (from, now) = ([JobState::Dead, JobState::Cancelled], self.now());
                let done = self.world.store.requeue(id, &from, now, None).await.unwrap();
                assert_eq!(done, self.plain.requeue(id, now));
            }
            Step::Reclaim => self.reclaim().await,
        }
    }

    async fn claim(&mut self, count: u32, max_priority: u8) {
        let mut round = self.world.round(self.now(), count);
        round.lease_until = at(self.now_ms + LEASE_MS);
        round.allowances[0].max_priority = max_priority;
        let claimed = self.world.store.claim(round.clone()).await.unwrap();
        let expected = self.plain.claim(&round);
        let mut given: Vec<_> = claimed.jobs.iter().map(|job| (job.id, job.generation.0)).collect();
        given.sort();
        assert_eq!(given, expected);
        assert_eq!(claimed.next_due, self.plain.next_due());
        self.claims.extend(claimed.jobs);
    }

    async fn settle(&mut self, pick: Pick, end: End) {
        let Some(n) = pick.checked_rem(self.claims.len()) else { return };
        let (job, now) = (self.claims[n].clone(), self.now());
        let end = match end {
            End::Complete => ended(&job, JobState::Completed, now),
            End::Die => ended(&job, JobState::Dead, now),
            End::Retry => {
                Settlement { errors: job.errors + 1, ..ended(&job, JobState::Queued, now) }
            }
            End::Snooze(ms) => snoozed(&job, now, at(self.now_ms + ms)),
            End::Continue(uniq) => {
                let child = NewJob { uniq: Some(hash(uniq)), ..self.world.child_of(&job) };
                Settlement { children: vec![child], ..ended(&job, JobState::Completed, now) }
            }
        };
        let done = self.world.settle(end.clone()).await;
        assert_eq!(done, self.plain.settle(job.id, &end));
    }

    async fn cancel(&mut self, pick: Pick) {
        let Some(id) = self.plain.pick(pick) else { return };
        let seq = self.world.row(id).await.seq;
        let expected = match self.plain.cancel(id) {
            JobState::Queued => CancelOutcome::Cancelled,
            JobState::Running => CancelOutcome::Asked(seq),
            state => CancelOutcome::Ended(state),
        };
        assert_eq!(self.world.store.cancel(id, self.now()).await.unwrap(), expected);
    }

    async fn reclaim(&mut self) {
        let now = self.now();
        let mut lost = self.world.store.running(Some(now)).await.unwrap();
        lost.sort_by_key(|job| job.id);
        let ids: Vec<JobId> = lost.iter().map(|job| job.id).collect();
        assert_eq!(ids, self.plain.lost(now));
        for job in lost {
            let claim = self.claims.iter().rev().find(|claim| claim.id == job.id).unwrap();
            assert_eq!(claim.generation, job.generation);
            let back = ended(claim, JobState::Queued, now);
            let back = Settlement { errors: job.errors + 1, ..back };
            assert!(self.world.settle(back.clone()).await);
            assert!(self.plain.settle(job.id, &back));
        }
    }

    async fn compare(&self) {
        let filter = JobFilter { limit: 1_000, ..JobFilter::default() };
        let mut rows = vec![];
        for row in self.world.store.jobs(filter).await.unwrap() {
            let attempts = self.world.store.attempts(row.seq).await.unwrap().len();
            rows.push(plain::Facts::of(&row, attempts));
        }
        rows.sort();
        assert_eq!(rows, self.plain.facts());
    }
}

async fn replay(steps: Vec<Step>) {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open_in(dir.path(), Synchronous::Normal).await);
    let world = World::over((store, Box::new(dir))).await;
    let mut run = Run { world, plain: Plain::default(), now_ms: 0, claims: vec![] };
    for step in steps {
        run.step(step).await;
    }
    run.compare().await;
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn agrees_with_a_plain_list(steps in prop::collection::vec(step(), 10..70)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(replay(steps));
    }
}
