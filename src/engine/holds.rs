//! Why a due job does not run, as `waiting_for` says it.

use super::{Engine, catalog::Account, gates::Hold};
use crate::{
    policy::budget::Class,
    store::{JobRow, KindId, QueueId},
    types::{JobState, Timestamp},
};

impl Engine {
    /// Why a due job does not run; `None` where nothing holds it.
    #[must_use]
    pub fn hold(&self, row: &JobRow) -> Option<Hold> {
        let now = self.clock.wall();
        let catalog = self.catalog();
        let kind = catalog.kind_id(&row.kind);
        if row.state != JobState::Queued || row.queue == catalog.local() {
            return None;
        }
        let Some(account) = catalog.account(&row.account) else {
            let detail = format!(
                "account `{}` is not configured any more: put it back and `attendant reload`; or \
                 cancel the job",
                row.account
            );
            return Some(Hold { code: "paused", until: None, detail });
        };
        if kind.is_none() {
            let detail = NO_KIND.to_owned();
            return Some(Hold { code: "gate", until: None, detail });
        }
        if let Some(why) = kind.and_then(|kind| self.gates.kind_is_shut(row.queue, kind)) {
            return Some(Hold { code: "gate", until: None, detail: why });
        }
        if row.run_at > now {
            // Sent away until the gate opens, or due before it does.
            let gate = self.gates.hold(account.queue, None, now);
            return gate.filter(|hold| hold.until.is_some_and(|until| row.run_at <= until));
        }
        self.queue_hold(account.queue, class_of(row.priority))
    }

    /// A job's deadline without the time for which its queue or its kind was held shut: that does
    /// not use it up.
    #[must_use]
    pub fn deadline(
        &self,
        (queue, kind): (QueueId, KindId),
        created_at: Timestamp,
        given: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let until = (created_at, self.clock.wall());
        given.map(|given| given.plus(self.gates.shut_between(queue, kind, until)))
    }

    /// The same as it ends a job: none does while the clock is in doubt.
    pub(super) fn binding_deadline(
        &self,
        of: (QueueId, KindId),
        created_at: Timestamp,
        given: Option<Timestamp>,
    ) -> Option<Timestamp> {
        self.deadline_of(self.deadline(of, created_at, given))
    }

    /// What holds the due jobs of a queue: of several reasons the one that lasts longest.
    #[must_use]
    pub fn queue_hold(&self, queue: QueueId, class: Class) -> Option<Hold> {
        let now = self.clock.wall();
        let catalog = self.catalog();
        let account = catalog.by_queue(queue)?;
        let gate = self.gates.hold(queue, None, now);
        let inside = self.hold_inside(account, class, now);
        match (gate, inside) {
            (Some(gate), Some(inside)) if lasts_longer(&inside, &gate) => Some(inside),
            (gate, inside) => gate.or(inside),
        }
    }

    /// What would hold them if the gate were open.
    fn hold_inside(&self, account: &Account, class: Class, now: Timestamp) -> Option<Hold> {
        if class != Class::Renewal
            && let Some(trouble) = self.credentials.blocked(account.queue, &account.blocking, now)
        {
            return Some(Hold {
                code: "credential",
                until: trouble.retry_at,
                detail: trouble.detail,
            });
        }
        let until = self.next_start(account, class)?;
        let detail = format!("the budget of {} is spent", account.name);
        Some(Hold { code: "budget", until: Some(until), detail })
    }
}

/// Without an end it waits for a person or for an answer that is on its way.
fn lasts_longer(one: &Hold, other: &Hold) -> bool {
    match (one.until, other.until) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(one), Some(other)) => one > other,
    }
}

/// Why a job waits whose kind is gone.
pub const NO_KIND: &str = "no definition has its kind any more: put it back and `attendant reload`; \
                           or cancel the job";

/// Priorities as they are stored. The contract's 0 to 3 are 1 to 4 here, so that renewals have one
/// that no client can ask for: they have slots of their own, and nothing else may take those.
pub const RENEWALS: u8 = 0;
/// The last priority whose jobs count as calls.
pub const CALLS: u8 = 2;
pub const LAST: u8 = 4;

/// A client's priority (0 to 3) as it is stored.
#[must_use]
pub const fn stored_priority(priority: u8) -> u8 {
    priority + 1
}

/// A stored priority as the contract counts it.
#[must_use]
pub const fn shown_priority(stored: u8) -> u8 {
    stored.saturating_sub(1)
}

/// By its stored priority: what share of a budget a job may use.
#[must_use]
pub const fn class_of(stored: u8) -> Class {
    match stored {
        RENEWALS => Class::Renewal,
        1..=CALLS => Class::Call,
        _ => Class::Follow,
    }
}
