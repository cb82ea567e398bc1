//! What the dispatcher is told by others: which queues may have ready jobs, when the next one comes
//! due, which slots are free again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::holds::RENEWALS;
use crate::{store::QueueId, types::Timestamp};

/// How others tell the dispatcher that there is something to do.
#[derive(Debug, Default)]
pub struct Wake {
    pub(super) notify: Notify,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) ready: HashSet<QueueId>,
    pub(super) due: Option<Timestamp>,
    /// A slot was freed since the last round.
    pub(super) freed: bool,
    pub(super) in_flight: InFlight,
}

/// Attempts by queue, renewals apart.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    pub(super) total: usize,
    pub(super) renewals: usize,
    pub(super) queues: HashMap<QueueId, usize>,
}

impl Wake {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This queue may have ready jobs.
    pub fn ready(&self, queue: QueueId) {
        self.lock().ready.insert(queue);
        self.notify.notify_one();
    }

    /// A job comes due then.
    pub fn due(&self, at: Timestamp) {
        let mut inbox = self.lock();
        if inbox.due.is_none_or(|due| at < due) {
            inbox.due = Some(at);
            drop(inbox);
            self.notify.notify_one();
        }
    }

    pub fn notify(&self) {
        self.notify.notify_one();
    }

    /// An attempt needs its slot no more.
    pub fn freed(&self, queue: QueueId, priority: u8) {
        let mut inbox = self.lock();
        inbox.freed = true;
        if priority == RENEWALS {
            inbox.in_flight.renewals = inbox.in_flight.renewals.saturating_sub(1);
        } else {
            inbox.in_flight.total = inbox.in_flight.total.saturating_sub(1);
            if let Some(count) = inbox.in_flight.queues.get_mut(&queue) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    inbox.in_flight.queues.remove(&queue);
                }
            }
        }
        drop(inbox);
        self.notify.notify_one();
    }
}
