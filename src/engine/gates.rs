//! What holds queues shut: pauses, Retry-After, the breaker, a provider that changed. Decided by
//! [`crate::policy::gate`], kept in memory, persisted when it changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    policy::{
        classify::Health,
        codes::Code,
        gate::{Admission, Breaker, Reason, Suspicion},
        gated::{Change, Shut, Times, is_forgotten, shut_between},
        retry_after,
    },
    store::{GateRow, GateTimeRow, KindGateRow, KindId, QueueId, QueueRow, Store, StoreResult},
    types::{JobId, Timestamp},
};

/// What keeps a due job from running, as `waiting_for` says it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Hold {
    /// `budget`, `gate`, `paused` or `credential`.
    pub code: &'static str,
    pub until: Option<Timestamp>,
    pub detail: String,
}

#[derive(Debug, Default)]
struct Queue {
    paused_by: Option<String>,
    gate: Option<(Timestamp, String)>,
    breaker: Breaker,
    /// When the breaker closed: what waited for it is let in little by little.
    reopened: Option<Timestamp>,
    kinds: BTreeMap<KindId, String>,
    suspicions: HashMap<KindId, Suspicion>,
    /// When the whole queue (`None`) or one of its kinds was shut.
    times: BTreeMap<Option<KindId>, Times>,
}

impl Queue {
    fn is_shut(&self, now: Timestamp) -> bool {
        let gated = self.gate.as_ref().is_some_and(|(until, _)| now < *until);
        gated || self.paused_by.is_some() || self.breaker.is_open()
    }

    /// Twice as many each second since the breaker closed: whoever comes back from an outage is
    /// not to be thrown over by all who waited for it.
    fn ramp(&mut self, now: Timestamp) -> Admit {
        let Some(reopened) = self.reopened else { return Admit::All };
        let doublings = u32::try_from(now.since(reopened).as_secs()).unwrap_or(u32::MAX);
        if doublings >= RAMP || now < reopened {
            self.reopened = None;
            return Admit::All;
        }
        Admit::AtOnce(1 << doublings)
    }

    fn ramp_hold(&self, now: Timestamp) -> Option<Hold> {
        let until = self.reopened?.plus(Duration::from_secs(RAMP.into()));
        let detail = "the provider has just come back: twice as many at once each second";
        let hold = Hold { code: "gate", until: Some(until), detail: detail.to_owned() };
        (now < until).then_some(hold)
    }
}

/// Seconds after which all may come again.
const RAMP: u32 = 8;

/// The gates of all queues.
#[derive(Debug, Default)]
pub struct Gates {
    inner: Mutex<BTreeMap<QueueId, Queue>>,
    saving: tokio::sync::Mutex<()>,
    /// What is to be stored of when gates were shut, or with `true` to be forgotten.
    times: Mutex<Vec<(GateTimeRow, bool)>>,
}

/// How many jobs a queue may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    All,
    /// The breaker's one probe.
    One,
    /// So many at once: the provider has just come back.
    AtOnce(u32),
    Wait(Option<Timestamp>),
}

/// What an answer did to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    Opened,
    /// It stays open, until another time.
    Prolonged,
    Closed,
}

impl Gates {
    /// By the time as it is, and as far as it is sure.
    pub async fn load(store: &dyn Store, now: Timestamp, sure: Timestamp) -> StoreResult<Self> {
        let gates = Self::default();
        for row in store.queues().await? {
            let mut inner = gates.lock();
            let queue = inner.entry(row.id).or_default();
            queue.paused_by = row.paused_by;
            queue.gate = row
                .gate
                .and_then(|gate| Some((gate.until?, gate.detail.unwrap_or(gate.code))))
                .filter(|(until, _)| *until > now)
                // No gate is shut for longer, but by a clock that was wrong.
                .map(|(until, why)| (until.min(now.plus(retry_after::BOUNDS.1)), why));
            let breaker = row.breaker.and_then(|json| serde_json::from_str(&json).ok());
            queue.breaker = breaker.map_or_else(Breaker::default, |one: Breaker| one.restored(now));
        }
        for row in store.kind_gates().await? {
            let detail = row.gate.detail.unwrap_or(row.gate.code);
            gates.lock().entry(row.queue).or_default().kinds.insert(row.kind, detail);
        }
        let mut times: HashMap<(QueueId, Option<KindId>), Vec<Shut>> = HashMap::new();
        for row in store.gate_times().await? {
            let shut = Shut { since: row.since, until: row.until };
            if is_forgotten(&shut, now.min(sure)) {
                store.save_gate_time(row, true).await?;
            } else {
                times.entry((row.queue, row.kind)).or_default().push(shut);
            }
        }
        for ((queue, kind), kept) in times {
            gates.lock().entry(queue).or_default().times.insert(kind, Times::of(kept));
        }
        Ok(gates)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<QueueId, Queue>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks to start jobs. Where it says [`Admit::One`] the caller has become the probe.
    pub fn admit(&self, queue: QueueId, now: Timestamp) -> Admit {
        let mut inner = self.lock();
        let Some(one) = inner.get_mut(&queue) else { return Admit::All };
        if one.paused_by.is_some() {
            return Admit::Wait(None);
        }
        if let Some((until, _)) = &one.gate
            && now < *until
        {
            return Admit::Wait(Some(*until));
        }
        match one.breaker.admit(now) {
            Admission::Go => one.ramp(now),
            Admission::Probe => Admit::One,
            Admission::Wait { until } => Admit::Wait(Some(until)),
        }
    }

    /// The wall clock was stepped: what was counted by it keeps its distance.
    pub fn step(&self, by_ms: i64, now: Timestamp) {
        let mut changes = vec![];
        for (queue, one) in self.lock().iter_mut() {
            for (kind, times) in &mut one.times {
                let row = |shut: Shut| {
                    let Shut { since, until } = shut;
                    GateTimeRow { queue: *queue, kind: *kind, since, until }
                };
                for (before, after) in times.step(by_ms, now) {
                    changes.extend([(row(before), true), (row(after), false)]);
                }
            }
            if let Some((until, _)) = &mut one.gate {
                *until = Timestamp(until.0.saturating_add(by_ms));
            }
            if let Some(at) = &mut one.reopened {
                *at = Timestamp(at.0.saturating_add(by_ms));
            }
            one.breaker.step(by_ms);
        }
        self.changed_times().extend(changes);
    }

    /// What `waiting_for` says of this queue's due jobs.
    #[must_use]
    pub fn hold(&self, queue: QueueId, kind: Option<KindId>, now: Timestamp) -> Option<Hold> {
        let inner = self.lock();
        let one = inner.get(&queue)?;
        if let Some(who) = &one.paused_by {
            let detail = format!("paused by {who}; `attendant queues resume` opens it");
            return Some(Hold { code: "paused", until: None, detail });
        }
        if let Some(detail) = kind.and_then(|kind| one.kinds.get(&kind)) {
            return Some(Hold { code: "gate", until: None, detail: detail.clone() });
        }
        if let Some((until, detail)) = one.gate.as_ref().filter(|(until, _)| now < *until) {
            return Some(Hold { code: "gate", until: Some(*until), detail: detail.clone() });
        }
        let until = match one.breaker {
            Breaker::Closed { .. } => return one.ramp_hold(now),
            Breaker::Open { until, .. } => Some(until),
            Breaker::HalfOpen { .. } => None,
        };
        let detail = "the provider fails: one probe at a time until it answers".to_owned();
        Some(Hold { code: "gate", until, detail })
    }

    /// The caller of [`Self::admit`] became the probe and found nothing to probe with.
    pub fn probe_unused(&self, queue: QueueId, now: Timestamp) {
        if let Some(one) = self.lock().get_mut(&queue)
            && let Breaker::HalfOpen { opened, .. } = one.breaker
        {
            one.breaker = Breaker::Open { until: now, opened };
        }
    }

    #[must_use]
    pub fn breaker_is_open(&self, queue: QueueId) -> bool {
        self.lock().get(&queue).is_some_and(|one| one.breaker.is_open())
    }

    /// Tells the breaker how a request ended; what that did to it, for [`Self::save`].
    pub fn record(
        &self,
        queue: QueueId,
        job: JobId,
        health: Health,
        now: Timestamp,
    ) -> Option<Turned> {
        let mut inner = self.lock();
        let one = inner.entry(queue).or_default();
        let before = one.breaker;
        one.breaker.record(now, job, health);
        match (before.is_open(), one.breaker.is_open()) {
            (false, true) => Some(Turned::Opened),
            (true, true) => (before != one.breaker).then_some(Turned::Prolonged),
            (true, false) => {
                one.reopened = Some(now);
                Some(Turned::Closed)
            }
            (false, false) => None,
        }
    }

    /// Stores what holds a queue, as it is by now: of two who store it at once, the later one's
    /// row has what both have done.
    pub async fn save(&self, store: &dyn Store, queue: QueueId, account: &str) -> StoreResult<()> {
        let _saving = self.saving.lock().await;
        let row = {
            let mut inner = self.lock();
            row(queue, account, inner.entry(queue).or_default())
        };
        store.save_queue(row).await
    }

    /// Looks which gates are shut. Called now and then.
    pub fn look(&self, now: Timestamp) {
        let mut changes = vec![];
        for (queue, one) in self.lock().iter_mut() {
            let shut = one.is_shut(now);
            let kinds = one.kinds.keys().copied().map(Some);
            let known: BTreeSet<Option<KindId>> =
                one.times.keys().copied().chain(kinds).chain([None]).collect();
            for kind in known {
                let shut = kind.map_or(shut, |kind| one.kinds.contains_key(&kind));
                if !shut && !one.times.contains_key(&kind) {
                    continue;
                }
                let (Shut { since, until }, forget) =
                    match one.times.entry(kind).or_default().see(shut, now) {
                        None => continue,
                        Some(Change::Began(shut) | Change::Ended(shut)) => (shut, false),
                        Some(Change::Forgot(shut)) => (shut, true),
                    };
                changes.push((GateTimeRow { queue: *queue, kind, since, until }, forget));
            }
        }
        self.changed_times().extend(changes);
    }

    fn changed_times(&self) -> MutexGuard<'_, Vec<(GateTimeRow, bool)>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores when gates were shut. What the store does not take is stored the next time.
    pub async fn save_times(&self, store: &dyn Store) -> StoreResult<()> {
        loop {
            let Some((row, forget)) = self.changed_times().first().copied() else { return Ok(()) };
            store.save_gate_time(row, forget).await?;
            self.changed_times().remove(0);
        }
    }

    /// How long a kind's jobs were held shut between two instants.
    #[must_use]
    pub fn shut_between(
        &self,
        queue: QueueId,
        kind: KindId,
        (from, to): (Timestamp, Timestamp),
    ) -> Duration {
        let inner = self.lock();
        let Some(one) = inner.get(&queue) else { return Duration::ZERO };
        let times: Vec<&Times> =
            [None, Some(kind)].iter().filter_map(|kind| one.times.get(kind)).collect();
        shut_between(&times, from, to)
    }

    /// Shuts the queue until then, if it is not shut for longer; whether that is to be saved.
    pub fn shut(&self, queue: QueueId, until: Timestamp, code: Code) -> bool {
        let mut inner = self.lock();
        let one = inner.entry(queue).or_default();
        if one.gate.as_ref().is_some_and(|(other, _)| *other >= until) {
            return false;
        }
        one.gate = Some((until, format!("the provider asked to wait ({code})")));
        true
    }

    /// Shuts or opens by a person's word, which is then to be saved.
    pub fn pause(&self, queue: QueueId, by: Option<&str>) {
        let mut inner = self.lock();
        let one = inner.entry(queue).or_default();
        one.paused_by = by.map(ToOwned::to_owned);
        if by.is_none() {
            // "Go" from a person outweighs what the daemon was waiting for.
            one.gate = None;
            one.breaker = Breaker::default();
            one.reopened = None;
        }
    }

    #[must_use]
    pub fn kind_is_shut(&self, queue: QueueId, kind: KindId) -> Option<String> {
        self.lock().get(&queue)?.kinds.get(&kind).cloned()
    }

    /// A follow met 403 or 404; the gate to be persisted if that convicts the provider.
    pub fn suspect(
        &self,
        queue: QueueId,
        kind: KindId,
        job: JobId,
        live: u32,
    ) -> Option<KindGateRow> {
        let mut inner = self.lock();
        let one = inner.entry(queue).or_default();
        if !one.suspicions.entry(kind).or_default().suspect(job, live) {
            return None;
        }
        drop(inner);
        Some(self.shut_kind(queue, kind, "several different follows were refused alike"))
    }

    /// A follow was answered as it should be.
    pub fn trust(&self, queue: QueueId, kind: KindId) {
        if let Some(one) = self.lock().get_mut(&queue)
            && let Some(suspicion) = one.suspicions.get_mut(&kind)
        {
            suspicion.clear();
        }
    }

    /// Shuts one kind until a new definition or an operator opens it.
    pub fn shut_kind(&self, queue: QueueId, kind: KindId, why: &str) -> KindGateRow {
        let detail = format!(
            "the provider seems to have changed ({why}): mend its definition, or `attendant \
             queues resume`"
        );
        self.lock().entry(queue).or_default().kinds.insert(kind, detail.clone());
        let code = Code::ProviderChanged.to_string();
        KindGateRow { queue, kind, gate: GateRow { until: None, code, detail: Some(detail) } }
    }

    /// Opens all kinds of a queue; which they were.
    pub fn open_kinds(&self, queue: QueueId) -> Vec<KindId> {
        let mut inner = self.lock();
        let Some(one) = inner.get_mut(&queue) else { return vec![] };
        one.suspicions.clear();
        std::mem::take(&mut one.kinds).into_keys().collect()
    }

    #[must_use]
    pub fn gate_of(&self, queue: QueueId, now: Timestamp) -> Option<(Reason, Hold)> {
        let hold = self.hold(queue, None, now)?;
        let reason = match (hold.code, self.breaker_is_open(queue)) {
            ("paused", _) => Reason::Paused,
            (_, true) => Reason::Breaker,
            _ => Reason::RetryAfter,
        };
        Some((reason, hold))
    }

    /// Kinds of a queue that are shut, with why.
    #[must_use]
    pub fn shut_kinds(&self, queue: QueueId) -> Vec<(KindId, String)> {
        let inner = self.lock();
        let Some(one) = inner.get(&queue) else { return vec![] };
        one.kinds.iter().map(|(kind, why)| (*kind, why.clone())).collect()
    }
}

fn row(id: QueueId, account: &str, queue: &Queue) -> QueueRow {
    let gate = queue.gate.as_ref().map(|(until, detail)| GateRow {
        until: Some(*until),
        code: "retry_after".to_owned(),
        detail: Some(detail.clone()),
    });
    let breaker = queue.breaker.is_open();
    QueueRow {
        id,
        account: account.to_owned(),
        paused_by: queue.paused_by.clone(),
        gate,
        breaker: breaker.then(|| serde_json::to_string(&queue.breaker).ok()).flatten(),
    }
}
