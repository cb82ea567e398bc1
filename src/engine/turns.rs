//! That the parts of the daemon turn: each counts its rounds, and can be asked for one.
//!
//! A part that hangs counts no more, whatever it hangs in. The dispatcher and the reaper sleep
//! between rounds, and the store's writer rests while nothing is to be written, so whoever wants to
//! know pokes them first ([`super::Engine::poke`]).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::Notify;

use super::Engine;

/// Rounds so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rounds {
    pub dispatcher: u64,
    pub reaper: u64,
    /// Answers of the store's writer, good or bad.
    pub writer: u64,
}

#[derive(Debug, Default)]
pub struct Turns {
    dispatcher: AtomicU64,
    reaper: AtomicU64,
    writer: AtomicU64,
    /// The writer was asked and has not answered yet.
    asked: AtomicBool,
    pub(super) reap: Notify,
}

impl Turns {
    pub(super) fn dispatched(&self) {
        self.dispatcher.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reaped(&self) {
        self.reaper.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn rounds(&self) -> Rounds {
        Rounds {
            dispatcher: self.dispatcher.load(Ordering::Relaxed),
            reaper: self.reaper.load(Ordering::Relaxed),
            writer: self.writer.load(Ordering::Relaxed),
        }
    }
}

impl Engine {
    /// Asks every part for a round soon.
    pub fn poke(self: &Arc<Self>) {
        self.wake.notify();
        self.turns.reap.notify_one();
        if !self.turns.asked.swap(true, Ordering::AcqRel) {
            let engine = Arc::clone(self);
            tokio::spawn(async move {
                // That it answers is what counts: a full disk is no reason to be killed.
                let _ = engine.store.probe().await;
                engine.turns.writer.fetch_add(1, Ordering::Relaxed);
                engine.turns.asked.store(false, Ordering::Release);
            });
        }
    }
}
