//! What happens to the daemon from outside, drawn from the seed before it begins.

use std::collections::BTreeMap;

use attendant::types::JobId;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    people::{Ask, Plan},
    provider::{DAY, HOUR, MINUTE, Outage, Provider, Providers},
    sim::State,
};

pub const ACCOUNTS: [&str; 3] = ["acme", "certn", "plain"];

#[derive(Debug, Clone)]
pub enum Event {
    /// Somebody comes; for what is drawn then.
    Visit,
    /// Somebody orders what must not be ordered twice.
    Order,
    Ask(Ask),
    /// Tokens of an account are taken no more.
    Forget(&'static str),
    /// The process dies so many points from now.
    Die(u32),
    /// SIGTERM.
    Stop,
    Boot,
    /// The wall clock is stepped.
    Step(i64),
    /// The dispatcher's longest sleep is over.
    Poke,
    /// Somebody who asked for something goes away before the answer.
    HangUp,
    /// Somebody cancels the next attempt that is seen running.
    Recall,
    /// From now on nothing fails any more.
    Calm,
    /// A person looks after what needs one.
    Tidy,
}

#[derive(Debug)]
pub struct Events {
    pub chance: StdRng,
    due: BTreeMap<(i64, u64), Event>,
    count: u64,
    pub end: i64,
    /// Of an hour's crashes and such.
    pub reboots: bool,
    serial: u32,
}

/// Somewhere from `low` to `high`, small ones as likely as large ones.
fn spread(chance: &mut StdRng, low: f64, high: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation)] // both are far below
    let drawn = (low * (high / low).powf(chance.random::<f64>())) as i64;
    drawn
}

impl Events {
    pub fn new(seed: u64) -> (Self, Providers) {
        let mut chance = StdRng::seed_from_u64(seed);
        let end = [1, 1, 2, 3, 5, 10][chance.random_range(0..6)] * DAY;
        let steps = chance.random_ratio(1, 3);
        let mut events =
            Self { chance, due: BTreeMap::new(), count: 0, end, reboots: !steps, serial: 0 };
        let mut all = BTreeMap::new();
        let limits: [&[(usize, i64)]; 3] =
            [&[(12, MINUTE), (300, 6 * HOUR)], &[(10, MINUTE), (200, 12 * HOUR)], &[]];
        for (name, limits) in ACCOUNTS.into_iter().zip(limits) {
            all.insert(name, Provider::new(name, limits, seed));
        }
        let mut providers = Providers { all, late: vec![] };
        events.draw(&mut providers, steps);
        (events, providers)
    }

    pub fn at(&mut self, t: i64, event: Event) {
        self.count += 1;
        self.due.insert((t, self.count), event);
    }

    pub fn next(&self) -> Option<i64> {
        self.due.keys().next().map(|(t, _)| *t)
    }

    pub fn take(&mut self, t: i64) -> Option<Event> {
        let first = self.due.first_entry()?;
        (first.key().0 <= t).then(|| first.remove())
    }

    /// Fills the time until the end.
    fn draw(&mut self, providers: &mut Providers, steps: bool) {
        let (end, days) = (self.end, self.end / DAY);
        let often = [4, 10, 30][self.chance.random_range(0..3)];
        for _ in 0..days * often {
            let t = self.chance.random_range(0..end);
            // Some come together.
            for _ in 0..[1, 1, 1, 4][self.chance.random_range(0..4)] {
                let t = t + self.chance.random_range(0..200);
                self.at(t, Event::Visit);
            }
        }
        for _ in 0..days * 4 {
            let t = self.chance.random_range(0..end);
            let event = match self.chance.random_range(0..10) {
                0..=4 => Event::Die(self.chance.random_range(0..40)),
                5 => Event::Stop,
                6 => Event::Forget(ACCOUNTS[self.chance.random_range(0..3)]),
                7 if steps => Event::Step(self.step()),
                8 => Event::Recall,
                _ => Event::HangUp,
            };
            if matches!(event, Event::Die(_)) {
                // In the midst of something.
                self.at(t, Event::Order);
            }
            self.at(t, event);
        }
        for one in providers.all.values_mut() {
            for _ in 0..days {
                if self.chance.random_ratio(1, 2) {
                    let from = self.chance.random_range(0..end);
                    let long = spread(&mut self.chance, 20_000.0, 36_000_000.0);
                    one.outages.push((from, (from + long).min(end), self.outage()));
                }
            }
        }
        self.at(end, Event::Calm);
        self.at(0, Event::Boot);
    }

    fn step(&mut self) -> i64 {
        let by = spread(&mut self.chance, 3_000.0, 7_200_000.0);
        if self.chance.random() { by } else { -by }
    }

    fn outage(&mut self) -> Outage {
        let again = self.chance.random_range(1..1_000);
        match self.chance.random_range(0..7) {
            0 | 1 => Outage::Unreachable,
            2 => Outage::Busy(Some(again)),
            3 => Outage::Busy(None),
            4 => Outage::Hangs,
            5 => Outage::NoTokens,
            _ => [Outage::Broken, Outage::OnlyTokens][self.chance.random_range(0..2)],
        }
    }

    /// What somebody who comes now wants.
    pub fn visit(&mut self, state: &mut State) -> Option<Ask> {
        let account = ACCOUNTS[self.chance.random_range(0..3)];
        match self.chance.random_range(0..100) {
            0..55 => Some(Ask::Enqueue(self.plan(state, account))),
            55..60 => self.old_key(state),
            60..72 => self.one_of(&state.some(|one| !one.state.has_ended())).map(Ask::Cancel),
            72..80 => self.one_of(&state.some(|one| one.state.has_ended())).map(Ask::Retry),
            80..88 => self.one_of(&state.some(super::ledger::Entry::is_unknown)).map(Ask::Resolve),
            88..90 => {
                let long = spread(&mut self.chance, 10_000.0, 3_600_000.0);
                self.at(state.t + long, Event::Ask(Ask::Pause(account, false)));
                Some(Ask::Pause(account, true))
            }
            90..93 => Some(Ask::Renew(account)),
            _ => Some(Ask::Value(account)),
        }
    }

    /// An order that is due at once.
    pub fn order(&mut self, state: &mut State) -> Ask {
        let account = ACCOUNTS[self.chance.random_range(0..3)];
        let n = self.plan(state, account);
        let plan = &mut state.plans[n];
        plan.kind = if account == "certn" { "certn.application" } else { "acme.order" };
        plan.key = Some(format!("o{}", self.serial));
        plan.later = None;
        Ask::Enqueue(n)
    }

    fn one_of(&mut self, ids: &[JobId]) -> Option<JobId> {
        (!ids.is_empty()).then(|| ids[self.chance.random_range(0..ids.len())])
    }

    fn plan(&mut self, state: &mut State, account: &'static str) -> usize {
        self.serial += 1;
        let kind = match (account, self.chance.random_range(0..10)) {
            ("certn", 0..8) => "certn.application",
            ("certn", _) => "certn.applicant",
            (_, 0..5) => "acme.order",
            (_, 5..7) => "acme.check",
            _ => "acme.thing",
        };
        let never = matches!(kind, "certn.application" | "acme.order");
        let key = (never || self.chance.random()).then(|| format!("k{}", self.serial));
        let later = self.chance.random_ratio(1, 5);
        let later = later.then(|| self.chance.random_range(1..6 * HOUR));
        let reference = format!("r{}", self.serial);
        state.plans.push(Plan { kind, account, reference, key, later, accepted: None });
        state.plans.len() - 1
    }

    /// A key that came before, with the same arguments or with others.
    fn old_key(&mut self, state: &State) -> Option<Ask> {
        let keyed: Vec<usize> = state
            .plans
            .iter()
            .enumerate()
            .filter(|(_, plan)| plan.key.is_some() && plan.accepted.is_some())
            .map(|(n, _)| n)
            .collect();
        let n = *keyed.get(self.chance.random_range(0..keyed.len().max(1)))?;
        Some(if self.chance.random() { Ask::Enqueue(n) } else { Ask::Misuse(n) })
    }
}
