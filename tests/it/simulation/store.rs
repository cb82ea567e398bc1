//! The real store, one call after the other, with a place before and after each where others may
//! go on, or the process may die. What it answers is written into the ledger and held against it.

use std::{fs::File, sync::Arc};

use async_trait::async_trait;
use attendant::{
    credentials::vault::{self, Part, Payload},
    engine::catalog::{Catalog, KindRef},
    store::{
        ActorId, ArtifactRow, AttemptRow, BucketRow, CadenceRow, CancelOutcome, ChainRow, Claim,
        Claimed, ClockStep, CredentialRow, Cutoffs, EndedChain, Enqueued, Erased, ErasureRow, Fire,
        GateTimeRow, Hash16, History, JobFilter, JobRow, JobSeq, KindGateRow, KindId, LoginRow,
        NewJob, ObservationRow, PriceRow, QueueDepth, QueueId, QueueRow, Requeue, Resealed,
        RunningJob, ScheduleRow, SealedAt, SealedColumn, SealedValue, SecretChangeRow, Settlement,
        SinkRow, Store, StoreInfo, StoreResult, StoredArtifact, StoredResult, health::Health,
    },
    types::{Generation, JobId, JobState, Timestamp},
};
use serde_json::Value;

use super::{
    ledger::Entry,
    sim::{Sim, State},
};

/// How many ends of attempts are kept to come back with.
const KEPT: usize = 40;

#[derive(Debug)]
pub struct SimStore {
    pub sim: Arc<Sim>,
    pub inner: Arc<dyn Store>,
    pub catalog: Arc<Catalog>,
}

impl SimStore {
    async fn through<T: Send>(
        &self,
        name: &str,
        work: impl Future<Output = StoreResult<T>> + Send,
        note: impl FnOnce(&mut State, &T) + Send,
    ) -> StoreResult<T> {
        self.sim.point().await;
        if let Some(error) = self.sim.store_trouble() {
            self.sim.note(|| format!("store: {name} is not answered"));
            return Err(error);
        }
        let done = self.sim.wait(work);
        {
            let mut state = self.sim.state();
            match &done {
                Ok(value) => {
                    let line = format!("{:>12} store: {name}", state.t);
                    state.trace.add(line);
                    note(&mut state, value);
                }
                Err(error) => state.wrong(format!("the store failed at {name}: {error}")),
            }
        }
        self.sim.point().await;
        done
    }

    /// Kind, whether it is a renewal, and what the provider knows it by.
    fn what(&self, job: &NewJob, salt: Option<Hash16>) -> (String, bool, String) {
        let kind = self.catalog.kind(job.kind).map(KindRef::name).unwrap_or_default();
        let opened = salt.and_then(|salt| {
            let chain = self.sim.vault.chain(&salt);
            vault::open_json::<Payload>(&chain, job.id, Part::Args, &job.args).ok()
        });
        let args = opened.map(|payload| payload.args).unwrap_or_default();
        let of = |value: Option<&Value>| value?.as_str().map(ToOwned::to_owned);
        let ordered = args.get("application").and_then(|one| one.get("ref"));
        let reference = of(args.get("ref")).or_else(|| of(args.get("id"))).or_else(|| of(ordered));
        let renewal = self.catalog.is_renewal(job.kind);
        (kind, renewal, reference.unwrap_or_else(|| job.queue.to_string()))
    }
}

/// What changes no job.
fn untold<T>(_: &mut State, _: &T) {}

/// Writes down what was wrong, if anything.
fn held(state: &mut State, checked: Result<(), String>) {
    if let Err(words) = checked {
        state.wrong(words);
    }
}

#[async_trait]
impl Store for SimStore {
    async fn enqueue(&self, jobs: Vec<NewJob>) -> StoreResult<Vec<Enqueued>> {
        let rows = jobs.clone();
        self.through("enqueue", self.inner.enqueue(jobs), move |state, done| {
            for (job, met) in rows.iter().zip(done) {
                if *met == Enqueued::New {
                    state.ledger.add(job, self.what(job, job.salt), job.salt);
                } else {
                    let met = state.ledger.met(*met);
                    held(state, met);
                }
            }
        })
        .await
    }

    async fn claim(&self, claim: Claim) -> StoreResult<Claimed> {
        let now = claim.now;
        self.through("claim", self.inner.claim(claim), move |state, done| {
            let mut jobs: Vec<_> = done.jobs.iter().collect();
            jobs.sort_by_key(|job| job.seq);
            for job in jobs {
                let early = state.stepped_back;
                let claimed = state.ledger.claimed(job, now, early);
                let line = format!("   claims {} of generation {}", job.seq, job.generation.0);
                state.trace.add(line);
                held(state, claimed);
            }
        })
        .await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> StoreResult<Vec<bool>> {
        let list = settlements.clone();
        // Known before it is done: the process may die in between, and somebody come back with it.
        {
            let kept = &mut self.sim.state().ledger.settlements;
            kept.extend(list.iter().cloned());
            let over = kept.len().saturating_sub(KEPT);
            kept.drain(..over);
        }
        self.through("settle", self.inner.settle(settlements), move |state, done| {
            for (with, done) in list.iter().zip(done) {
                let line = format!("   {} {} at {}: {done}", with.seq, with.state, with.run_at);
                state.trace.add(line);
                if !done {
                    continue;
                }
                let settled = state.ledger.settled(with);
                held(state, settled);
                for child in &with.children {
                    let salt = state.ledger.of_seq(with.seq).and_then(|parent| parent.salt);
                    state.ledger.add(child, self.what(child, salt), salt);
                }
            }
        })
        .await
    }

    async fn record_intent(&self, job: JobSeq, generation: Generation) -> StoreResult<bool> {
        let work = self.inner.record_intent(job, generation);
        self.through("record_intent", work, move |state, done| {
            if *done {
                let intended = state.ledger.intended(job, generation.0);
                held(state, intended);
            }
        })
        .await
    }

    async fn withdraw_intent(&self, job: JobSeq, generation: Generation) -> StoreResult<bool> {
        let work = self.inner.withdraw_intent(job, generation);
        self.through("withdraw_intent", work, move |state, done| {
            if *done && let Some(one) = state.ledger.of_seq(job) {
                one.intent = false;
            }
        })
        .await
    }

    async fn cancel(&self, id: JobId, now: Timestamp) -> StoreResult<CancelOutcome> {
        self.through("cancel", self.inner.cancel(id, now), move |state, done| {
            let Some(one) = state.ledger.of_id(id) else { return };
            match done {
                CancelOutcome::Cancelled => one.state = JobState::Cancelled,
                CancelOutcome::Doubtful => one.state = JobState::Dead,
                CancelOutcome::Asked(_) => one.cancel = true,
                CancelOutcome::Ended(_) | CancelOutcome::Unknown => {}
            }
        })
        .await
    }

    async fn requeue(&self, requeue: Requeue) -> StoreResult<bool> {
        self.through("requeue", self.inner.requeue(requeue), move |state, done| {
            if *done {
                let requeued = state.ledger.requeued(&requeue);
                held(state, requeued);
            }
        })
        .await
    }

    async fn reschedule(&self, seq: JobSeq, run_at: Timestamp, ready: bool) -> StoreResult<bool> {
        let work = self.inner.reschedule(seq, run_at, ready);
        self.through("reschedule", work, move |state, done| {
            if *done && let Some(one) = state.ledger.of_seq(seq) {
                one.run_at = run_at;
            }
        })
        .await
    }

    async fn wake_kind(&self, queue: QueueId, kind: KindId, now: Timestamp) -> StoreResult<u64> {
        self.through("wake_kind", self.inner.wake_kind(queue, kind, now), untold).await
    }

    async fn close(&self) {
        self.sim.wait(self.inner.close());
    }

    async fn schedules(&self) -> StoreResult<Vec<ScheduleRow>> {
        self.through("schedules", self.inner.schedules(), untold).await
    }

    async fn save_schedule(
        &self,
        name: &str,
        spec: &str,
        next_at: Option<Timestamp>,
    ) -> StoreResult<()> {
        self.through("save_schedule", self.inner.save_schedule(name, spec, next_at), untold).await
    }

    async fn move_schedule(
        &self,
        name: &str,
        was: Timestamp,
        next_at: Option<Timestamp>,
    ) -> StoreResult<bool> {
        self.through("move_schedule", self.inner.move_schedule(name, was, next_at), untold).await
    }

    async fn forget_schedule(&self, name: &str) -> StoreResult<()> {
        self.through("forget_schedule", self.inner.forget_schedule(name), untold).await
    }

    async fn fire(&self, fire: Fire) -> StoreResult<bool> {
        self.through("fire", self.inner.fire(fire), untold).await
    }

    async fn ended_chains(
        &self,
        state: JobState,
        before: Timestamp,
        after: Option<(Timestamp, JobSeq)>,
        limit: u32,
    ) -> StoreResult<Vec<EndedChain>> {
        let work = self.inner.ended_chains(state, before, after, limit);
        self.through("ended_chains", work, untold).await
    }

    async fn prune(&self, roots: Vec<JobSeq>, cutoffs: Cutoffs) -> StoreResult<u64> {
        self.through("prune", self.inner.prune(roots, cutoffs), untold).await
    }

    async fn tombstone(&self, id: JobId) -> StoreResult<Option<JobState>> {
        self.through("tombstone", self.inner.tombstone(id), untold).await
    }

    async fn history_lengths(
        &self,
        of: History,
        after: JobSeq,
        limit: u32,
    ) -> StoreResult<Vec<(JobSeq, i64)>> {
        let work = self.inner.history_lengths(of, after, limit);
        self.through("history_lengths", work, untold).await
    }

    async fn trim_histories(&self, of: History, jobs: Vec<JobSeq>, keep: u32) -> StoreResult<()> {
        self.through("trim_histories", self.inner.trim_histories(of, jobs, keep), untold).await
    }

    async fn copy(&self) -> StoreResult<(File, i64)> {
        self.through("copy", self.inner.copy(), untold).await
    }

    async fn queue_id(&self, account: &str) -> StoreResult<QueueId> {
        self.through("queue_id", self.inner.queue_id(account), untold).await
    }

    async fn queue_ids(&self, accounts: Vec<String>) -> StoreResult<Vec<QueueId>> {
        self.through("queue_ids", self.inner.queue_ids(accounts), untold).await
    }

    async fn kind_id(&self, name: &str) -> StoreResult<KindId> {
        self.through("kind_id", self.inner.kind_id(name), untold).await
    }

    async fn actor_id(&self, who: &str) -> StoreResult<ActorId> {
        self.through("actor_id", self.inner.actor_id(who), untold).await
    }

    async fn extend(
        &self,
        leases: Vec<(JobSeq, Generation)>,
        until: Timestamp,
    ) -> StoreResult<Vec<JobSeq>> {
        self.through("extend", self.inner.extend(leases, until), untold).await
    }

    async fn running(&self, before: Option<Timestamp>) -> StoreResult<Vec<RunningJob>> {
        self.through("running", self.inner.running(before), untold).await
    }

    async fn ready_queues(&self) -> StoreResult<Vec<QueueId>> {
        self.through("ready_queues", self.inner.ready_queues(), untold).await
    }

    async fn replace_args(&self, seq: JobSeq, args_rev: i64, args: Vec<u8>) -> StoreResult<bool> {
        self.through("replace_args", self.inner.replace_args(seq, args_rev, args), untold).await
    }

    async fn job(&self, id: JobId) -> StoreResult<Option<JobRow>> {
        self.through("job", self.inner.job(id), |state, row| state.ledger.learn(row.as_ref())).await
    }

    async fn jobs(&self, filter: JobFilter) -> StoreResult<Vec<JobRow>> {
        self.through("jobs", self.inner.jobs(filter), untold).await
    }

    async fn result(&self, id: JobId) -> StoreResult<Option<StoredResult>> {
        self.through("result", self.inner.result(id), untold).await
    }

    async fn attempts(&self, seq: JobSeq) -> StoreResult<Vec<AttemptRow>> {
        self.through("attempts", self.inner.attempts(seq), untold).await
    }

    async fn observations(&self, seq: JobSeq) -> StoreResult<Vec<ObservationRow>> {
        self.through("observations", self.inner.observations(seq), untold).await
    }

    async fn chain(&self, root: JobSeq) -> StoreResult<Vec<ChainRow>> {
        self.through("chain", self.inner.chain(root), untold).await
    }

    async fn artifacts(&self, jobs: Vec<JobSeq>) -> StoreResult<Vec<ArtifactRow>> {
        self.through("artifacts", self.inner.artifacts(jobs), untold).await
    }

    async fn artifact(&self, id: JobId, name: &str) -> StoreResult<Option<StoredArtifact>> {
        self.through("artifact", self.inner.artifact(id, name), untold).await
    }

    async fn depths(&self) -> StoreResult<Vec<QueueDepth>> {
        self.through("depths", self.inner.depths(), untold).await
    }

    async fn counts(&self) -> StoreResult<Vec<(JobState, i64)>> {
        self.through("counts", self.inner.counts(), untold).await
    }

    async fn live_job(&self, queue: QueueId, uniq: [u8; 16]) -> StoreResult<Option<JobRow>> {
        let work = self.inner.live_job(queue, uniq);
        self.through("live_job", work, |state, row| state.ledger.learn(row.as_ref())).await
    }

    async fn queues(&self) -> StoreResult<Vec<QueueRow>> {
        self.through("queues", self.inner.queues(), untold).await
    }

    async fn save_queue(&self, queue: QueueRow) -> StoreResult<()> {
        self.through("save_queue", self.inner.save_queue(queue), untold).await
    }

    async fn kind_gates(&self) -> StoreResult<Vec<KindGateRow>> {
        self.through("kind_gates", self.inner.kind_gates(), untold).await
    }

    async fn save_kind_gate(&self, gate: KindGateRow, open: bool) -> StoreResult<()> {
        self.through("save_kind_gate", self.inner.save_kind_gate(gate, open), untold).await
    }

    async fn cadence(&self) -> StoreResult<Vec<CadenceRow>> {
        self.through("cadence", self.inner.cadence(), untold).await
    }

    async fn save_cadence(&self, row: CadenceRow) -> StoreResult<()> {
        self.through("save_cadence", self.inner.save_cadence(row), untold).await
    }

    async fn prices(&self) -> StoreResult<Vec<PriceRow>> {
        self.through("prices", self.inner.prices(), untold).await
    }

    async fn save_price(&self, row: PriceRow) -> StoreResult<()> {
        self.through("save_price", self.inner.save_price(row), untold).await
    }

    async fn gate_times(&self) -> StoreResult<Vec<GateTimeRow>> {
        self.through("gate_times", self.inner.gate_times(), untold).await
    }

    async fn save_gate_time(&self, row: GateTimeRow, forget: bool) -> StoreResult<()> {
        self.through("save_gate_time", self.inner.save_gate_time(row, forget), untold).await
    }

    async fn credentials(&self) -> StoreResult<Vec<CredentialRow>> {
        self.through("credentials", self.inner.credentials(), untold).await
    }

    async fn save_credential(&self, row: CredentialRow) -> StoreResult<()> {
        self.through("save_credential", self.inner.save_credential(row), untold).await
    }

    async fn sinks(&self) -> StoreResult<Vec<SinkRow>> {
        self.through("sinks", self.inner.sinks(), untold).await
    }

    async fn save_sink(&self, row: SinkRow) -> StoreResult<()> {
        self.through("save_sink", self.inner.save_sink(row), untold).await
    }

    async fn logins(&self) -> StoreResult<Vec<LoginRow>> {
        self.through("logins", self.inner.logins(), untold).await
    }

    async fn save_login(&self, row: LoginRow) -> StoreResult<()> {
        self.through("save_login", self.inner.save_login(row), untold).await
    }

    async fn forget_login(&self, login: Hash16) -> StoreResult<()> {
        self.through("forget_login", self.inner.forget_login(login), untold).await
    }

    async fn secret_changes(&self) -> StoreResult<Vec<SecretChangeRow>> {
        self.through("secret_changes", self.inner.secret_changes(), untold).await
    }

    async fn save_secret_change(&self, row: SecretChangeRow) -> StoreResult<()> {
        self.through("save_secret_change", self.inner.save_secret_change(row), untold).await
    }

    async fn forget_secret_change(
        &self,
        queue: QueueId,
        name: &str,
        pending: bool,
    ) -> StoreResult<()> {
        self.through(
            "forget_secret_change",
            self.inner.forget_secret_change(queue, name, pending),
            untold,
        )
        .await
    }

    async fn buckets(&self) -> StoreResult<Vec<BucketRow>> {
        self.through("buckets", self.inner.buckets(), untold).await
    }

    async fn save_buckets(&self, rows: Vec<BucketRow>) -> StoreResult<()> {
        self.through("save_buckets", self.inner.save_buckets(rows), untold).await
    }

    async fn drop_buckets(&self, budgets: Vec<String>, boot: &str, now_ms: i64) -> StoreResult<()> {
        self.through("drop_buckets", self.inner.drop_buckets(budgets, boot, now_ms), untold).await
    }

    async fn erase(&self, root: JobSeq, at: Timestamp, cut: bool) -> StoreResult<Erased> {
        self.through("erase", self.inner.erase(root, at, cut), untold).await
    }

    async fn erasures(&self) -> StoreResult<Vec<ErasureRow>> {
        self.through("erasures", self.inner.erasures(), untold).await
    }

    async fn all_cut(&self) -> StoreResult<()> {
        self.through("all_cut", self.inner.all_cut(), untold).await
    }

    async fn truncate_log(&self) -> StoreResult<bool> {
        self.through("truncate_log", self.inner.truncate_log(), untold).await
    }

    async fn sealed(
        &self,
        column: SealedColumn,
        begin: &[u8],
        after: Option<SealedAt>,
        limit: u32,
    ) -> StoreResult<Vec<SealedValue>> {
        self.through("sealed", self.inner.sealed(column, begin, after, limit), untold).await
    }

    async fn reseal(&self, column: SealedColumn, values: Vec<Resealed>) -> StoreResult<u64> {
        self.through("reseal", self.inner.reseal(column, values), untold).await
    }

    async fn refuse(&self, begin: &[u8]) -> StoreResult<()> {
        self.through("refuse", self.inner.refuse(begin), untold).await
    }

    async fn step_times(&self, step: ClockStep) -> StoreResult<()> {
        let by_ms = step.by_ms;
        self.through("step_times", self.inner.step_times(step), move |state, ()| {
            let waiting = |one: &&mut Entry| one.state == JobState::Queued;
            state.ledger.jobs.iter_mut().filter(waiting).for_each(|one| one.steps.push(by_ms));
        })
        .await
    }

    fn health(&self) -> &Health {
        self.inner.health()
    }

    async fn probe(&self) -> StoreResult<()> {
        self.through("probe", self.inner.probe(), untold).await
    }

    async fn meta(&self, name: &str) -> StoreResult<Option<Vec<u8>>> {
        self.through("meta", self.inner.meta(name), untold).await
    }

    async fn set_meta(&self, name: &str, value: Vec<u8>) -> StoreResult<()> {
        self.through("set_meta", self.inner.set_meta(name, value), untold).await
    }

    async fn describe(&self) -> StoreResult<StoreInfo> {
        self.through("describe", self.inner.describe(), untold).await
    }
}
