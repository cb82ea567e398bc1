//! One provider, its budget, and follows that are polled as a policy says.

use std::{collections::BTreeSet, time::Duration};

use attendant::{
    policy::{
        budget::{Budget, Class},
        cadence::{
            self, MIN_INTERVAL, PollState,
            model::{Found, Model, Subject},
            pace::Pace,
            price::Price,
        },
        limit::Limit,
    },
    types::Timestamp,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::world::{Applicant, stamp};

/// The whole budget; follows aim at 80 % of it, which is one call a minute.
pub const LIMITS: [&str; 2] = ["30/1m", "1800/24h"];
/// Calls per second of an even share.
pub const RATE: f64 = 1.0 / 60.0;

/// What came of each applicant.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Seconds from completion to noticing.
    pub delays: Vec<f64>,
    pub calls: Vec<u32>,
}

impl Outcome {
    fn new(applicants: usize) -> Self {
        Self { delays: vec![0.0; applicants], calls: vec![0; applicants] }
    }
}

/// A live follow as the daemon would know it.
#[derive(Debug, Clone, Copy)]
pub struct Follow {
    pub began: Timestamp,
    pub polled: Timestamp,
    pub status: Option<u8>,
    pub since: Timestamp,
    pub polls: u32,
}

impl Follow {
    fn subject(&self) -> Subject {
        Subject {
            began: self.began,
            since: self.since,
            status: self.status.map(|status| [status; 16]),
        }
    }
}

pub trait Policy {
    /// When to poll next; also for a new follow, which was polled when it began, so to say.
    fn next(&mut self, now: Timestamp, follow: &Follow, live: u32) -> Timestamp;
    /// What a poll at `now` found, before the follow is changed accordingly.
    fn found(&mut self, _now: Timestamp, _follow: &Follow, _found: Found) {}
    fn allowance(&mut self, _now: Timestamp) -> u32 {
        u32::MAX
    }
    fn next_free(&self, _now: Timestamp) -> Option<i64> {
        None
    }
    /// How much of the budget is used.
    fn tell_used(&mut self, _used: f64) {}
}

/// The daemon's.
pub struct Ours {
    learns: bool,
    model: Model,
    price: Price,
    pace: Pace,
    limits: Vec<Limit>,
    rng: StdRng,
    used: f64,
}

impl Ours {
    pub fn new(learns: bool) -> Self {
        let limits = limits();
        Self {
            learns,
            model: Model::default(),
            price: Price::default(),
            pace: Pace::new(&limits, 0),
            limits,
            rng: StdRng::seed_from_u64(1),
            used: 0.0,
        }
    }
}

impl Policy for Ours {
    fn next(&mut self, now: Timestamp, follow: &Follow, live: u32) -> Timestamp {
        let state = PollState {
            subject: follow.subject(),
            live_follows: live,
            min_interval: MIN_INTERVAL,
            used: self.used,
        };
        let jitter = self.rng.random();
        let poll = if follow.polls == 0 { cadence::first_poll } else { cadence::next_poll };
        poll(now, &state, &self.model, &mut self.price, &self.limits, jitter)
    }

    fn found(&mut self, now: Timestamp, follow: &Follow, found: Found) {
        self.pace.take(1);
        if self.learns {
            self.model.learn(&follow.subject(), follow.polled, now, found);
        }
    }

    fn allowance(&mut self, now: Timestamp) -> u32 {
        self.pace.allowance(now.0)
    }

    fn next_free(&self, now: Timestamp) -> Option<i64> {
        self.pace.next_free(now.0)
    }

    fn tell_used(&mut self, used: f64) {
        self.used = used;
    }
}

/// The next poll after a part of the age.
pub struct PartOfAge(pub f64);

impl Policy for PartOfAge {
    fn next(&mut self, now: Timestamp, follow: &Follow, _: u32) -> Timestamp {
        now.plus(now.since(follow.began).mul_f64(self.0).max(MIN_INTERVAL))
    }
}

/// From 15 s on, each interval twice the one before, up to a day.
pub struct Doubling;

impl Policy for Doubling {
    fn next(&mut self, now: Timestamp, follow: &Follow, _: u32) -> Timestamp {
        let doubled = MIN_INTERVAL.saturating_mul(1 << follow.polls.min(20));
        now.plus(doubled.min(Duration::from_hours(24)))
    }
}

pub fn limits() -> Vec<Limit> {
    LIMITS.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Polls each follow when its policy says, or as soon after as the budget allows, in the order in
/// which they came due; until the first `count` applicants are noticed.
pub fn run(all: &[Applicant], count: usize, policy: &mut impl Policy) -> Outcome {
    let mut outcome = Outcome::new(all.len());
    let mut budget = Budget::new(&limits());
    let mut follows: Vec<Option<Follow>> = vec![None; all.len()];
    let mut due: BTreeSet<(Timestamp, usize)> = BTreeSet::new();
    let (mut now, mut next, mut live, mut left) = (Timestamp(0), 0, 0, count);
    while left > 0 {
        let first = due.first().map(|one| one.0.max(now));
        if let Some(applicant) = all.get(next)
            && first.is_none_or(|first| stamp(applicant.begins) <= first)
        {
            let began = stamp(applicant.begins);
            let follow = Follow { began, polled: began, status: None, since: began, polls: 0 };
            live += 1;
            plan(policy, &mut due, &mut follows[next], began, (next, follow, live));
            next += 1;
            continue;
        }
        let Some(first) = first else { break };
        now = first;
        if budget.allowance(now.0, Class::Follow) == 0 || policy.allowance(now) == 0 {
            let free = [budget.next_free(now.0, Class::Follow), policy.next_free(now)];
            now = Timestamp(free.into_iter().flatten().max().unwrap_or(now.0 + 1));
            continue;
        }
        budget.take(now.0, 1);
        policy.tell_used(budget.used(now.0));
        let Some((_, id)) = due.pop_first() else { break };
        let Some(mut follow) = follows[id].take() else { continue };
        outcome.calls[id] += 1;
        if see(policy, &all[id], now, &mut follow) {
            outcome.delays[id] = now.since(stamp(all[id].completes)).as_secs_f64();
            live -= 1;
            left -= usize::from(id < count);
        } else {
            plan(policy, &mut due, &mut follows[id], now, (id, follow, live));
        }
    }
    outcome
}

fn plan(
    policy: &mut impl Policy,
    due: &mut BTreeSet<(Timestamp, usize)>,
    place: &mut Option<Follow>,
    now: Timestamp,
    (id, follow, live): (usize, Follow, u32),
) {
    let at = policy.next(now, &follow, live);
    *place = Some(Follow { polled: now, ..follow });
    due.insert((at, id));
}

/// Whether it is complete.
fn see(policy: &mut impl Policy, one: &Applicant, now: Timestamp, follow: &mut Follow) -> bool {
    let complete = stamp(one.completes) <= now;
    let status = Some(one.status(now));
    let found = match (complete, status == follow.status) {
        (true, _) => Found::Complete,
        (false, true) => Found::Same,
        (false, false) => Found::Changed,
    };
    policy.found(now, follow, found);
    if found == Found::Changed {
        (follow.status, follow.since) = (status, now);
    }
    follow.polls += 1;
    complete
}

/// A call at each tick, for the live follow that `worth(age at its last poll, age now)` is greatest
/// for: with the time since its last poll that is even round-robin.
pub fn ticks(
    all: &[Applicant],
    count: usize,
    rate: f64,
    worth: impl Fn(f64, f64) -> f64,
) -> Outcome {
    let mut outcome = Outcome::new(all.len());
    let mut live: Vec<(usize, f64)> = vec![];
    let (mut now, mut next, mut left) = (0.0, 0, count);
    while left > 0 {
        now += 1.0 / rate;
        while let Some(one) = all.get(next).filter(|one| one.begins <= now) {
            live.push((next, one.begins));
            next += 1;
        }
        let open = live.iter().enumerate();
        let open = open.filter(|(_, one)| now - one.1 >= MIN_INTERVAL.as_secs_f64());
        let worth = open.map(|(place, (id, last))| {
            let began = all[*id].begins;
            (place, worth(last - began, now - began))
        });
        let Some((place, _)) = worth.max_by(|a, b| a.1.total_cmp(&b.1)) else { continue };
        let (id, last) = &mut live[place];
        let id = *id;
        *last = now;
        outcome.calls[id] += 1;
        if all[id].completes <= now {
            outcome.delays[id] = now - all[id].completes;
            live.swap_remove(place);
            left -= usize::from(id < count);
        }
    }
    outcome
}

/// Every applicant every `every` seconds, whatever the budget.
pub fn always(all: &[Applicant], count: usize, every: f64) -> Outcome {
    let mut outcome = Outcome::new(all.len());
    for (id, one) in all.iter().enumerate().take(count) {
        let calls = ((one.completes - one.begins) / every).ceil();
        outcome.calls[id] = calls as u32;
        outcome.delays[id] = one.begins + calls * every - one.completes;
    }
    outcome
}
