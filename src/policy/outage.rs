//! What is told of a provider that goes on failing: the first failures, then summaries ever more
//! rarely, then that it is back. Nothing is lost by it: what is not told is counted and told with
//! the next line.
//!
//! Only what repeats itself is ever asked about here. Ends of jobs, credentials at risk, faults of
//! this side and what people do are told always, and pass this by.

use std::time::Duration;

use super::codes::Code;
use crate::types::Timestamp;

/// Between a line of an account's outage and the next, the first time and so on.
const QUIET: [Duration; 5] = [
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
];

/// It is back when it has answered for so long with no failure among the answers.
const STEADY: Duration = Duration::from_secs(30);

/// After so long without a failure the next one is another story.
const FORGOTTEN: Duration = Duration::from_hours(1);

/// So many codes are told apart.
const CODES: usize = 6;

/// What an account's log may repeat while its provider fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// An attempt of a job failed.
    Retry,
    /// A credential could not be renewed.
    Renewal,
    /// A value could not be revoked.
    Revocation,
    /// The queue was shut after a failure that is counted already.
    Gate,
    /// The queue was shut because the provider asked this request to wait.
    Wait,
}

impl Line {
    /// Its place in [`Outage::told`].
    const fn slot(self) -> usize {
        match self {
            Self::Retry => 0,
            Self::Renewal => 1,
            Self::Revocation => 2,
            Self::Gate | Self::Wait => 3,
        }
    }
}

/// What comes without another failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    StillFailing(Report),
    Recovered(Report),
}

/// An outage so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub since: Timestamp,
    /// From the first failure until now, or until the first answer after the last failure.
    pub lasted: Duration,
    pub failures: u64,
    /// Of these, those that no line has spoken of.
    pub untold: u64,
    /// How they failed, the most frequent first; others are in `failures` alone.
    pub codes: Vec<(Code, u64)>,
}

/// What is known of one account's provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watch {
    outage: Option<Outage>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Outage {
    since: Timestamp,
    last_failure: Timestamp,
    failures: u64,
    untold: u64,
    codes: Vec<(Code, u64)>,
    /// Which lines stand in the log already.
    told: [bool; 4],
    /// Nothing more is told before.
    quiet_until: Timestamp,
    /// How often [`QUIET`] has grown.
    step: usize,
    /// The first answer since the last failure.
    answered: Option<Timestamp>,
    /// It is back, and nothing has failed since.
    over: bool,
    /// How often it was told to be back.
    recoveries: usize,
    /// Its queue was shut.
    shut: bool,
}

/// Failures that are a provider's, and that other requests of the account may share.
#[must_use]
pub const fn is_providers(code: Code) -> bool {
    match code {
        Code::Dns
        | Code::Connect
        | Code::Tls
        | Code::Timeout
        | Code::Reset
        | Code::Truncated
        | Code::Unreadable
        | Code::RateLimited
        | Code::Redirected
        | Code::Unparsable => true,
        Code::Http(status) => status == 408 || status >= 500,
        _ => false,
    }
}

/// Whether the `count`th failure in a row of a thing by itself only says what was said: told are the
/// first, the second, the fourth, the eighth and so on.
#[must_use]
pub const fn repeats(count: u32) -> bool {
    count > 0 && !count.is_power_of_two()
}

impl Watch {
    /// Something failed; whether its line is told, or only counted.
    pub fn failed(&mut self, now: Timestamp, line: Line, code: Code) -> bool {
        let outage = self.outage.get_or_insert_with(|| Outage::begin(now));
        outage.look_back(now);
        let is_new = !std::mem::replace(&mut outage.told[line.slot()], true);
        outage.shut |= matches!(line, Line::Gate | Line::Wait);
        if line != Line::Gate {
            outage.count(now, code, is_new);
        }
        is_new
    }

    /// The provider answered a request as it should.
    pub fn answered(&mut self, now: Timestamp) {
        if let Some(outage) = &mut self.outage {
            outage.answered.get_or_insert(now);
        }
    }

    /// Looks whether there is something to tell. `waiting`: jobs are due that do not run for it.
    pub fn look(&mut self, now: Timestamp, waiting: bool) -> Option<News> {
        let outage = self.outage.as_mut()?;
        if let Some(at) = outage.steady_since(now) {
            if !outage.over {
                return outage.recover(now, at);
            }
        } else if outage.untold > 0 || waiting {
            return outage.sum_up(now);
        }
        // Over, or nothing is tried any more.
        if now.since(outage.last_failure) >= FORGOTTEN {
            self.outage = None;
        }
        None
    }

    /// The wall clock was stepped.
    pub fn step(&mut self, by_ms: i64) {
        let Some(outage) = &mut self.outage else { return };
        let times = [&mut outage.since, &mut outage.last_failure, &mut outage.quiet_until];
        for at in times.into_iter().chain(&mut outage.answered) {
            *at = Timestamp(at.0.saturating_add(by_ms));
        }
    }
}

impl Outage {
    const fn begin(now: Timestamp) -> Self {
        Self {
            since: now,
            last_failure: now,
            failures: 0,
            untold: 0,
            codes: vec![],
            told: [false; 4],
            quiet_until: now.plus(QUIET[0]),
            step: 1,
            answered: None,
            over: false,
            recoveries: 0,
            shut: false,
        }
    }

    /// A failure after all had seemed well: another story, or the same told anew once it may be.
    fn look_back(&mut self, now: Timestamp) {
        if self.over && now.since(self.last_failure) >= FORGOTTEN {
            *self = Self::begin(now);
        }
        if self.over && now >= self.quiet_until {
            (self.told, self.step) = ([false; 4], self.recoveries);
            self.hold_tongue(now);
        }
        self.over = false;
        self.answered = None;
    }

    fn count(&mut self, now: Timestamp, code: Code, told: bool) {
        self.last_failure = now;
        self.failures += 1;
        self.untold += u64::from(!told);
        if let Some((_, count)) = self.codes.iter_mut().find(|(known, _)| *known == code) {
            *count += 1;
        } else if self.codes.len() < CODES {
            self.codes.push((code, 1));
        }
        self.codes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    }

    /// Since when it answers, if it has done so long enough.
    fn steady_since(&self, now: Timestamp) -> Option<Timestamp> {
        let at = self.answered?;
        (now.since(at) >= STEADY).then_some(at)
    }

    fn hold_tongue(&mut self, now: Timestamp) {
        self.quiet_until = now.plus(QUIET[self.step.min(QUIET.len() - 1)]);
        self.step += 1;
    }

    fn sum_up(&mut self, now: Timestamp) -> Option<News> {
        if now < self.quiet_until {
            return None;
        }
        self.hold_tongue(now);
        let report = self.report(now);
        self.untold = 0;
        Some(News::StillFailing(report))
    }

    fn recover(&mut self, now: Timestamp, at: Timestamp) -> Option<News> {
        if self.recoveries > 0 && now < self.quiet_until {
            return None;
        }
        self.over = true;
        if self.untold == 0 && !self.shut && self.step == 1 {
            // The one line that there was said it all.
            return None;
        }
        let report = self.report(at);
        self.untold = 0;
        // If it fails again that is to be heard soon, but not each time.
        (self.step, self.recoveries) = (self.recoveries, self.recoveries + 1);
        self.hold_tongue(now);
        Some(News::Recovered(report))
    }

    fn report(&self, until: Timestamp) -> Report {
        Report {
            since: self.since,
            lasted: until.since(self.since),
            failures: self.failures,
            untold: self.untold,
            codes: self.codes.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
