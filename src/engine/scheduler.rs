//! Runs what is scheduled: decides over the occurrences that have come, and stores the job of each
//! together with the place that the schedule has reached, so that a crash doubles and loses none.
//!
//! Configuration comes from the catalogue, and is looked at anew in each round: who replaces the
//! catalogue calls [`Scheduler::changed`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::sync::Notify;

use super::{
    Engine,
    actions::{Refusal, Submitted},
    enqueue,
    schedules::Schedule,
};
use crate::{
    config::Misfire,
    crash,
    policy::schedule::misfire::{self, Decision},
    store::{ActorId, Fire, OccurrenceRow, ScheduleRow, StoreResult},
    telemetry::events::{Event, Name, emit},
    types::{JobId, JobState, Timestamp},
};

/// Due times are compared anew at least so often, so that a step of the clock is noticed.
const LOOK_AT_LEAST: Duration = Duration::from_secs(10);
/// A clock that was put back by more begins anew from the time that it is; by less, nothing is run
/// again.
const PUT_BACK: Duration = Duration::from_hours(1);

/// What wakes the scheduler.
#[derive(Debug, Default)]
pub struct Scheduler {
    changed: Notify,
    /// The last occurrence of each schedule that was run while the clock was in doubt, and after how
    /// many of its steps: until the time is sure the schedule itself stays where it is.
    in_doubt: Mutex<BTreeMap<String, (u64, Timestamp)>>,
}

impl Scheduler {
    fn in_doubt(&self) -> MutexGuard<'_, BTreeMap<String, (u64, Timestamp)>> {
        self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_new_in_doubt(&self, schedule: &str, steps: u64, at: Timestamp) -> bool {
        let last = self.in_doubt().get(schedule).copied();
        last.is_none_or(|(then, last)| then != steps || at > last)
    }

    fn was_run_in_doubt(&self, schedule: &str, steps: u64, at: Timestamp) {
        self.in_doubt().insert(schedule.to_owned(), (steps, at));
    }

    /// The catalogue has other schedules now: they are looked at at once.
    pub fn changed(&self) {
        self.changed.notify_one();
    }
}

/// A schedule for people.
#[derive(Debug, Serialize)]
pub struct ScheduleView {
    pub name: String,
    pub cron: String,
    pub timezone: String,
    pub misfire: &'static str,
    pub kind: String,
    pub account: String,
    pub next_at: Option<Timestamp>,
    pub last: Option<LastRun>,
}

/// The last occurrence that was run.
#[derive(Debug, Serialize)]
pub struct LastRun {
    pub at: Timestamp,
    pub fired_at: Timestamp,
    pub job_id: JobId,
    /// How its job stands; `pruned` where that is not kept any more.
    pub state: &'static str,
    /// The job's last error.
    pub code: Option<String>,
}

/// Looks at the schedules until the engine drains.
pub async fn run(engine: Arc<Engine>) {
    loop {
        let next = match engine.look_at_schedules().await {
            Ok(next) => next,
            Err(error) => {
                engine.store_works(Some(error.to_string()));
                None
            }
        };
        let now = engine.clock.wall();
        let until = next.map_or(LOOK_AT_LEAST, |at| at.since(now).min(LOOK_AT_LEAST));
        tokio::select! {
            () = engine.clock.sleep(until.max(Duration::from_millis(1))) => {}
            () = engine.schedules.changed.notified() => {}
        }
    }
}

impl Engine {
    /// One look at all schedules. When the next occurrence is.
    pub async fn look_at_schedules(&self) -> StoreResult<Option<Timestamp>> {
        let catalog = self.catalog();
        if self.is_draining() || self.store_trouble().is_some_and(|one| one.refusal().is_some()) {
            return Ok(None);
        }
        let now = self.mind_clock().await?.wall;
        let rows = self.store.schedules().await?;
        let mut known: BTreeMap<String, ScheduleRow> =
            rows.into_iter().map(|row| (row.name.clone(), row)).collect();
        let mut soonest = None;
        for schedule in &catalog.schedules {
            let next = self.look_at(schedule, known.remove(&schedule.name), now).await?;
            soonest = [soonest, next].into_iter().flatten().min();
        }
        for name in known.keys() {
            self.store.forget_schedule(name).await?;
        }
        Ok(soonest)
    }

    async fn look_at(
        &self,
        schedule: &Schedule,
        row: Option<ScheduleRow>,
        now: Timestamp,
    ) -> StoreResult<Option<Timestamp>> {
        let doubtful = self.clock_is_doubtful();
        let next = match row.filter(|row| row.spec == schedule.spec()) {
            // New, or its times are others: from now on.
            None => return self.begin_anew(schedule, now).await,
            Some(row) => row.next_at,
        };
        let soon = schedule.timetable.next(now.plus(PUT_BACK));
        if !doubtful && (next > soon && soon.is_some() || next.is_none() && soon.is_some()) {
            return self.begin_anew(schedule, now).await;
        }
        let Some(first) = next.filter(|first| *first <= now) else { return Ok(next) };
        if doubtful {
            // What was missed, if anything was, is decided when the time is sure.
            for at in misfire::on_time(&schedule.timetable, first, now) {
                if self.schedules.is_new_in_doubt(&schedule.name, self.time.stepped(), at) {
                    self.fire(schedule, Step { was: first, at, next: Some(first) }, now).await?;
                    self.schedules.was_run_in_doubt(&schedule.name, self.time.stepped(), at);
                }
            }
            return Ok(schedule.timetable.next(now));
        }
        let rule = schedule.misfire;
        let decision = misfire::decide(&schedule.timetable, rule, schedule.deadline, first, now);
        self.carry_out(schedule, first, &decision, now).await?;
        Ok(decision.next)
    }

    async fn begin_anew(
        &self,
        schedule: &Schedule,
        now: Timestamp,
    ) -> StoreResult<Option<Timestamp>> {
        let next = schedule.timetable.next(now);
        self.store.save_schedule(&schedule.name, &schedule.spec(), next).await?;
        Ok(next)
    }

    async fn carry_out(
        &self,
        schedule: &Schedule,
        first: Timestamp,
        decision: &Decision,
        now: Timestamp,
    ) -> StoreResult<()> {
        let mut was = first;
        for (n, at) in decision.fire.iter().enumerate() {
            let next = decision.fire.get(n + 1).copied().or(decision.next);
            self.fire(schedule, Step { was, at: *at, next }, now).await?;
            crash::point("schedule.fired");
            was = next.unwrap_or(was);
        }
        if decision.fire.is_empty() {
            self.store.move_schedule(&schedule.name, first, decision.next).await?;
        }
        if decision.missed > 0 {
            tell_missed(schedule, decision);
        }
        Ok(())
    }

    /// Stores the job of one occurrence, unless that was done before.
    async fn fire(&self, schedule: &Schedule, step: Step, now: Timestamp) -> StoreResult<()> {
        let catalog = self.catalog();
        let request = schedule.request.clone();
        let prepared = enqueue::prepare(request, &catalog, &self.vault, self.actor, now);
        let mut prepared = match prepared {
            Ok(prepared) => prepared,
            // It was right with the accounts and definitions that it came with: those have changed.
            Err(problems) => {
                let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
                let detail = format!("its job is not valid any more: {}", words.join("; "));
                tell(Name::ScheduleMisfired, schedule, None, step.next, &detail);
                self.store.move_schedule(&schedule.name, step.was, step.next).await?;
                return Ok(());
            }
        };
        prepared.row.run_at = step.at.min(now);
        if let Some(deadline) = schedule.deadline {
            prepared.row.deadline = Some(step.at.plus(deadline));
        }
        let (id, queue, uniq) = (prepared.row.id, prepared.row.queue, prepared.row.uniq);
        crash::point("schedule.due");
        let fire = Fire {
            schedule: schedule.name.clone(),
            was: step.was,
            at: step.at,
            now,
            next_at: step.next,
            job: prepared.row,
        };
        if self.store.fire(fire).await? {
            crash::point("schedule.stored");
            let twin = match uniq {
                Some(uniq) => self.store.live_job(queue, uniq).await?.map(|live| live.id),
                None => None,
            };
            tell_fired(schedule, step, id, twin.filter(|live| *live != id));
            self.wake.ready(queue);
        }
        Ok(())
    }

    /// Puts other schedules in the place of those in force. What they are of is checked already
    /// ([`super::plan::plan`]); the scheduler looks at them at once, looks for the occurrences of
    /// those whose times have changed anew, and forgets those that are gone.
    pub fn replace_schedules(&self, schedules: Vec<Schedule>) {
        let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut catalog).schedules = schedules;
        drop(catalog);
        self.schedules.changed();
    }

    /// Runs a schedule's job now, which is no occurrence.
    pub async fn run_schedule(
        &self,
        name: &str,
        actor: ActorId,
        who: &str,
    ) -> Result<Submitted, Refusal> {
        let catalog = self.catalog();
        let Some(schedule) = catalog.schedules.iter().find(|one| one.name == name) else {
            let known: Vec<&str> = catalog.schedules.iter().map(|one| one.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Refusal::Unknown { what: "schedule", name: name.to_owned(), known });
        };
        let mut request = schedule.request.clone();
        let deadline = schedule.deadline.map(|one| self.clock.wall().plus(one).to_string());
        request.deadline = deadline;
        let mut outcomes = self.submit(vec![request], actor, who).await?;
        let submitted = outcomes.pop().unwrap_or(Err(Refusal::Draining))?;
        if let Submitted::New(prepared) = &submitted {
            let event = Event {
                job_id: Some(prepared.row.id),
                kind: Some(&schedule.kind),
                account: Some(&schedule.account),
                actor: Some(who),
                detail: Some("asked for, apart from its occurrences"),
                ..Event::default()
            };
            emit(Name::ScheduleFired, &event);
        }
        Ok(submitted)
    }

    /// All schedules as they stand.
    pub async fn schedule_views(&self) -> StoreResult<Vec<ScheduleView>> {
        let catalog = self.catalog();
        let rows = self.store.schedules().await?;
        let mut views = vec![];
        for schedule in &catalog.schedules {
            let row = rows.iter().find(|row| row.name == schedule.name);
            let last = match row.and_then(|row| row.last) {
                Some(last) => Some(self.last_run(last).await?),
                None => None,
            };
            views.push(ScheduleView {
                name: schedule.name.clone(),
                cron: schedule.cron.clone(),
                timezone: schedule.timezone.clone(),
                misfire: schedule.misfire.name(),
                kind: schedule.kind.clone(),
                account: schedule.account.clone(),
                next_at: row.and_then(|row| row.next_at),
                last,
            });
        }
        Ok(views)
    }

    async fn last_run(&self, last: OccurrenceRow) -> StoreResult<LastRun> {
        let job = self.store.job(last.job).await?;
        let state = job.as_ref().map_or("pruned", |job| job.state.name());
        let code = job.filter(|job| job.state != JobState::Completed);
        let code = code.and_then(|job| job.error).map(|error| error.code);
        Ok(LastRun { at: last.at, fired_at: last.fired_at, job_id: last.job, state, code })
    }
}

/// From one place of a schedule over an occurrence to the next place.
#[derive(Debug, Clone, Copy)]
struct Step {
    was: Timestamp,
    at: Timestamp,
    next: Option<Timestamp>,
}

fn tell(
    name: Name,
    schedule: &Schedule,
    job_id: Option<JobId>,
    next: Option<Timestamp>,
    detail: &str,
) {
    let event = Event {
        job_id,
        kind: Some(&schedule.kind),
        account: Some(&schedule.account),
        next_run_at: next,
        detail: Some(detail),
        ..Event::default()
    };
    emit(name, &event);
}

/// `twin`: a live job that does the same, so that none was stored.
fn tell_fired(schedule: &Schedule, step: Step, id: JobId, twin: Option<JobId>) {
    let mut detail = format!("the occurrence of {} of schedule {}", step.at, schedule.name);
    if twin.is_some() {
        detail.push_str(": a live job does the same already");
    } else {
        let event = Event {
            job_id: Some(id),
            kind: Some(&schedule.kind),
            account: Some(&schedule.account),
            next_run_at: Some(step.at),
            actor: Some("attendant"),
            ..Event::default()
        };
        emit(Name::JobEnqueued, &event);
    }
    tell(Name::ScheduleFired, schedule, Some(twin.unwrap_or(id)), step.next, &detail);
}

fn tell_missed(schedule: &Schedule, decision: &Decision) {
    let Decision { missed, skipped, more, next, .. } = decision;
    let count = if *more { format!("more than {missed}") } else { missed.to_string() };
    let rule = schedule.misfire;
    let made_up = match (rule, missed - skipped) {
        (Misfire::Skip, _) => "none is made up for".to_owned(),
        (Misfire::Coalesce, 0) => "one that is on time stands for them".to_owned(),
        (Misfire::Coalesce, _) => "one run stands for them".to_owned(),
        (Misfire::CatchUp, run) => format!("{run} are run now"),
    };
    let late = humantime::format_duration(misfire::ON_TIME);
    let detail = format!(
        "{count} occurrences of schedule {} passed more than {late} ago while nothing ran; \
         misfire = \"{rule}\": {made_up}",
        schedule.name
    );
    tell(Name::ScheduleMisfired, schedule, None, *next, &detail);
}
