//! When what has ended is old enough to be forgotten.

use std::time::Duration;

use crate::{
    config::Retention,
    store::{Cutoffs, EndedChain},
    types::{JobState, Timestamp},
};

/// The most chains that one transaction takes, and the most bytes of files: nobody waits long for
/// it.
pub const MOST_CHAINS: usize = 50;
pub const MOST_BYTES: u64 = 8 << 20;

/// What must have ended before when. Cancelled jobs go as completed ones do: nothing of them is
/// left to be looked into.
#[must_use]
pub fn cutoffs(retention: &Retention, sure: Timestamp) -> Cutoffs {
    let Retention { completed, dead } = retention;
    Cutoffs { completed: sure.minus(*completed), dead: sure.minus(*dead) }
}

/// Before when a first job in this state must have ended for its chain to be looked at.
#[must_use]
pub const fn of_state(cutoffs: Cutoffs, state: JobState) -> Timestamp {
    match state {
        JobState::Dead => cutoffs.dead,
        _ => cutoffs.completed,
    }
}

/// Whether a whole chain is old enough: counted from the end of its last job, and as long as dead
/// ones are kept where one of them is.
#[must_use]
pub fn may_go(chain: &EndedChain, state: JobState, cutoffs: Cutoffs) -> bool {
    let dead = state == JobState::Dead || chain.dead;
    let before = if dead { cutoffs.dead } else { cutoffs.completed };
    chain.finished_at.max(chain.last) < before
}

/// How many of these go together, at least one.
#[must_use]
pub fn batch(chains: &[EndedChain]) -> usize {
    let mut bytes = 0_u64;
    let fits = chains.iter().take(MOST_CHAINS).take_while(|chain| {
        bytes = bytes.saturating_add(chain.files);
        bytes <= MOST_BYTES
    });
    fits.count().max(1)
}

/// How long the writer is left to others after a batch that took so long: it gets a fifth.
#[must_use]
pub fn pause(took: Duration) -> Duration {
    took.saturating_mul(4).clamp(Duration::from_millis(20), Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn chain(days_ago: u32, last: Option<u32>, dead: bool) -> EndedChain {
        let ago = |days: u32| NOW.minus(DAY * days);
        let last = last.map_or(Timestamp(0), ago);
        EndedChain { root: 1, finished_at: ago(days_ago), files: 0, last, dead }
    }

    #[test]
    fn a_chain_is_counted_from_its_end_and_goes_whole() {
        let cutoffs = cutoffs(&Retention::default(), NOW);
        let goes = |chain: EndedChain, state| may_go(&chain, state, cutoffs);
        assert!(goes(chain(31, None, false), JobState::Completed));
        assert!(goes(chain(31, None, false), JobState::Cancelled));
        assert!(!goes(chain(30, None, false), JobState::Completed), "not yet");
        assert!(!goes(chain(90, Some(29), false), JobState::Completed), "its follow ended later");
        assert!(goes(chain(90, Some(31), false), JobState::Completed));
        assert!(!goes(chain(90, Some(80), true), JobState::Completed), "a dead child");
        assert!(goes(chain(200, Some(181), true), JobState::Completed));
        assert!(!goes(chain(179, None, false), JobState::Dead));
        assert!(goes(chain(181, None, false), JobState::Dead));
        let live = EndedChain { last: Timestamp(i64::MAX), ..chain(900, None, false) };
        assert!(!goes(live, JobState::Completed));
    }

    #[test]
    fn files_make_batches_smaller() {
        let of = |files: &[u64]| {
            let chain = |files: &u64| EndedChain { files: *files, ..chain(40, None, false) };
            batch(&files.iter().map(chain).collect::<Vec<_>>())
        };
        assert_eq!(of(&[0; 500]), MOST_CHAINS);
        assert_eq!(of(&[3 << 20; 500]), 2);
        assert_eq!(of(&[100 << 20, 0]), 1, "a large one goes alone");
        assert_eq!(of(&[1]), 1);
    }

    #[test]
    fn others_get_most_of_the_time() {
        assert_eq!(pause(Duration::from_millis(50)), Duration::from_millis(200));
        assert_eq!(pause(Duration::ZERO), Duration::from_millis(20));
        assert_eq!(pause(Duration::from_hours(1)), Duration::from_secs(5));
    }
}
