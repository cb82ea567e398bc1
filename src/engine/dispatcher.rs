//! Decides which queues may start how many jobs, and claims those in one statement.
//!
//! It knows which queues may have ready jobs (the hot ones) and looks only at them, so quiet
//! accounts cost nothing. A queue's allowance is the least of its free slots, its budget and its
//! gate. Renewals have slots of their own and may use the whole budget; follows leave some.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Engine,
    budgets::Taken,
    catalog::Account,
    gates::Admit,
    holds::{CALLS, LAST, RENEWALS, class_of},
    lifeline,
};
use crate::{
    crash,
    credentials::cell::Unavailable,
    policy::{budget::Class, limit::Limit},
    store::{Allowance, BucketRow, Claim, ClaimedJob, QueueId, StoreResult},
    types::Timestamp,
};

/// Slots beyond the concurrency, for renewals alone: whoever waits for a credential must not keep
/// it from coming.
pub const RENEWAL_SLOTS: usize = 4;
/// Slots for the daemon's own jobs, the commands of sinks: no call waits for them, nor they for
/// calls. A sink runs one command at a time, so this is how many sinks may be slow at once.
pub const LOCAL_SLOTS: usize = 64;
/// Future jobs made ready in one round.
const PROMOTE: u32 = 500;
/// Queues looked at in one round.
const QUEUES: usize = 256;
/// Jobs of an account with a budget that are claimed at once, at most: their permits are on disk
/// before it is known how many jobs there are, and a crash at that moment wastes them.
const AHEAD: usize = 16;
/// So that a crash never wastes more than one permit of so many.
const AHEAD_SHARE: usize = 20;
/// Until a store that failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// The longest sleep, so that a clock step or a suspend is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// Until a queue whose provider has just come back may start more.
const RAMP_PAUSE: Duration = Duration::from_millis(250);

/// A claimed job on its way to a worker.
#[derive(Debug, Clone)]
pub struct Handed {
    pub job: ClaimedJob,
    pub stop: CancellationToken,
    /// A permit for its first request; `None` where the account has no limits.
    pub permit: Option<Taken>,
    /// It is to find out whether the provider is back.
    pub probe: bool,
}

/// Why a queue that may have ready jobs is not looked at in every round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hot {
    Now,
    /// Its budget, gate or credential opens then.
    Until(Timestamp),
    /// Its slots are taken: a freed one makes it [`Hot::Now`].
    ForSlot,
}

/// One queue's part in a round.
struct Planned {
    queue: QueueId,
    /// `None` for the daemon's own queue, which nothing limits but its slots.
    account: Option<Arc<Account>>,
    allowances: Vec<Allowance>,
    taken: Option<Taken>,
    most: u32,
    /// So many jobs of any priority were asked for: fewer mean that there are no more. 0 where only
    /// some were allowed.
    of_any: u32,
    /// All slots are taken: it goes on as soon as one is free.
    short: bool,
    /// Its credential is tried again then; whatever comes of that is told.
    blocked_until: Option<Timestamp>,
    probe: bool,
}

#[derive(Debug)]
pub struct Dispatcher {
    engine: Arc<Engine>,
    hot: BTreeMap<QueueId, Hot>,
    /// Where the next round goes on, so that no queue is always last.
    cursor: QueueId,
    next_due: Option<Timestamp>,
    /// The steps of the clock so far.
    stepped: u64,
    jobs: mpsc::Sender<Handed>,
}

impl Dispatcher {
    /// A dispatcher that hands jobs to `jobs`, whose capacity should be the number of slots.
    pub async fn new(engine: Arc<Engine>, jobs: mpsc::Sender<Handed>) -> StoreResult<Self> {
        let hot = engine.store.ready_queues().await?.into_iter().map(|queue| (queue, Hot::Now));
        Ok(Self {
            hot: hot.collect(),
            cursor: 0,
            // Unknown: the first round finds out.
            next_due: Some(Timestamp(0)),
            stepped: engine.time.stepped(),
            engine,
            jobs,
        })
    }

    /// Rounds until the engine drains.
    pub async fn run(mut self) {
        while !self.engine.is_draining() {
            self.engine.turns.dispatched();
            crash::hang("dispatcher").await;
            let sleep = if self.engine.store_holds().await {
                self.round().await.unwrap_or_else(|error| {
                    self.engine.store_works(Some(error.to_string()));
                    AGAIN
                })
            } else {
                lifeline::look(&self.engine);
                AGAIN
            };
            if sleep.is_zero() {
                // Whoever frees slots needs a turn as well.
                tokio::task::yield_now().await;
                continue;
            }
            self.rest(sleep.min(LONGEST_SLEEP)).await;
        }
    }

    /// Until somebody tells that there is something to do, and no longer than this.
    pub async fn rest(&self, longest: Duration) {
        tokio::select! {
            biased;
            () = self.engine.wake.notify.notified() => {}
            () = self.engine.store.health().troubled() => {}
            () = self.engine.clock.sleep(longest) => {}
        }
    }

    /// Claims what may run now; how long nothing more will come due by itself.
    pub async fn round(&mut self) -> StoreResult<Duration> {
        let now = self.engine.mind_clock().await?.wall;
        self.read_inbox();
        self.follow_steps();
        let mut buckets = vec![];
        let planned = self.plan(now, &mut buckets);
        let promote = self.next_due.is_some_and(|due| due <= now);
        if planned.is_empty() && !promote {
            return Ok(self.sleep(now));
        }
        let claim = Claim {
            now,
            lease_until: now.plus(self.engine.settings.lease),
            allowances: planned.iter().flat_map(|one| one.allowances.iter().copied()).collect(),
            promote: if promote { PROMOTE } else { 0 },
            buckets,
        };
        let claimed = match self.engine.store.claim(claim).await {
            Ok(claimed) => claimed,
            Err(error) => {
                for one in &planned {
                    self.give_back(one, one.most);
                    if one.probe {
                        self.engine.gates.probe_unused(one.queue, now);
                    }
                }
                return Err(error);
            }
        };
        self.engine.store_works(None);
        for queue in claimed.promoted {
            self.hot.insert(queue, Hot::Now);
        }
        self.next_due = claimed.next_due;
        self.hand_over(planned, claimed.jobs).await;
        Ok(self.sleep(self.engine.clock.wall()))
    }

    /// After a step of the clock nothing that is kept here of times is right.
    fn follow_steps(&mut self) {
        let stepped = self.engine.time.stepped();
        if std::mem::replace(&mut self.stepped, stepped) != stepped {
            self.hot.values_mut().for_each(|hot| *hot = Hot::Now);
            self.next_due = Some(Timestamp(0));
        }
    }

    fn read_inbox(&mut self) {
        let mut inbox = self.engine.wake.lock();
        for queue in inbox.ready.drain() {
            self.hot.insert(queue, Hot::Now);
        }
        if std::mem::take(&mut inbox.freed) {
            for hot in self.hot.values_mut().filter(|hot| **hot == Hot::ForSlot) {
                *hot = Hot::Now;
            }
        }
        if let Some(due) = inbox.due.take()
            && self.next_due.is_none_or(|next| due < next)
        {
            self.next_due = Some(due);
        }
    }

    /// Zero while there is more to do at once.
    fn sleep(&self, now: Timestamp) -> Duration {
        let hot = self.hot.values().filter_map(|hot| match hot {
            Hot::Now => Some(now),
            Hot::Until(at) => Some(*at),
            Hot::ForSlot => None,
        });
        hot.chain(self.next_due).min().map_or(LONGEST_SLEEP, |at| at.since(now))
    }

    fn free_slots(&self) -> usize {
        let local = self.engine.catalog().local();
        let inbox = self.engine.wake.lock();
        let own = inbox.in_flight.queues.get(&local).copied().unwrap_or(0);
        let others = inbox.in_flight.total.saturating_sub(own);
        self.engine.settings.concurrency.saturating_sub(others)
    }

    /// Each hot queue's allowance, beginning after the one that was last in the round before.
    fn plan(&mut self, now: Timestamp, buckets: &mut Vec<BucketRow>) -> Vec<Planned> {
        let open = |(queue, hot): (&QueueId, &Hot)| match hot {
            Hot::Now => Some(*queue),
            Hot::Until(at) => (now >= *at).then_some(*queue),
            Hot::ForSlot => None,
        };
        let after = self.hot.range(self.cursor + 1..).filter_map(open);
        let before = self.hot.range(..=self.cursor).filter_map(open);
        let queues: Vec<QueueId> = after.chain(before).take(QUEUES).collect();
        let mut free = self.free_slots();
        let mut planned = vec![];
        for queue in queues {
            if queue == self.engine.catalog().local() {
                match self.plan_local(queue) {
                    Some(one) => planned.push(one),
                    None => drop(self.hot.insert(queue, Hot::ForSlot)),
                }
                continue;
            }
            let Some(account) = self.engine.catalog().by_queue(queue).cloned() else {
                // Its account is not configured any more; a reload makes it hot again.
                self.hot.remove(&queue);
                continue;
            };
            match self.plan_queue(&account, free, now, buckets) {
                Ok(one) => {
                    free = free.saturating_sub(one.most as usize);
                    self.cursor = queue;
                    planned.push(one);
                }
                Err(hot) => {
                    self.hot.insert(queue, hot);
                }
            }
        }
        planned
    }

    /// The daemon's own jobs need no budget, gate or credential.
    fn plan_local(&self, queue: QueueId) -> Option<Planned> {
        let inbox = self.engine.wake.lock();
        let own = inbox.in_flight.queues.get(&queue).copied().unwrap_or(0);
        let most = u32::try_from(LOCAL_SLOTS.saturating_sub(own)).unwrap_or(0);
        (most > 0).then(|| Planned {
            queue,
            account: None,
            allowances: vec![Allowance { queue, count: most, max_priority: LAST }],
            taken: None,
            most,
            of_any: most,
            short: false,
            blocked_until: None,
            probe: false,
        })
    }

    /// What one queue may start, or what it waits for.
    fn plan_queue(
        &self,
        account: &Arc<Account>,
        free: usize,
        now: Timestamp,
        buckets: &mut Vec<BucketRow>,
    ) -> Result<Planned, Hot> {
        let engine = &self.engine;
        let queue = account.queue;
        let mut slots = self.slots_of(queue, free);
        let renewals = {
            let inbox = engine.wake.lock();
            RENEWAL_SLOTS.saturating_sub(inbox.in_flight.renewals)
        };
        let blocked = engine.credentials.blocked(queue, &account.blocking, now);
        if blocked.is_some() {
            slots = 0;
        }
        slots = slots.min(ahead(&account.limits));
        let classes = [
            (Class::Follow, LAST, slots),
            (Class::Call, CALLS, slots),
            (Class::Renewal, RENEWALS, slots.max(renewals.min(ahead(&account.limits)))),
        ];
        let allowances = allowances(queue, classes, |class| self.allowance(account, class));
        let most = allowances.iter().map(|one| one.count).max().unwrap_or(0);
        if most == 0 {
            return Err(waits_for(engine, account, blocked, now));
        }
        let (allowances, most, probe) = match engine.gates.admit(queue, now) {
            Admit::All => (allowances, most, false),
            Admit::One => (vec![Allowance { count: 1, ..allowances[0] }], 1, true),
            Admit::AtOnce(most) => {
                let running = engine.wake.lock().in_flight.queues.get(&queue).copied();
                let most = most.saturating_sub(u32::try_from(running.unwrap_or(0)).unwrap_or(0));
                if most == 0 {
                    return Err(Hot::Until(now.plus(RAMP_PAUSE)));
                }
                let cut = |one: &Allowance| Allowance { count: one.count.min(most), ..*one };
                (allowances.iter().map(cut).collect(), most, false)
            }
            Admit::Wait(until) => {
                return Err(Hot::Until(until.unwrap_or(now.plus(LONGEST_SLEEP))));
            }
        };
        let short = slots == 0 && blocked.is_none();
        let of_any = allowances.iter().filter(|one| !probe && one.max_priority == LAST);
        let of_any = of_any.map(|one| one.count).max().unwrap_or(0);
        let Some((taken, rows)) = engine.budgets.take(&account.budget, most) else {
            if probe {
                engine.gates.probe_unused(queue, now);
            }
            return Err(waits_for(engine, account, None, now));
        };
        let taken = (!rows.is_empty()).then_some(taken);
        buckets.extend(rows);
        let account = Some(Arc::clone(account));
        let blocked_until = blocked.and_then(|trouble| trouble.retry_at);
        Ok(Planned { queue, account, allowances, taken, most, of_any, short, blocked_until, probe })
    }

    /// What the budget gives to a class, and to follows no faster than at their pace.
    fn allowance(&self, account: &Account, class: Class) -> u32 {
        let engine = &self.engine;
        let budget = engine.budgets.allowance(&account.budget, class);
        if class != Class::Follow {
            return budget;
        }
        budget.min(engine.cadence.allowance(account, engine.clock.now().boot_ms))
    }

    /// One account may hold three quarters of the slots while there are others: a provider that
    /// hangs never keeps all.
    fn slots_of(&self, queue: QueueId, free: usize) -> usize {
        let all = self.engine.settings.concurrency;
        if self.engine.catalog().accounts.len() <= 1 {
            return free;
        }
        let own = self.engine.wake.lock().in_flight.queues.get(&queue).copied().unwrap_or(0);
        free.min((all - all / 4).max(1).saturating_sub(own))
    }

    async fn hand_over(&mut self, planned: Vec<Planned>, jobs: Vec<ClaimedJob>) {
        let mut by_queue: HashMap<QueueId, Vec<ClaimedJob>> = HashMap::new();
        for job in jobs {
            by_queue.entry(job.queue).or_default().push(job);
        }
        for one in planned {
            let mut jobs = by_queue.remove(&one.queue).unwrap_or_default();
            let count = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
            self.give_back(&one, one.most.saturating_sub(count));
            if count == 0 && one.probe {
                self.engine.gates.probe_unused(one.queue, self.engine.clock.wall());
            }
            self.cool(&one, count);
            self.count_follows(&one, &jobs);
            // RETURNING has no order.
            jobs.sort_by_key(|job| (job.priority, job.run_at));
            for job in jobs {
                let permit = one.taken.map(|taken| Taken { count: 1, ..taken });
                self.hand(job, permit, one.probe).await;
            }
        }
    }

    fn count_follows(&self, one: &Planned, jobs: &[ClaimedJob]) {
        let Some(account) = &one.account else { return };
        let follows = jobs.iter().filter(|job| class_of(job.priority) == Class::Follow).count();
        if follows > 0 {
            let now_ms = self.engine.clock.now().boot_ms;
            self.engine.cadence.started(
                account,
                now_ms,
                u32::try_from(follows).unwrap_or(u32::MAX),
            );
        }
    }

    /// Decides whether a queue is looked at again in the next round.
    fn cool(&mut self, one: &Planned, count: u32) {
        let queue = one.queue;
        if count < one.of_any {
            self.hot.remove(&queue);
        } else if count == 0 && one.short {
            self.hot.insert(queue, Hot::ForSlot);
        } else if count == 0 {
            // There may be jobs that were not allowed; soon enough for budgets and credentials.
            let now = self.engine.clock.wall();
            // Calls may go before follows may.
            let free = one.account.as_ref().and_then(|account| {
                let free = |class| self.engine.next_start(account, class);
                free(Class::Call).or_else(|| free(Class::Follow))
            });
            let again = one.blocked_until.or(free).unwrap_or(now.plus(Duration::from_secs(1)));
            self.hot.insert(queue, Hot::Until(again));
        }
    }

    async fn hand(&self, job: ClaimedJob, permit: Option<Taken>, probe: bool) {
        let engine = &self.engine;
        let stop = engine.running.begin(job.seq, job.generation, job.queue);
        {
            let mut inbox = engine.wake.lock();
            if job.priority == RENEWALS {
                inbox.in_flight.renewals += 1;
            } else {
                inbox.in_flight.total += 1;
                *inbox.in_flight.queues.entry(job.queue).or_default() += 1;
            }
        }
        let (queue, priority) = (job.queue, job.priority);
        if let Err(refused) = self.jobs.send(Handed { job, stop, permit, probe }).await {
            // The worker is gone: the lease ends, and the job is taken up again.
            engine.running.end(refused.0.job.seq, refused.0.job.generation);
            engine.wake.freed(queue, priority);
        }
    }

    fn give_back(&self, one: &Planned, count: u32) {
        if let (Some(taken), Some(account)) = (one.taken, &one.account) {
            self.engine.budgets.give_back(&account.budget, taken, count);
        }
    }
}

/// What a queue without any allowance waits for: its credential, its budget, or a slot.
fn waits_for(
    engine: &Engine,
    account: &Account,
    blocked: Option<Unavailable>,
    now: Timestamp,
) -> Hot {
    if let Some(trouble) = blocked {
        // Without a time it waits for a person, whose word makes it hot at once.
        return Hot::Until(trouble.retry_at.unwrap_or(now.plus(LONGEST_SLEEP)));
    }
    // Renewals may take the last of it, and so go on before the others.
    engine.budgets.next_free(&account.budget, Class::Renewal).map_or(Hot::ForSlot, Hot::Until)
}

/// How many permits of a budget are taken at once.
fn ahead(limits: &[Limit]) -> usize {
    let smallest = limits.iter().map(|limit| limit.count as usize).min();
    smallest.map_or(usize::MAX, |count| (count / AHEAD_SHARE).clamp(1, AHEAD))
}

/// One line per share of the budget, the widest first. Each picks from the most urgent on, so the
/// lines overlap, and together they give no more jobs than the largest of them.
fn allowances(
    queue: QueueId,
    classes: [(Class, u8, usize); 3],
    budget: impl Fn(Class) -> u32,
) -> Vec<Allowance> {
    let mut lines: Vec<Allowance> = vec![];
    for (class, max_priority, slots) in classes {
        let count = budget(class).min(u32::try_from(slots).unwrap_or(u32::MAX));
        if count > lines.iter().map(|line| line.count).max().unwrap_or(0) {
            lines.push(Allowance { queue, count, max_priority });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(slots: usize, renewals: usize, left: [u32; 3]) -> Vec<(u32, u8)> {
        let classes = [
            (Class::Follow, 3, slots),
            (Class::Call, 1, slots),
            (Class::Renewal, 0, slots.max(renewals)),
        ];
        let budget = |class| match class {
            Class::Follow => left[0],
            Class::Call => left[1],
            Class::Renewal => left[2],
        };
        allowances(1, classes, budget).iter().map(|one| (one.count, one.max_priority)).collect()
    }

    #[test]
    fn a_small_budget_is_not_taken_ahead() {
        let taken = |texts: &[&str]| {
            let limits: Vec<Limit> = texts.iter().map(|text| text.parse().unwrap()).collect();
            ahead(&limits)
        };
        assert_eq!(taken(&[]), usize::MAX);
        assert_eq!(taken(&["1/1h"]), 1);
        assert_eq!(taken(&["60/1m", "14400/24h"]), 3);
        assert_eq!(taken(&["240/1m", "14400/24h"]), 12);
        assert_eq!(taken(&["6000/1m"]), 16);
    }

    #[test]
    fn shares_of_a_budget_become_lines() {
        let all = [u32::MAX; 3];
        assert_eq!(lines(10, 4, all), [(10, 3)]);
        assert_eq!(lines(2, 4, all), [(2, 3), (4, 0)]);
        assert_eq!(lines(0, 4, all), [(4, 0)]);
        assert_eq!(lines(10, 4, [3, 5, 6]), [(3, 3), (5, 1), (6, 0)]);
        assert_eq!(lines(10, 4, [0, 0, 2]), [(2, 0)]);
        assert_eq!(lines(10, 4, [0, 0, 0]), []);
        assert_eq!(lines(0, 0, all), []);
    }
}
