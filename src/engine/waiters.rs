//! Those who wait for a job to end, and those who follow every change.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::watch;

use crate::store::JobSeq;

/// Told by the first job of a chain: whoever waits looks again.
#[derive(Debug, Default)]
pub struct Waiters {
    count: AtomicUsize,
    chains: Mutex<HashMap<JobSeq, watch::Sender<u64>>>,
}

impl Waiters {
    /// Hears of every end in the chain of `root`. Subscribe first, look second.
    pub fn subscribe(&self, root: JobSeq) -> watch::Receiver<u64> {
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has gone away is forgotten when the next one comes.
        chains.retain(|_, sender| sender.receiver_count() > 0);
        let receiver = chains.entry(root).or_insert_with(|| watch::channel(0).0).subscribe();
        self.count.store(chains.len(), Ordering::Release);
        receiver
    }

    /// A job of this chain has ended.
    pub fn ended(&self, root: JobSeq) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = chains.get(&root) {
            sender.send_modify(|ends| *ends += 1);
        }
    }
}
