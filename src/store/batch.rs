//! Group commit: what is pending becomes one transaction, and everybody is answered after it.
//!
//! One task owns the writing connection. It takes one request, then whatever else has arrived
//! by then, folds requests of the same sort into one list, and hands the whole to
//! [`Flush::flush`]. While that transaction is on its way to the disk the next requests gather,
//! so the batch grows with the load and a lone request waits for nobody.

mod gather;

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use self::gather::{Gathering, Seen, answer};
use super::{
    BucketRow, Claim, Claimed, Enqueued, NewJob, Settlement, StoreError, StoreResult,
    health::Health,
};

/// The most jobs that one transaction takes in, so that no caller waits for a giant.
const MOST_ROWS: usize = 2_000;

/// The most bytes of results and files that one transaction takes in.
const MOST_BYTES: usize = 16 << 20;

/// What one transaction is to do, in this order.
#[derive(Debug)]
pub struct Batch<C> {
    pub settle: Vec<Settlement>,
    pub custom: Vec<C>,
    pub enqueue: Vec<NewJob>,
    pub buckets: Vec<BucketRow>,
    pub claim: Option<Claim>,
}

/// What it did; lists in the order of the request.
#[derive(Debug)]
pub struct Flushed<R> {
    pub settle: Vec<bool>,
    pub custom: Vec<Vec<R>>,
    pub enqueue: Vec<Enqueued>,
    pub claim: Option<Claimed>,
}

/// A database's way of doing a batch in one transaction.
#[async_trait]
pub trait Flush: Send + 'static {
    /// A statement of this database with its arguments, for what is not worth folding.
    type Custom: Send;
    type Row: Send;

    /// All of it durable, or an error and none of it.
    async fn flush(&mut self, batch: &mut Batch<Self::Custom>) -> StoreResult<Flushed<Self::Row>>;
    /// There is no room: brings what the log of changes has into the file, so that the log's room
    /// can be used again. Whether that worked.
    async fn make_room(&mut self) -> bool;
    /// Shortens the log of changes; `false` where that cannot be done now.
    async fn truncate_log(&mut self) -> StoreResult<bool>;
    async fn close(&mut self);
}

type Answer<T> = oneshot::Sender<StoreResult<T>>;

enum Request<C, R> {
    Settle(Vec<Settlement>, Answer<Vec<bool>>),
    Custom(C, Answer<Vec<R>>),
    Enqueue(Vec<NewJob>, Answer<Vec<Enqueued>>),
    Buckets(Vec<BucketRow>, Answer<()>),
    Claim(Box<Claim>, Answer<Claimed>),
    /// Between two transactions.
    Truncate(Answer<bool>),
    Close(Answer<()>),
}

/// The callers' end.
#[derive(Debug)]
pub struct Writer<F: Flush> {
    requests: mpsc::UnboundedSender<Request<F::Custom, F::Row>>,
}

impl<F: Flush> Writer<F> {
    /// Starts the writing task.
    pub fn start(flush: F, health: Arc<Health>) -> Self {
        let (requests, inbox) = mpsc::unbounded_channel();
        tokio::spawn(write_all(flush, inbox, health));
        Self { requests }
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(Answer<T>) -> Request<F::Custom, F::Row>,
    ) -> StoreResult<T> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Settlements of one job are done one after the other, so that the later one meets the
    /// earlier: of one claim, only the first counts.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> StoreResult<Vec<bool>> {
        let mut outcomes = Vec::with_capacity(settlements.len());
        for run in without_repeated_jobs(settlements) {
            outcomes.extend(self.ask(|answer| Request::Settle(run, answer)).await?);
        }
        Ok(outcomes)
    }

    pub async fn custom(&self, statement: F::Custom) -> StoreResult<Vec<F::Row>> {
        self.ask(|answer| Request::Custom(statement, answer)).await
    }

    /// Jobs that share a key or a natural key are stored one after the other, so that the later
    /// one meets the earlier.
    pub async fn enqueue(&self, jobs: Vec<NewJob>) -> StoreResult<Vec<Enqueued>> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        for run in without_repeats(jobs) {
            outcomes.extend(self.ask(|answer| Request::Enqueue(run, answer)).await?);
        }
        Ok(outcomes)
    }

    pub async fn save_buckets(&self, rows: Vec<BucketRow>) -> StoreResult<()> {
        self.ask(|answer| Request::Buckets(rows, answer)).await
    }

    pub async fn claim(&self, claim: Claim) -> StoreResult<Claimed> {
        self.ask(|answer| Request::Claim(Box::new(claim), answer)).await
    }

    pub async fn truncate_log(&self) -> StoreResult<bool> {
        self.ask(Request::Truncate).await
    }

    pub async fn close(&self) {
        // Closed already is closed.
        let _ = self.ask(Request::Close).await;
    }
}

/// Splits jobs into runs in which no key and no natural key stands twice.
fn without_repeats(jobs: Vec<NewJob>) -> Vec<Vec<NewJob>> {
    if jobs.len() == 1 {
        return vec![jobs];
    }
    let mut runs = vec![];
    let mut run = vec![];
    let mut seen = Seen::default();
    for job in jobs {
        if !seen.admit(&job) || run.len() == MOST_ROWS {
            runs.push(std::mem::take(&mut run));
            seen = Seen::default();
            seen.admit(&job);
        }
        run.push(job);
    }
    runs.push(run);
    runs
}

/// Splits settlements into runs in which no job stands twice.
fn without_repeated_jobs(settlements: Vec<Settlement>) -> Vec<Vec<Settlement>> {
    let mut runs = vec![];
    let mut run = vec![];
    let mut seen = HashSet::new();
    for one in settlements {
        if !seen.insert(one.seq) {
            runs.push(std::mem::take(&mut run));
            seen = HashSet::from([one.seq]);
        }
        run.push(one);
    }
    runs.push(run);
    runs
}

async fn write_all<F: Flush>(
    mut flush: F,
    mut inbox: mpsc::UnboundedReceiver<Request<F::Custom, F::Row>>,
    health: Arc<Health>,
) {
    let mut held = None;
    loop {
        let mut gathering = Gathering::new();
        let first = match held.take() {
            Some(request) => Some(request),
            None => inbox.recv().await,
        };
        let Some(first) = first else { break };
        held = gathering.take(first);
        while held.is_none() && !gathering.is_full() {
            match inbox.try_recv() {
                Ok(request) => held = gathering.take(request),
                Err(_) => break,
            }
        }
        let closed = gathering.close.take();
        let truncate = std::mem::take(&mut gathering.truncate);
        match write(&mut flush, &mut gathering.batch, &health).await {
            // One bad request must not be the end of its neighbours': each is tried alone.
            Err(StoreError::Unexpected(_) | StoreError::Stale) if gathering.requests() > 1 => {
                for mut alone in gathering.apart() {
                    let flushed = write(&mut flush, &mut alone.batch, &health).await;
                    answer(alone.waiting, flushed);
                }
            }
            flushed => answer(gathering.waiting, flushed),
        }
        if !truncate.is_empty() {
            let truncated = flush.truncate_log().await;
            for asked in truncate {
                let _ = asked.send(truncated.clone());
            }
        }
        if let Some(closed) = closed {
            flush.close().await;
            let _ = closed.send(Ok(()));
            return;
        }
    }
    flush.close().await;
}

/// One transaction. Where there is no room for it, it is tried once more in that of the log.
async fn write<F: Flush>(
    flush: &mut F,
    batch: &mut Batch<F::Custom>,
    health: &Health,
) -> StoreResult<Flushed<F::Row>> {
    let mut flushed = flush.flush(batch).await;
    if matches!(flushed, Err(StoreError::Full)) && flush.make_room().await {
        flushed = flush.flush(batch).await;
    }
    if let Err(error) = &flushed {
        health.note(error);
    }
    flushed
}
