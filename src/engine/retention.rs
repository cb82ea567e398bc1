//! Forgets what has ended long ago, in small batches between which others write.

use std::{sync::Arc, time::Duration};

use super::Engine;
use crate::{
    policy::retention::{self, MOST_CHAINS},
    store::{Cutoffs, EndedChain, History, JobSeq, StoreResult},
    telemetry::events::{Event, Name, emit},
    types::{JobState, Timestamp},
};

/// Between two passes.
const EVERY: Duration = Duration::from_mins(10);
/// After the start: first things first.
const FIRST: Duration = Duration::from_mins(1);
/// Histories are measured once in so many passes: each reads all of them.
const MEASURED_EVERY: u32 = 144;
/// The newest attempts and observations of a job that are kept: a renewal lives as long as its
/// account.
pub const HISTORY_KEPT: u32 = 200;
/// How many jobs' histories are measured at once.
const PAGE: u32 = 2_000;

const ENDED: [JobState; 3] = [JobState::Completed, JobState::Dead, JobState::Cancelled];

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub chains: u64,
    pub jobs: u64,
}

/// Prunes now and then until the engine drains.
pub async fn run(engine: Arc<Engine>) {
    engine.clock.sleep(FIRST).await;
    for pass in 0_u32.. {
        if let Err(error) = engine.prune().await {
            engine.store_works(Some(error.to_string()));
        } else if pass % MEASURED_EVERY == 0
            && let Err(error) = engine.trim_histories().await
        {
            engine.store_works(Some(error.to_string()));
        }
        engine.clock.sleep(EVERY).await;
    }
}

impl Engine {
    /// One pass over everything that has ended long enough ago. Nothing while the clock is in doubt.
    pub async fn prune(&self) -> StoreResult<Pruned> {
        let retention = self.catalog().retention.clone();
        let mut done = Pruned::default();
        for state in ENDED {
            let mut after = None;
            loop {
                let sure = self.sure_time();
                if self.clock_is_doubtful() || self.is_draining() {
                    return Ok(done);
                }
                let cutoffs = retention::cutoffs(&retention, sure);
                let before = retention::of_state(cutoffs, state);
                let page = u32::try_from(MOST_CHAINS).unwrap_or(u32::MAX);
                let chains = self.store.ended_chains(state, before, after, page).await?;
                let Some(last) = chains.last() else { break };
                after = Some((last.finished_at, last.root));
                let old = chains.iter().filter(|one| retention::may_go(one, state, cutoffs));
                let old: Vec<EndedChain> = old.copied().collect();
                self.prune_all(&old, cutoffs, &mut done).await?;
            }
        }
        if done.chains > 0 {
            let detail = format!(
                "{} chains with {} jobs are not kept any longer ([retention])",
                done.chains, done.jobs
            );
            emit(Name::JobPruned, &Event { detail: Some(&detail), ..Event::default() });
        }
        Ok(done)
    }

    async fn prune_all(
        &self,
        mut chains: &[EndedChain],
        cutoffs: Cutoffs,
        done: &mut Pruned,
    ) -> StoreResult<()> {
        while !chains.is_empty() && !self.is_draining() {
            let (batch, rest) = chains.split_at(retention::batch(chains));
            let roots: Vec<JobSeq> = batch.iter().map(|chain| chain.root).collect();
            let began = self.clock.now().boot_ms;
            {
                // Nobody revives an ended job meanwhile.
                let _alone = self.reviving.write().await;
                done.jobs += self.store.prune(roots, cutoffs).await?;
            }
            done.chains += batch.len() as u64;
            let took = self.clock.now().boot_ms.saturating_sub(began);
            let took = Duration::from_millis(u64::try_from(took).unwrap_or(0));
            self.clock.sleep(retention::pause(took)).await;
            chains = rest;
        }
        Ok(())
    }

    /// Leaves the newest of the histories of jobs that live long.
    pub async fn trim_histories(&self) -> StoreResult<()> {
        for of in History::ALL {
            let mut after = JobSeq::MIN;
            loop {
                let page = self.store.history_lengths(of, after, PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = *last;
                let long = page.into_iter().filter(|(_, count)| *count > i64::from(HISTORY_KEPT));
                let long: Vec<JobSeq> = long.map(|(job, _)| job).collect();
                if !long.is_empty() {
                    self.store.trim_histories(of, long, HISTORY_KEPT).await?;
                }
                if self.is_draining() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether a job of which nothing is known may have been pruned: it would have been made before
    /// anything that is kept must have ended.
    #[must_use]
    pub fn may_be_pruned(&self, made_at: Timestamp) -> bool {
        let cutoffs = retention::cutoffs(&self.catalog().retention, self.sure_time());
        made_at < cutoffs.completed.max(cutoffs.dead)
    }
}
