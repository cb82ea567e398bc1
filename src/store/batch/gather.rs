//! What one transaction takes in, and who is told of which part of it.

use std::collections::HashSet;

use super::{Answer, Batch, Flushed, MOST_BYTES, MOST_ROWS, Request};
use crate::store::{Claimed, Enqueued, Hash16, JobSeq, NewJob, QueueId, Settlement, StoreResult};

/// The keys that a transaction has already.
#[derive(Default)]
pub(super) struct Seen(HashSet<(QueueId, Hash16)>);

impl Seen {
    fn keys(job: &NewJob) -> impl Iterator<Item = (QueueId, Hash16)> {
        let key = job.key.map(|key| key.hash);
        key.into_iter().chain(job.uniq).map(|hash| (job.queue, hash))
    }

    /// `false`, and unchanged, if one of the job's keys is here already.
    pub(super) fn admit(&mut self, job: &NewJob) -> bool {
        if Self::keys(job).any(|key| self.0.contains(&key)) {
            return false;
        }
        self.0.extend(Self::keys(job));
        true
    }

    fn admit_all(&mut self, jobs: &[NewJob]) -> bool {
        if jobs.iter().flat_map(Self::keys).any(|key| self.0.contains(&key)) {
            return false;
        }
        self.0.extend(jobs.iter().flat_map(Self::keys));
        true
    }
}

/// Of what can be large.
fn size(settlement: &Settlement) -> usize {
    settlement.result.as_ref().map_or(0, Vec::len)
        + settlement.artifact.as_ref().map_or(0, |file| file.sealed.len())
}

/// Who is to be told of which part of a batch.
pub(super) struct Waiting<R> {
    settle: Vec<(usize, Answer<Vec<bool>>)>,
    custom: Vec<Answer<Vec<R>>>,
    enqueue: Vec<(usize, Answer<Vec<Enqueued>>)>,
    buckets: Vec<Answer<()>>,
    claim: Option<Answer<Claimed>>,
}

pub(super) struct Gathering<C, R> {
    bytes: usize,
    pub(super) batch: Batch<C>,
    pub(super) waiting: Waiting<R>,
    seen: Seen,
    /// Jobs that this transaction settles.
    settling: HashSet<JobSeq>,
    /// Who wants the log shortened after this transaction.
    pub(super) truncate: Vec<Answer<bool>>,
    pub(super) close: Option<Answer<()>>,
}

impl<C, R> Gathering<C, R> {
    pub(super) fn new() -> Self {
        Self {
            bytes: 0,
            batch: Batch {
                settle: vec![],
                custom: vec![],
                enqueue: vec![],
                buckets: vec![],
                claim: None,
            },
            waiting: Waiting {
                settle: vec![],
                custom: vec![],
                enqueue: vec![],
                buckets: vec![],
                claim: None,
            },
            seen: Seen::default(),
            settling: HashSet::new(),
            truncate: vec![],
            close: None,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.close.is_some()
            || self.batch.enqueue.len() + self.batch.settle.len() >= MOST_ROWS
            || self.bytes >= MOST_BYTES
    }

    /// Takes a request in, or gives it back where it must wait for the next transaction.
    pub(super) fn take(&mut self, request: Request<C, R>) -> Option<Request<C, R>> {
        match request {
            Request::Settle(list, answer) => {
                if list.iter().any(|one| self.settling.contains(&one.seq)) {
                    return Some(Request::Settle(list, answer));
                }
                self.settling.extend(list.iter().map(|one| one.seq));
                self.bytes += list.iter().map(size).sum::<usize>();
                self.waiting.settle.push((list.len(), answer));
                self.batch.settle.extend(list);
            }
            Request::Custom(statement, answer) => {
                self.waiting.custom.push(answer);
                self.batch.custom.push(statement);
            }
            Request::Enqueue(jobs, answer) => {
                if !self.seen.admit_all(&jobs) {
                    return Some(Request::Enqueue(jobs, answer));
                }
                self.waiting.enqueue.push((jobs.len(), answer));
                self.batch.enqueue.extend(jobs);
            }
            Request::Buckets(rows, answer) => {
                self.waiting.buckets.push(answer);
                self.batch.buckets.extend(rows);
            }
            Request::Claim(claim, answer) => {
                if self.batch.claim.is_some() {
                    return Some(Request::Claim(claim, answer));
                }
                self.batch.claim = Some(*claim);
                self.waiting.claim = Some(answer);
            }
            Request::Truncate(answer) => self.truncate.push(answer),
            Request::Close(answer) => self.close = Some(answer),
        }
        None
    }

    /// How many requests are in it.
    pub(super) fn requests(&self) -> usize {
        let waiting = &self.waiting;
        waiting.settle.len()
            + waiting.custom.len()
            + waiting.enqueue.len()
            + waiting.buckets.len()
            + usize::from(waiting.claim.is_some())
    }

    /// The same requests in the same order, each alone.
    pub(super) fn apart(self) -> Vec<Self> {
        let Self { mut batch, waiting, .. } = self;
        let mut alone = vec![];
        for (count, answer) in waiting.settle {
            alone.push(Request::Settle(batch.settle.drain(..count).collect(), answer));
        }
        for (statement, answer) in batch.custom.into_iter().zip(waiting.custom) {
            alone.push(Request::Custom(statement, answer));
        }
        for (count, answer) in waiting.enqueue {
            alone.push(Request::Enqueue(batch.enqueue.drain(..count).collect(), answer));
        }
        // Rows of budgets are folded without marks: they go together, with the first that asked.
        let mut rows = Some(batch.buckets);
        for answer in waiting.buckets {
            alone.push(Request::Buckets(rows.take().unwrap_or_default(), answer));
        }
        if let (Some(claim), Some(answer)) = (batch.claim, waiting.claim) {
            alone.push(Request::Claim(Box::new(claim), answer));
        }
        let of_one = |request| {
            let mut gathering = Self::new();
            gathering.take(request);
            gathering
        };
        alone.into_iter().map(of_one).collect()
    }
}

/// A caller that has gone away is no trouble: its work is stored.
pub(super) fn answer<R>(waiting: Waiting<R>, flushed: StoreResult<Flushed<R>>) {
    match flushed {
        Ok(mut flushed) => {
            for (count, answer) in waiting.settle {
                let _ = answer.send(Ok(flushed.settle.drain(..count).collect()));
            }
            for (answer, rows) in waiting.custom.into_iter().zip(flushed.custom) {
                let _ = answer.send(Ok(rows));
            }
            for (count, answer) in waiting.enqueue {
                let _ = answer.send(Ok(flushed.enqueue.drain(..count).collect()));
            }
            for answer in waiting.buckets {
                let _ = answer.send(Ok(()));
            }
            if let (Some(answer), Some(claimed)) = (waiting.claim, flushed.claim) {
                let _ = answer.send(Ok(claimed));
            }
        }
        Err(error) => {
            for (_, answer) in waiting.settle {
                let _ = answer.send(Err(error.clone()));
            }
            for answer in waiting.custom {
                let _ = answer.send(Err(error.clone()));
            }
            for (_, answer) in waiting.enqueue {
                let _ = answer.send(Err(error.clone()));
            }
            for answer in waiting.buckets {
                let _ = answer.send(Err(error.clone()));
            }
            if let Some(answer) = waiting.claim {
                let _ = answer.send(Err(error));
            }
        }
    }
}
