//! The scripted providers: what they carried out, what they answer, and what is wrong with them.
//! They count by the time that no clock step moves.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use attendant::{
    outbound::{Answer, SendError},
    policy::classify::{Ambiguous, NotSent},
};
use http::{HeaderMap, HeaderValue, StatusCode};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::call::{Call, Op};

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// What is wrong with a provider for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    Unreachable,
    /// 503, with or without a time to come back.
    Busy(Option<u32>),
    Hangs,
    /// 500, and nothing is carried out.
    Broken,
    /// Only the requests for tokens fail.
    NoTokens,
    /// Everything is answered but requests for tokens.
    OnlyTokens,
}

/// What becomes of one request.
#[derive(Debug)]
pub enum Fate {
    Answered { after: i64, answer: Answer },
    Failed { after: i64, error: SendError },
    Hangs,
}

/// Something that was ordered.
#[derive(Debug, Clone)]
pub struct Order {
    pub times: u32,
    pub done_at: i64,
}

#[derive(Debug)]
pub struct Provider {
    pub name: &'static str,
    pub limits: Vec<(usize, i64)>,
    pub life: i64,
    /// Until when each token is taken.
    tokens: BTreeMap<String, i64>,
    /// The same, with those that were forgotten before.
    pub ends: BTreeMap<String, i64>,
    made: u64,
    /// When the last token arrived.
    pub issued: Option<i64>,
    sent: VecDeque<i64>,
    pub orders: BTreeMap<String, Order>,
    pub outages: Vec<(i64, i64, Outage)>,
    /// How likely one request meets trouble of its own, in thousandths.
    pub noise: u32,
    /// Since when a renewal could have succeeded, as far as the provider is concerned; in the
    /// future while it is known that none can.
    pub well_since: i64,
    chance: StdRng,
    pub requests: u64,
}

#[derive(Debug)]
pub struct Providers {
    pub all: BTreeMap<&'static str, Provider>,
    /// Orders that arrive when nobody waits for their answer any more.
    pub late: Vec<(i64, &'static str, String)>,
}

impl Providers {
    /// From now on, or until then, no renewal can succeed (of one provider, or of any).
    pub fn unwell(&mut self, name: Option<&str>, until: i64) {
        for one in self.all.values_mut().filter(|one| name.is_none_or(|name| name == one.name)) {
            one.well_since = one.well_since.max(until);
        }
    }

    /// Lets arrive what is due.
    pub fn arrive(&mut self, t: i64) {
        let (due, later) = self.late.drain(..).partition(|(at, ..)| *at <= t);
        self.late = later;
        let due: Vec<(i64, &'static str, String)> = due;
        for (_, name, reference) in due {
            if let Some(one) = self.all.get_mut(name) {
                one.carry_out(t, &reference);
            }
        }
    }

    /// Whether it was ordered, or still may be.
    pub fn is_late(&self, reference: &str) -> bool {
        self.late.iter().any(|(.., late)| late == reference)
    }

    pub fn order(&self, reference: &str) -> Option<&Order> {
        self.all.values().find_map(|one| one.orders.get(reference))
    }

    /// One request.
    pub fn handle(&mut self, call: &Call, t: i64) -> (Fate, Option<String>) {
        let Some(one) = self.all.get_mut(call.host.as_str()) else {
            return (unreachable(), Some(format!("a request to {}", call.host)));
        };
        one.requests += 1;
        let fate = one.trouble(call, t);
        if matches!(fate, Some(Trouble::Unreachable)) {
            one.well_since = t;
            return (unreachable(), None);
        }
        let wrong = one.count(t);
        let (fate, late) = one.meet(call, fate, t);
        if let Some(at) = late {
            self.late.push((at, self.all[call.host.as_str()].name, call.reference.clone()));
        }
        (fate, wrong)
    }
}

/// What is wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Unreachable,
    Status(u16, Option<u32>),
    /// Carried out, or not; no answer.
    Lost {
        carried: bool,
    },
    Hangs {
        carried: bool,
    },
    /// Carried out when the wait is over.
    Late,
    Truncated,
    Slow(i64),
    /// Carried out, and answered with 500.
    Stumbles,
}

impl Provider {
    pub fn new(name: &'static str, limits: &[(usize, i64)], seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed ^ u64::from(name.as_bytes()[0]));
        let life = [HOUR, 4 * HOUR, 10 * HOUR, DAY][chance.random_range(0..4)];
        Self {
            name,
            limits: limits.to_vec(),
            life,
            tokens: BTreeMap::new(),
            ends: BTreeMap::new(),
            made: 0,
            issued: None,
            sent: VecDeque::new(),
            orders: BTreeMap::new(),
            outages: vec![],
            noise: [0, 10, 60][chance.random_range(0..3)],
            well_since: 0,
            chance,
            requests: 0,
        }
    }

    /// All tokens are taken no more.
    pub fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    fn carry_out(&mut self, t: i64, reference: &str) {
        let minutes = f64::from(24 * 60_u32).powf(self.chance.random::<f64>());
        #[allow(clippy::cast_possible_truncation)] // some days at most
        let done_at = t + (minutes * 60_000.0) as i64;
        let order = Order { times: 0, done_at };
        self.orders.entry(reference.to_owned()).or_insert(order).times += 1;
    }

    /// No rolling window may hold more than its limit.
    fn count(&mut self, t: i64) -> Option<String> {
        self.sent.push_back(t);
        let longest = self.limits.iter().map(|(_, window)| *window).max().unwrap_or(0);
        while self.sent.front().is_some_and(|at| *at <= t - longest) {
            self.sent.pop_front();
        }
        self.limits.iter().find_map(|(most, window)| {
            let count = self.sent.iter().filter(|at| **at > t - window).count();
            let name = self.name;
            (count > *most).then(|| format!("{count} requests to {name} in {window} ms"))
        })
    }

    fn trouble(&mut self, call: &Call, t: i64) -> Option<Trouble> {
        let outage = self.outages.iter().find(|(from, to, _)| (*from..*to).contains(&t));
        let token = call.op == Op::Token;
        if let Some((_, _, outage)) = outage {
            let trouble = match outage {
                Outage::Unreachable => Some(Trouble::Unreachable),
                Outage::Busy(again) => Some(Trouble::Status(503, *again)),
                Outage::Hangs => Some(Trouble::Hangs { carried: false }),
                Outage::Broken => Some(Trouble::Status(500, None)),
                Outage::NoTokens => token.then_some(Trouble::Status(502, None)),
                Outage::OnlyTokens => (!token).then_some(Trouble::Status(500, None)),
            };
            if trouble.is_some() {
                return trouble;
            }
        }
        if self.noise == 0 || !self.chance.random_ratio(self.noise, 1_000) {
            return None;
        }
        let carried = self.chance.random();
        Some(match self.chance.random_range(0..10) {
            0 => Trouble::Unreachable,
            1 | 2 => Trouble::Lost { carried },
            3 => Trouble::Hangs { carried },
            4 => Trouble::Late,
            5 => Trouble::Truncated,
            6 => Trouble::Status(429, Some(self.chance.random_range(1..300))),
            7 => Trouble::Status(503, Some(self.chance.random_range(1..60))),
            8 => Trouble::Stumbles,
            _ => Trouble::Slow(self.chance.random_range(1..25_000)),
        })
    }

    /// The fate of a request that arrived; when it is carried out, if that is later.
    fn meet(&mut self, call: &Call, trouble: Option<Trouble>, t: i64) -> (Fate, Option<i64>) {
        if trouble.is_some() && (call.op == Op::Token || gates(trouble)) {
            self.well_since = self.well_since.max(t + still(trouble));
        }
        let lost = |what| Fate::Failed {
            after: 0,
            error: SendError::Ambiguous { what, words: "the simulation lost it".to_owned() },
        };
        match trouble {
            None => (Fate::Answered { after: 0, answer: self.answer(call, t) }, None),
            Some(Trouble::Slow(after)) => {
                (Fate::Answered { after, answer: self.answer(call, t) }, None)
            }
            Some(Trouble::Status(status, again)) => {
                (Fate::Answered { after: 0, answer: refusal(status, again) }, None)
            }
            Some(Trouble::Lost { carried }) => {
                if carried {
                    self.answer(call, t);
                }
                (lost(Ambiguous::Reset), None)
            }
            Some(Trouble::Hangs { carried }) => {
                if carried {
                    self.answer(call, t);
                }
                (Fate::Hangs, None)
            }
            Some(Trouble::Late) => {
                let order = call.op == Op::Order && self.takes(call, t);
                (Fate::Hangs, order.then(|| t + self.chance.random_range(0..10 * MINUTE)))
            }
            Some(Trouble::Truncated) => {
                self.answer(call, t);
                (lost(Ambiguous::Truncated), None)
            }
            Some(Trouble::Stumbles) => {
                self.answer(call, t);
                (Fate::Answered { after: 0, answer: refusal(500, None) }, None)
            }
            Some(Trouble::Unreachable) => (unreachable(), None),
        }
    }

    fn takes(&self, call: &Call, t: i64) -> bool {
        call.token.as_ref().is_some_and(|token| self.tokens.get(token).is_some_and(|to| t < *to))
    }

    /// Carries it out.
    fn answer(&mut self, call: &Call, t: i64) -> Answer {
        if call.op == Op::Token {
            self.made += 1;
            let token = format!("{}-{}", self.name, self.made);
            self.tokens.insert(token.clone(), t + self.life);
            self.ends.insert(token.clone(), t + self.life);
            self.tokens.retain(|_, to| t < *to);
            return answer(200, &json!({ "access_token": token, "expires_in": self.life / 1_000 }));
        }
        if !self.takes(call, t) {
            self.well_since = self.well_since.max(t);
            return answer(401, &json!({ "detail": "token" }));
        }
        let reference = call.reference.as_str();
        match call.op {
            Op::Order => {
                self.carry_out(t, reference);
                answer(201, &self.shown(reference, t))
            }
            Op::Check => answer(200, &self.shown(reference, t)),
            _ => answer(200, &json!({ "ref": reference })),
        }
    }

    /// Since when nothing stood between a renewal and its success.
    pub fn well_since(&self, t: i64) -> i64 {
        let begun = |one: &&(i64, i64, Outage)| one.0 <= t && one.2 != Outage::OnlyTokens;
        let ends = self.outages.iter().filter(begun).map(|(_, to, _)| (*to).min(t));
        ends.max().unwrap_or(0).max(self.well_since)
    }

    /// A thing that was ordered, as its provider shows it.
    pub fn shown(&self, reference: &str, t: i64) -> Value {
        let done = self.orders.get(reference).is_none_or(|order| order.done_at <= t);
        let (status, report) = if done { ("done", "COMPLETE") } else { ("open", "ANALYZING") };
        json!({ "ref": reference, "id": reference, "status": status, "report_status": report })
    }
}

/// Whether it may hold up all of the account.
fn gates(trouble: Option<Trouble>) -> bool {
    matches!(trouble, Some(Trouble::Status(_, Some(_))))
}

/// How long no renewal can be expected to succeed.
fn still(trouble: Option<Trouble>) -> i64 {
    match trouble {
        Some(Trouble::Status(_, Some(again))) => i64::from(again) * 1_000,
        Some(Trouble::Slow(after)) => after,
        Some(Trouble::Hangs { .. } | Trouble::Late) => MINUTE,
        _ => 0,
    }
}

fn unreachable() -> Fate {
    let words = "the simulation let nobody through".to_owned();
    Fate::Failed { after: 0, error: SendError::NotSent { what: NotSent::Connect, words } }
}

fn answer(status: u16, body: &Value) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let status = StatusCode::from_u16(status).unwrap();
    Answer { status, headers, body: body.to_string().into() }
}

fn refusal(status: u16, again: Option<u32>) -> Answer {
    let mut refusal = answer(status, &json!({ "detail": "the simulation" }));
    if let Some(seconds) = again {
        refusal.headers.insert("retry-after", HeaderValue::from(seconds));
    }
    refusal
}

impl Fate {
    /// For the trace.
    pub fn words(&self) -> String {
        match self {
            Self::Answered { after, answer } => format!("{} after {after}", answer.status),
            Self::Failed { error, .. } => format!("{error:?}"),
            Self::Hangs => "hangs".to_owned(),
        }
    }
}

/// As long as a request may take.
pub fn wait(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
