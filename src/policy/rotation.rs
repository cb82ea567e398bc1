//! Rotation, make-before-break: which step of it is next.
//!
//! A successor is created, verified by the provider's list and published before its predecessor is
//! revoked, which then stays valid for the overlap. Everything that a rotation knows is durable
//! before the next step begins, so [`next`] finds the right step after a crash between any two.

pub mod promise;
pub mod reconcile;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::types::Timestamp;

/// The longest time for which a create with a lost reply is looked for before another is sent.
const PATIENCE: Duration = Duration::from_mins(1);
/// A value of unknown life that nobody lets us revoke is given up so long after its revocation.
const HOPELESS: Duration = Duration::from_hours(24);

/// What is known of a rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// While when the value in hand may be handed out; the inner `None`: until it is refused. The
    /// outer `None`: there is none.
    pub usable_until: Option<Option<Timestamp>>,
    /// When the value in hand is to be followed by another; `None`: now.
    pub renew_at: Option<Timestamp>,
    /// What brings a successor failed, and is not tried again before.
    pub retry_at: Option<Timestamp>,
    /// When a create was sent whose end is not known.
    pub in_doubt_since: Option<Timestamp>,
    pub candidate: Option<Candidate>,
    pub retired: Vec<Retired>,
    /// The provider can be asked which values there are.
    pub can_list: bool,
}

/// A successor that is not yet published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub usable_until: Option<Timestamp>,
    /// How often it was looked for in the provider's list in vain.
    pub failures: u32,
}

/// A value that is out of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    pub expires_at: Option<Timestamp>,
    /// `None`: it is left to expire.
    pub revoke_at: Option<Timestamp>,
    /// Revoking it failed, and is not tried again before.
    pub retry_at: Option<Timestamp>,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask the provider to revoke this one of the retired.
    Revoke(usize),
    /// The successor expired before it was of use.
    Drop,
    /// Record the intent, and have a successor made.
    Create,
    /// A create may have been carried out: look for what it made.
    Reconcile,
    /// Look for the successor in the provider's list.
    Verify,
    /// `verified` is false where nothing else is left to use, and the list does not show it.
    Publish { verified: bool },
    /// Nothing before then.
    Wait(Timestamp),
}

impl Facts {
    fn usable(&self, now: Timestamp) -> bool {
        self.usable_until.is_some_and(|until| until.is_none_or(|until| now < until))
    }

    fn due(&self, now: Timestamp) -> bool {
        !self.usable(now) || self.renew_at.is_none_or(|at| at <= now)
    }
}

impl Retired {
    /// Whether nothing needs to be known of it any more, or nothing can be done about it.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        let hopeless = || self.revoke_at.map(|at| at.plus(HOPELESS));
        self.expires_at.or_else(hopeless).is_none_or(|at| at <= now)
    }

    fn due_at(&self, now: Timestamp) -> Option<Timestamp> {
        let revoke_at = self.revoke_at.filter(|_| !self.is_over(now))?;
        Some(self.retry_at.map_or(revoke_at, |retry_at| retry_at.max(revoke_at)))
    }
}

/// The next step. What cannot be done now because it failed a moment ago never stands in the way
/// of something else.
#[must_use]
pub fn next(now: Timestamp, facts: &Facts) -> Step {
    let due = |one: &Retired| one.due_at(now).is_some_and(|at| at <= now);
    if let Some(index) = facts.retired.iter().position(due) {
        return Step::Revoke(index);
    }
    let waits = facts.retry_at.is_some_and(|at| now < at);
    if let Some(candidate) = facts.candidate {
        if candidate.usable_until.is_some_and(|until| until <= now) {
            return Step::Drop;
        }
        if !facts.can_list {
            return Step::Publish { verified: true };
        }
        if candidate.failures > 0 && !facts.usable(now) {
            return Step::Publish { verified: false };
        }
        return if waits { Step::Wait(rest(now, facts)) } else { Step::Verify };
    }
    if waits || !(facts.in_doubt_since.is_some() || facts.due(now)) {
        return Step::Wait(rest(now, facts));
    }
    if facts.in_doubt_since.is_some() && facts.can_list { Step::Reconcile } else { Step::Create }
}

/// When there is something to do next, where there is nothing now.
fn rest(now: Timestamp, facts: &Facts) -> Timestamp {
    let under_way = facts.candidate.is_some() || facts.in_doubt_since.is_some();
    let successor = if under_way || facts.due(now) { facts.retry_at } else { facts.renew_at };
    // Until then the value in hand is better than one that nobody has seen in the list.
    let last_call = facts.usable_until.flatten().filter(|_| facts.candidate.is_some());
    let revocations = facts.retired.iter().filter_map(|one| one.due_at(now));
    let times = revocations.chain(successor).chain(last_call);
    times.filter(|at| now < *at).min().unwrap_or_else(|| now.plus(PATIENCE))
}

/// When a create with a lost reply, sent at `last_sent`, may be followed by another one if the list
/// shows nothing new: a slow server gets time to finish, as far as the value in hand allows.
#[must_use]
pub fn create_again_at(now: Timestamp, last_sent: Timestamp, facts: &Facts) -> Timestamp {
    let left = match facts.usable_until {
        None => Duration::ZERO,
        Some(None) => PATIENCE,
        Some(Some(until)) => until.since(now) / 8,
    };
    last_sent.plus(left.min(PATIENCE))
}
