//! A store with one account, one kind and one actor, and short ways to say what a test means.

use std::{any::Any, sync::Arc, time::Duration};

use attendant::{
    clock::new_job_id,
    store::{
        ActorId, Allowance, Claim, Claimed, ClaimedJob, Enqueued, Hash16, JobRow, KeyClaim, KindId,
        NewAttempt, NewJob, Parentage, QueueId, Settlement, Store,
    },
    types::{JobId, JobState, Timestamp},
};

/// What keeps a database there as long as its test runs.
pub type Keep = Box<dyn Any + Send + Sync>;

/// The start of every test's time.
const START: Timestamp = Timestamp(1_800_000_000_000);

/// So many milliseconds after the start.
pub fn at(ms: u64) -> Timestamp {
    START.plus(Duration::from_millis(ms))
}

pub fn hash(n: u8) -> Hash16 {
    [n; 16]
}

pub fn key(hash_of_key: u8, hash_of_request: u8) -> KeyClaim {
    KeyClaim { hash: hash(hash_of_key), request: hash(hash_of_request) }
}

pub struct World {
    pub store: Arc<dyn Store>,
    pub queue: QueueId,
    pub kind: KindId,
    pub actor: ActorId,
    _keep: Keep,
}

impl World {
    pub async fn over((store, keep): (Arc<dyn Store>, Keep)) -> Self {
        let queue = store.queue_id("certn").await.unwrap();
        let kind = store.kind_id("certn.applicant").await.unwrap();
        let actor = store.actor_id(r#"{"uid":1000,"user":"ann"}"#).await.unwrap();
        Self { store, queue, kind, actor, _keep: keep }
    }

    /// A job that is due at the start.
    pub fn job(&self) -> NewJob {
        NewJob {
            id: new_job_id(at(0)),
            queue: self.queue,
            kind: self.kind,
            priority: 1,
            run_at: at(0),
            ready: true,
            max_errors: 5,
            deadline: None,
            created_at: at(0),
            created_by: self.actor,
            salt: Some(hash(0xa5)),
            family: None,
            args: b"sealed arguments".to_vec(),
            uniq: None,
            key: None,
            tags: vec![],
        }
    }

    /// A job that waits for its time.
    pub fn later(&self, ms: u64) -> NewJob {
        NewJob { run_at: at(ms), ready: false, ..self.job() }
    }

    pub fn child_of(&self, parent: &ClaimedJob) -> NewJob {
        let family = Some(Parentage { parent: parent.seq, root: parent.root });
        NewJob { family, salt: None, args: b"child".to_vec(), ..self.job() }
    }

    pub async fn enqueue(&self, job: &NewJob) -> Enqueued {
        let outcomes = self.store.enqueue(vec![job.clone()]).await.unwrap();
        assert_eq!(outcomes.len(), 1);
        outcomes[0]
    }

    /// Stores a job that nothing stands against.
    pub async fn add(&self, job: NewJob) -> JobId {
        assert_eq!(self.enqueue(&job).await, Enqueued::New);
        job.id
    }

    pub fn round(&self, now: Timestamp, count: u32) -> Claim {
        Claim {
            now,
            lease_until: now.plus(Duration::from_mins(1)),
            allowances: vec![Allowance { queue: self.queue, count, max_priority: 3 }],
            promote: 100,
            buckets: vec![],
        }
    }

    pub async fn claim(&self, now: Timestamp, count: u32) -> Claimed {
        self.store.claim(self.round(now, count)).await.unwrap()
    }

    /// Claims the one job that is ready.
    pub async fn claim_one(&self, now: Timestamp) -> ClaimedJob {
        let mut jobs = self.claim(now, 10).await.jobs;
        assert_eq!(jobs.len(), 1, "jobs ready at {now}");
        jobs.remove(0)
    }

    /// Stores a job and claims it at the start.
    pub async fn running(&self) -> ClaimedJob {
        self.add(self.job()).await;
        self.claim_one(at(0)).await
    }

    pub async fn settle(&self, settlement: Settlement) -> bool {
        let settled = self.store.settle(vec![settlement]).await.unwrap();
        assert_eq!(settled.len(), 1);
        settled[0]
    }

    pub async fn row(&self, id: JobId) -> JobRow {
        self.store.job(id).await.unwrap().unwrap()
    }

    /// A job brought into a state by the store's own means.
    pub async fn job_in(&self, state: JobState, job: NewJob) -> JobId {
        let id = self.add(job).await;
        match state {
            JobState::Queued => {}
            JobState::Cancelled => drop(self.store.cancel(id, at(0)).await.unwrap()),
            JobState::Running => drop(self.claim_one(at(0)).await),
            JobState::Completed | JobState::Dead => {
                let claimed = self.claim_one(at(0)).await;
                assert!(self.settle(ended(&claimed, state, at(0))).await);
            }
        }
        assert_eq!(self.row(id).await.state, state);
        id
    }
}

/// An attempt's end in `state`, with its history row.
pub fn ended(job: &ClaimedJob, state: JobState, now: Timestamp) -> Settlement {
    let history = NewAttempt { started_at: at(0), outcome: "ended", code: None, message: None };
    Settlement { state, attempt: job.attempt + 1, history: Some(history), ..snoozed(job, now, now) }
}

/// A poll that was answered "not yet": no attempt, no history.
pub fn snoozed(job: &ClaimedJob, now: Timestamp, run_at: Timestamp) -> Settlement {
    Settlement {
        seq: job.seq,
        generation: job.generation,
        from: JobState::Running,
        args_rev: None,
        now,
        state: JobState::Queued,
        run_at,
        ready: run_at <= now,
        attempt: job.attempt,
        errors: 0,
        polls: job.polls + 1,
        deadline: job.deadline,
        error: None,
        result: None,
        history: None,
        observation: None,
        artifact: None,
        children: vec![],
    }
}
