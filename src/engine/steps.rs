//! Steps of the wall clock, noticed by the clock that never steps.
//!
//! A life that a provider told as a duration goes on as before, whatever the wall clock says; one
//! that it told as a time is compared with the clock as it is now. Jobs that the daemon itself put
//! off (polls, retries) keep their distance, so that a step makes neither a flood of polls nor a
//! silence of years; what a client asked for at a time stays there. A suspend is no step: both
//! clocks go on meanwhile, and due times are compared anew at least every ten seconds.

use std::collections::BTreeMap;

use super::{Engine, time::CLOCK};
use crate::{
    clock::Now,
    credentials::cell::Cell,
    policy::{doubt::Kept, rotation::promise::earlier},
    store::{ClockStep, QueueId, StoreResult},
    telemetry::events::{Event, Name, emit},
    types::Timestamp,
};

/// Less than this is adjusted, not stepped.
const SMALLEST_MS: i64 = 2_000;

/// How far the wall clock is ahead of the time since boot, and who has not followed it yet.
#[derive(Debug)]
pub struct Steps {
    offset_ms: i64,
    /// By how much the times of jobs and gates are still to be moved.
    times_by: i64,
    /// Of which the time was in doubt, by the wall clock of then.
    doubtful: Option<(Timestamp, Timestamp)>,
    owed: BTreeMap<(QueueId, String), Owed>,
}

/// What is still to be done for a credential, until its job has followed it.
#[derive(Debug, Clone, Copy)]
struct Owed {
    /// A value that came since was counted by the new time.
    generation: i64,
    /// 0: it was moved, but its job was not.
    by_ms: i64,
}

impl Steps {
    #[must_use]
    pub fn since(now: Now) -> Self {
        Self { offset_ms: offset(now), times_by: 0, doubtful: None, owed: BTreeMap::new() }
    }

    /// Goes on with what was kept: a step that nobody saw is followed at the first look. After
    /// another boot that is one back, at least as far as the time that was seen last; one ahead
    /// cannot be told from a machine that was off.
    #[must_use]
    pub fn resumed(kept: &Kept, boot: &str, now: Now) -> Self {
        let expected = kept.expected(boot, now);
        if kept.is_of(boot) || now.wall < expected {
            let offset_ms = offset(Now { wall: expected, ..now });
            return Self { offset_ms, ..Self::since(now) };
        }
        Self::since(now)
    }

    /// By how much the wall clock was stepped since it was last looked at, if it was.
    pub const fn look(&mut self, now: Now) -> Option<i64> {
        let step = offset(now).saturating_sub(self.offset_ms);
        self.offset_ms = offset(now);
        if step.saturating_abs() < SMALLEST_MS { None } else { Some(step) }
    }

    fn owe<'c>(&mut self, cells: impl Iterator<Item = &'c Cell>, by_ms: i64) {
        for cell in cells {
            let generation = cell.generation();
            let owed = self.owed.entry((cell.queue, cell.name.clone()));
            let owed = owed.or_insert(Owed { generation, by_ms: 0 });
            if owed.generation != generation {
                *owed = Owed { generation, by_ms: 0 };
            }
            owed.by_ms = owed.by_ms.saturating_add(by_ms);
        }
    }
}

const fn offset(now: Now) -> i64 {
    now.wall.0.saturating_sub(now.boot_ms)
}

impl Engine {
    /// Moves what was counted by the wall clock, and the renewals with it, if it was stepped. What
    /// the store does not take now is done the next time; the others do not wait for it.
    pub async fn follow_clock(&self, steps: &mut Steps, now: Now) -> StoreResult<()> {
        if let Some(by_ms) = steps.look(now) {
            let detail =
                format!("the wall clock was stepped by {by_ms} ms; what is due follows it");
            emit(Name::ClockStepped, &Event { detail: Some(&detail), ..Event::default() });
            steps.owe(self.credentials.all().iter().map(|cell| &**cell), by_ms);
            self.gates.step(by_ms, now.wall);
            self.outages.step(by_ms);
            steps.times_by = steps.times_by.saturating_add(by_ms);
            if let Some(since) = self.time.look(now) {
                steps.doubtful = Some((since, Timestamp(now.wall.0.saturating_sub(by_ms))));
            }
        }
        let times = self.step_times(steps, now).await;
        times.and(self.step_credentials(steps).await)
    }

    /// Times of jobs and gates, all at once and together with the time that they were moved to.
    async fn step_times(&self, steps: &mut Steps, now: Now) -> StoreResult<()> {
        if steps.times_by == 0 {
            return Ok(());
        }
        let step = ClockStep {
            by_ms: steps.times_by,
            now: now.wall,
            made_in_doubt: steps.doubtful,
            kept: (CLOCK.to_owned(), self.time.kept(now)),
        };
        self.store.step_times(step).await?;
        (steps.times_by, steps.doubtful) = (0, None);
        for queue in self.store.ready_queues().await? {
            self.wake.ready(queue);
        }
        Ok(())
    }

    async fn step_credentials(&self, steps: &mut Steps) -> StoreResult<()> {
        let mut trouble = Ok(());
        let owing: Vec<(QueueId, String)> = steps.owed.keys().cloned().collect();
        for key in owing {
            let cell = self.credentials.cell(key.0, &key.1);
            if let Some(cell) = cell
                && let Some(owed) = steps.owed.get_mut(&key)
                && owed.generation == cell.generation()
                && let Err(error) = self.step(&cell, &mut owed.by_ms).await
            {
                trouble = trouble.and(Err(error));
                continue;
            }
            steps.owed.remove(&key);
        }
        trouble
    }

    async fn step(&self, cell: &Cell, by_ms: &mut i64) -> StoreResult<()> {
        let planned = cell.step(&*self.store, *by_ms, self.chance()).await?;
        *by_ms = 0;
        let Some(planned) = planned else { return Ok(()) };
        let Some(job) = self.store.live_job(cell.queue, self.renewal_key(&cell.name)).await? else {
            return Ok(());
        };
        let now = self.clock.wall();
        let at = earlier(Some(planned), cell.next_revocation(now)).unwrap_or(planned);
        self.store.reschedule(job.seq, at, at <= now).await?;
        self.wake.due(at);
        self.wake.ready(cell.queue);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    #[test]
    fn a_step_is_told_once_and_a_suspend_never() {
        let at = |wall, boot_ms| Now { wall: Timestamp(wall), boot_ms };
        let mut steps = Steps::since(at(1_000_000, 5_000));
        assert_eq!(steps.look(at(1_010_000, 15_000)), None, "time passes");
        assert_eq!(steps.look(at(8_210_000, 7_215_000)), None, "two hours of sleep");
        assert_eq!(steps.look(at(8_215_500, 7_220_000)), None, "half a second is adjusted");
        assert_eq!(steps.look(at(4_620_500, 7_225_000)), Some(-3_600_000));
        assert_eq!(steps.look(at(4_625_500, 7_230_000)), None);
        assert_eq!(steps.look(at(9_999_999, 7_230_000)), Some(5_374_499));
    }
}
