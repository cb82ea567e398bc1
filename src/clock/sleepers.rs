//! Who sleeps by a clock that is moved by hand.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

/// By the time to wake at, in the order of their coming.
#[derive(Debug, Clone, Default)]
pub(super) struct Sleepers(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    now_ms: i64,
    count: u64,
    waiting: BTreeMap<(i64, u64), Waker>,
}

impl Sleepers {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all whose time has come.
    pub(super) fn wake(&self, now_ms: i64) {
        let mut inner = self.lock();
        inner.now_ms = now_ms;
        let later = inner.waiting.split_off(&(now_ms + 1, 0));
        let due = std::mem::replace(&mut inner.waiting, later);
        drop(inner);
        due.into_values().for_each(Waker::wake);
    }

    pub(super) fn next(&self) -> Option<i64> {
        self.lock().waiting.keys().next().map(|(at, _)| *at)
    }

    pub(super) async fn sleep(&self, until_ms: i64) {
        let mut bed = Bed { sleepers: self, key: None };
        poll_fn(|context| {
            let mut inner = self.lock();
            if inner.now_ms >= until_ms {
                return Poll::Ready(());
            }
            let key = *bed.key.get_or_insert_with(|| {
                inner.count += 1;
                (until_ms, inner.count)
            });
            inner.waiting.insert(key, context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Somebody's place among the sleepers, given up however the sleep ends.
struct Bed<'a> {
    sleepers: &'a Sleepers,
    key: Option<(i64, u64)>,
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.sleepers.lock().waiting.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use crate::{
        clock::{Clock, ManualClock},
        types::Timestamp,
    };

    #[test]
    fn sleeps_end_by_hand() {
        let hand = ManualClock::at(Timestamp(0));
        let clock = Clock::Simulated(hand.clone());
        let mut sleep = Box::pin(clock.sleep(Duration::from_secs(10)));
        assert!(sleep.as_mut().now_or_never().is_none());
        assert_eq!(hand.next_wake(), Some(Duration::from_secs(10)));
        hand.step_wall(3_600_000);
        hand.advance(Duration::from_secs(9));
        assert!(sleep.as_mut().now_or_never().is_none(), "a step lets no time pass");
        hand.advance(Duration::from_secs(1));
        assert!(sleep.as_mut().now_or_never().is_some());
        drop(sleep);
        assert_eq!(hand.next_wake(), None);
        assert!(Box::pin(clock.sleep(Duration::from_secs(1))).now_or_never().is_none());
        assert_eq!(hand.next_wake(), None, "who has gone away sleeps no more");
    }
}
