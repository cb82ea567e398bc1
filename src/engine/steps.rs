//! Steps of the wall clock, noticed by the clock that never steps.
//!
//! A life that a provider told as a duration goes on as before, whatever the wall clock says; one
//! that it told as a time is compared with the clock as it is now. A suspend is no step: both
//! clocks go on meanwhile, and due times are compared anew at least every ten seconds.

use super::Engine;
use crate::{
    clock::Now,
    store::StoreResult,
    telemetry::events::{Event, Name, emit},
};

/// Less than this is adjusted, not stepped.
const SMALLEST_MS: i64 = 2_000;

/// How far the wall clock is ahead of the time since boot.
#[derive(Debug)]
pub struct Steps {
    offset_ms: i64,
}

impl Steps {
    #[must_use]
    pub const fn since(now: Now) -> Self {
        Self { offset_ms: offset(now) }
    }

    /// By how much the wall clock was stepped since it was last looked at, if it was.
    pub const fn look(&mut self, now: Now) -> Option<i64> {
        let step = offset(now).saturating_sub(self.offset_ms);
        self.offset_ms = offset(now);
        if step.saturating_abs() < SMALLEST_MS { None } else { Some(step) }
    }
}

const fn offset(now: Now) -> i64 {
    now.wall.0.saturating_sub(now.boot_ms)
}

impl Engine {
    /// Moves what was counted by the wall clock, and the renewals with it.
    pub async fn clock_stepped(&self, by_ms: i64) -> StoreResult<()> {
        let detail = format!("the wall clock was stepped by {by_ms} ms; renewals follow it");
        emit(Name::ClockStepped, &Event { detail: Some(&detail), ..Event::default() });
        let now = self.clock.wall();
        for cell in self.credentials.all() {
            let Some(at) = cell.step(&*self.store, by_ms, rand::random()).await? else { continue };
            let Some(job) = self.store.live_job(cell.queue, self.renewal_key(&cell.name)).await?
            else {
                continue;
            };
            self.store.reschedule(job.seq, at, at <= now).await?;
            self.wake.due(at);
            self.wake.ready(cell.queue);
        }
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
