//! The attempts that run in this process, by job: to stop one, to prolong their leases.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    store::{JobSeq, QueueId},
    types::Generation,
};

#[derive(Debug, Clone)]
struct Attempt {
    generation: Generation,
    queue: QueueId,
    stop: CancellationToken,
    why: Option<Stop>,
}

impl Attempt {
    fn stop(&mut self, why: Stop) {
        self.why.get_or_insert(why);
        self.stop.cancel();
    }
}

/// Why an attempt is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody cancelled the job.
    Cancelled,
    /// The daemon stops, and the time for draining is over.
    Shutdown,
    /// Its lease is not ours any more.
    LostLease,
}

#[derive(Debug, Default)]
pub struct Running {
    attempts: Mutex<HashMap<JobSeq, Attempt>>,
    /// Notified whenever an attempt ends.
    ended: Notify,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobSeq, Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an attempt; what it gets is cancelled when somebody stops it.
    pub fn begin(&self, job: JobSeq, generation: Generation, queue: QueueId) -> CancellationToken {
        let stop = CancellationToken::new();
        self.lock().insert(job, Attempt { generation, queue, stop: stop.clone(), why: None });
        stop
    }

    pub fn end(&self, job: JobSeq, generation: Generation) {
        let mut attempts = self.lock();
        if attempts.get(&job).is_some_and(|one| one.generation == generation) {
            attempts.remove(&job);
        }
        drop(attempts);
        self.ended.notify_waiters();
    }

    /// Asks whatever attempt of a job runs to stop. The first reason stands.
    pub fn stop(&self, job: JobSeq, why: Stop) {
        if let Some(one) = self.lock().get_mut(&job) {
            one.stop(why);
        }
    }

    /// Asks the attempt of one claim to stop.
    pub fn stop_claim(&self, job: JobSeq, generation: Generation, why: Stop) {
        if let Some(one) = self.lock().get_mut(&job).filter(|one| one.generation == generation) {
            one.stop(why);
        }
    }

    pub fn stop_all(&self, why: Stop) {
        for one in self.lock().values_mut() {
            one.stop(why);
        }
    }

    /// Why an attempt was asked to stop, if it was.
    #[must_use]
    pub fn why(&self, job: JobSeq) -> Option<Stop> {
        self.lock().get(&job).and_then(|one| one.why)
    }

    #[must_use]
    pub fn leases(&self) -> Vec<(JobSeq, Generation)> {
        self.lock().iter().map(|(job, one)| (*job, one.generation)).collect()
    }

    #[must_use]
    pub fn holds(&self, job: JobSeq) -> bool {
        self.lock().contains_key(&job)
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    #[must_use]
    pub fn count_of(&self, queue: QueueId) -> usize {
        self.lock().values().filter(|one| one.queue == queue).count()
    }

    /// Waits until no attempt runs.
    pub async fn idle(&self) {
        loop {
            let ended = self.ended.notified();
            if self.count() == 0 {
                return;
            }
            ended.await;
        }
    }
}
