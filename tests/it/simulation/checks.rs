//! What must hold whenever all that can be done at one instant is done.

use std::time::Duration;

use attendant::{
    policy::budget::Class,
    store::{JobFilter, Settlement},
    types::JobState,
};

use super::{
    events::ACCOUNTS, ledger::Entry, people::CREDENTIAL, provider::MINUTE, sim::State, world::World,
};

/// A due job that nothing holds starts within this time, even where a wake-up was lost.
const STARTS_WITHIN: i64 = 3 * MINUTE / 2;
/// A credential is there again when its provider has been well for so long: five minutes of an open
/// breaker, five between two tries of a renewal, and what both take.
const SLACK: i64 = 12 * MINUTE;
/// All rows are compared at one instant of so many.
const ROWS: u64 = 40;

impl World {
    pub fn check(&mut self) {
        self.checks += 1;
        self.check_credentials();
        self.check_due();
        self.check_cancelled();
        if self.checks.is_multiple_of(ROWS) {
            self.check_rows();
        }
        self.come_back_late(self.checks.is_multiple_of(ROWS));
    }

    /// Never without a live credential, unless nothing could be done about it for longer than the
    /// window in which it is renewed.
    fn check_credentials(&self) {
        let Some(daemon) = &self.daemon else { return };
        let engine = &daemon.engine;
        if engine.is_draining() {
            return;
        }
        for account in ACCOUNTS {
            let Ok(cell) = engine.cell(account, CREDENTIAL) else { continue };
            let mut state = self.sim.state();
            let t = state.t;
            let hold = engine.queue_hold(cell.queue, Class::Renewal);
            if hold.is_some_and(|hold| hold.code != "gate") {
                // A person's pause, or a budget that leaves nothing even for renewals.
                state.providers.unwell(Some(account), t);
            }
            if cell.held(self.sim.wall(), Duration::ZERO).is_some() {
                continue;
            }
            let provider = &state.providers.all[account];
            // A renewal is due at seven tenths of a life at the latest.
            let due = provider.issued.map_or(0, |at| at + provider.life / 10 * 7);
            let since = provider.well_since(t).max(due).max(daemon.since);
            if t - since > SLACK {
                let ms = t - since;
                let why = engine.credentials.cell(cell.queue, CREDENTIAL).and_then(|cell| {
                    cell.failing(self.sim.wall()).or_else(|| cell.trouble(self.sim.wall()))
                });
                state.wrong(format!(
                    "{account} is without a credential, and one could be had for {ms} ms: {why:?}"
                ));
            }
        }
    }

    /// Every due job starts within its bound, or says what it waits for.
    fn check_due(&self) {
        let Some(daemon) = &self.daemon else { return };
        let (engine, wall) = (&daemon.engine, self.sim.wall());
        let full = self.concurrency < 64 && engine.running.count() > 0;
        let mut overdue = vec![];
        {
            let mut state = self.sim.state();
            let t = state.t;
            for one in &mut state.ledger.jobs {
                let due = one.state == JobState::Queued && one.run_at <= wall;
                if !due || full || engine.is_draining() || t - daemon.since < STARTS_WITHIN {
                    one.due_since = None;
                } else if t - *one.due_since.get_or_insert(t) > STARTS_WITHIN {
                    overdue.push(one.id);
                }
            }
        }
        for id in overdue {
            let row = self.sim.wait(self.store().job(id)).unwrap().unwrap();
            let held = engine.hold(&row).is_some();
            let mut state = self.sim.state();
            let Some(one) = state.ledger.of_id(id) else { continue };
            // A step of the clock may have moved it.
            one.follow_steps(row.run_at);
            if held || one.run_at > wall {
                one.due_since = None;
                continue;
            }
            let (kind, reference, run_at) = (one.kind.clone(), one.reference.clone(), one.run_at);
            state.wrong(format!(
                "{kind} {reference} was due at {run_at}, at {wall} it has not started, and \
                 waits for nothing"
            ));
        }
    }

    /// Nothing runs after it was cancelled, but what may have been carried out already.
    fn check_cancelled(&self) {
        let Some(daemon) = &self.daemon else { return };
        // The store takes the end of the attempt later, or the one who cancels has gone away
        // between the two steps of it.
        let late = self.t() - self.hung_up_at < 2 * MINUTE || daemon.engine.is_draining();
        let mut state = self.sim.state();
        let (t, late) = (state.t, late || state.flaky > 0);
        let mut wrong = vec![];
        for one in &mut state.ledger.jobs {
            if one.state != JobState::Running || !one.cancel || one.intent || late {
                one.unstopped = None;
            } else if *one.unstopped.get_or_insert(t) < t {
                wrong.push(format!("{} {} runs on though cancelled", one.kind, one.reference));
            }
        }
        for words in wrong {
            state.wrong(words);
        }
    }

    /// Nothing lost, nothing changed behind the answers, nothing carried out that is said not to be.
    fn check_rows(&self) {
        let filter = JobFilter { limit: 100_000, ..JobFilter::default() };
        let rows = self.sim.wait(self.store().jobs(filter)).unwrap();
        let mut state = self.sim.state();
        if let Err(words) = state.ledger.compare(&rows) {
            state.wrong(words);
        }
        check_truth(&mut state);
    }

    /// An attempt that lost its claim long ago comes back with its end: nothing is changed. Above
    /// all not while the job runs under another claim.
    fn come_back_late(&self, whatever: bool) {
        let late = {
            let state = self.sim.state();
            let kept = &state.ledger.settlements;
            let taken_anew = |one: &&Settlement| state.ledger.is_taken_anew(one);
            let over = |one: &&Settlement| whatever && !state.ledger.is_current(one);
            kept.iter().find(taken_anew).or_else(|| kept.iter().find(over)).cloned()
        };
        let Some(late) = late else { return };
        let (seq, store) = (late.seq, self.store());
        let all = async || {
            let filter = JobFilter { limit: 100_000, ..JobFilter::default() };
            let rows = store.jobs(filter).await.unwrap();
            format!("{rows:?} {:?}", store.attempts(seq).await.unwrap().len())
        };
        let (before, taken, after) = self.sim.wait(async {
            let before = all().await;
            let taken = store.settle(vec![late]).await.unwrap();
            (before, taken, all().await)
        });
        let mut state = self.sim.state();
        state.ledger.settlements.retain(|one| one.seq != seq);
        if taken != [false] || before != after {
            state.wrong(format!("a stale settle of job number {seq} was taken"));
        }
    }

    /// After the last fault all has come to its end, and the truth is told of it.
    pub fn check_end(&self) {
        self.check_rows();
        let mut state = self.sim.state();
        for plan in state.plans.clone() {
            let Some(id) = plan.accepted else { continue };
            let Some(one) = state.ledger.of_id(id).cloned() else {
                state.wrong(format!("{plan:?} was accepted and is lost"));
                continue;
            };
            let follow = match one.kind.as_str() {
                "acme.order" => "acme.check",
                "certn.application" => "certn.applicant",
                _ => continue,
            };
            let followed = state.ledger.about(follow, &one.reference).next().is_some();
            if one.state == JobState::Completed
                && one.code.as_deref() != Some("cancelled")
                && !followed
            {
                state.wrong(format!("{plan:?} is completed, and nobody follows it"));
            }
        }
    }
}

/// What is said of orders is what was carried out.
fn check_truth(state: &mut State) {
    let orders = state
        .ledger
        .jobs
        .iter()
        .filter(|one| matches!(one.kind.as_str(), "acme.order" | "certn.application"));
    let mut wrong = vec![];
    for one in orders {
        let times = state.providers.order(&one.reference).map_or(0, |order| order.times);
        let said = match one.state {
            JobState::Completed => times == 1,
            JobState::Cancelled => times == 0,
            JobState::Dead if !one.is_unknown() => times == 0,
            _ => times <= 1,
        };
        if !said {
            let Entry { kind, reference, state, code, .. } = one;
            wrong.push(format!("{kind} {reference} is {state} ({code:?}), carried out {times}×"));
        }
    }
    for words in wrong {
        state.wrong(words);
    }
}
