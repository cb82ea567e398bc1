//! The store as a list: what each operation means, with nothing to make it fast or lasting.

use std::collections::HashMap;

use attendant::{
    store::{Claim, Enqueued, Hash16, JobRow, NewJob, Settlement},
    types::{JobId, JobState, Timestamp},
};

/// What is compared of a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Facts {
    id: JobId,
    state: &'static str,
    ready: bool,
    run_at: Timestamp,
    generation: i64,
    attempt: i64,
    errors: u32,
    polls: i64,
    cancel: bool,
    attempts: usize,
}

impl Facts {
    pub fn of(row: &JobRow, attempts: usize) -> Self {
        Self {
            id: row.id,
            state: row.state.name(),
            // Says nothing once a job is no longer queued.
            ready: row.state == JobState::Queued && row.ready,
            run_at: row.run_at,
            generation: row.generation.0,
            attempt: row.attempt,
            errors: row.errors,
            polls: row.polls,
            cancel: row.cancel,
            attempts,
        }
    }
}

#[derive(Debug)]
struct Job {
    id: JobId,
    uniq: Option<Hash16>,
    priority: u8,
    state: JobState,
    ready: bool,
    run_at: Timestamp,
    lease_until: Timestamp,
    generation: i64,
    attempt: i64,
    errors: u32,
    polls: i64,
    cancel: bool,
    attempts: usize,
}

impl Job {
    fn new(job: &NewJob, uniq: Option<Hash16>) -> Self {
        Self {
            id: job.id,
            uniq,
            priority: job.priority,
            state: JobState::Queued,
            ready: job.ready,
            run_at: job.run_at,
            lease_until: Timestamp(0),
            generation: 0,
            attempt: 0,
            errors: 0,
            polls: 0,
            cancel: false,
            attempts: 0,
        }
    }

    fn is_live(&self) -> bool {
        !self.state.has_ended()
    }

    fn waits(&self) -> bool {
        self.state == JobState::Queued && !self.ready
    }
}

/// Jobs in the order they were stored, and which job each key belongs to.
#[derive(Debug, Default)]
pub struct Plain {
    jobs: Vec<Job>,
    keys: HashMap<Hash16, (Hash16, JobId)>,
}

impl Plain {
    pub fn pick(&self, pick: usize) -> Option<JobId> {
        pick.checked_rem(self.jobs.len()).map(|n| self.jobs[n].id)
    }

    fn job(&mut self, id: JobId) -> &mut Job {
        self.jobs.iter_mut().find(|job| job.id == id).unwrap()
    }

    fn live(&self, uniq: Option<Hash16>) -> Option<JobId> {
        uniq?;
        self.jobs.iter().find(|job| job.uniq == uniq && job.is_live()).map(|job| job.id)
    }

    pub fn enqueue(&mut self, job: &NewJob) -> Enqueued {
        if let Some(key) = job.key
            && let Some((request, id)) = self.keys.get(&key.hash)
        {
            return Enqueued::SameKey { id: *id, same_request: *request == key.request };
        }
        let twin = self.live(job.uniq);
        if let Some(key) = job.key {
            self.keys.insert(key.hash, (key.request, twin.unwrap_or(job.id)));
        }
        if let Some(id) = twin {
            return Enqueued::Live { id };
        }
        self.jobs.push(Job::new(job, job.uniq));
        Enqueued::New
    }

    /// The jobs that a round of one queue gives, by id, with their generations.
    pub fn claim(&mut self, round: &Claim) -> Vec<(JobId, i64)> {
        for job in self.jobs.iter_mut().filter(|job| job.waits() && job.run_at <= round.now) {
            job.ready = true;
        }
        let allowance = round.allowances[0];
        let mut ready: Vec<&mut Job> = self
            .jobs
            .iter_mut()
            .filter(|job| job.state == JobState::Queued && job.ready)
            .filter(|job| job.priority <= allowance.max_priority)
            .collect();
        ready.sort_by_key(|job| (job.priority, job.run_at)); // stable: then as stored
        let mut given: Vec<_> = ready
            .into_iter()
            .take(allowance.count as usize)
            .map(|job| {
                job.state = JobState::Running;
                job.generation += 1;
                job.lease_until = round.lease_until;
                (job.id, job.generation)
            })
            .collect();
        given.sort_unstable();
        given
    }

    pub fn next_due(&self) -> Option<Timestamp> {
        self.jobs.iter().filter(|job| job.waits()).map(|job| job.run_at).min()
    }

    pub fn settle(&mut self, id: JobId, end: &Settlement) -> bool {
        let job = self.job(id);
        if job.state != JobState::Running || job.generation != end.generation.0 {
            return false;
        }
        job.attempts += usize::from(end.history.is_some());
        // Children come first: their parent is alive while they are looked at.
        for child in &end.children {
            let uniq = child.uniq.filter(|_| self.live(child.uniq).is_none());
            self.jobs.push(Job::new(child, uniq));
        }
        let job = self.job(id);
        (job.state, job.ready, job.run_at) = (end.state, end.ready, end.run_at);
        if job.cancel && job.state == JobState::Queued {
            job.state = JobState::Cancelled;
        }
        (job.attempt, job.errors, job.polls) = (end.attempt, end.errors, end.polls);
        job.cancel = false;
        true
    }

    /// The state that the cancellation met.
    pub fn cancel(&mut self, id: JobId) -> JobState {
        let job = self.job(id);
        let met = job.state;
        match met {
            JobState::Queued => job.state = JobState::Cancelled,
            JobState::Running => job.cancel = true,
            _ => {}
        }
        met
    }

    pub fn requeue(&mut self, id: JobId, now: Timestamp) -> bool {
        let uniq = self.job(id).uniq;
        let ended = matches!(self.job(id).state, JobState::Dead | JobState::Cancelled);
        if !ended || self.live(uniq).is_some() {
            return false;
        }
        let job = self.job(id);
        (job.state, job.ready, job.run_at, job.errors) = (JobState::Queued, true, now, 0);
        job.cancel = false;
        true
    }

    pub fn lost(&self, before: Timestamp) -> Vec<JobId> {
        let lost = |job: &&Job| job.state == JobState::Running && job.lease_until < before;
        let mut ids: Vec<JobId> = self.jobs.iter().filter(lost).map(|job| job.id).collect();
        ids.sort();
        ids
    }

    pub fn facts(&self) -> Vec<Facts> {
        let mut facts: Vec<Facts> = self
            .jobs
            .iter()
            .map(|job| Facts {
                id: job.id,
                state: job.state.name(),
                ready: job.state == JobState::Queued && job.ready,
                run_at: job.run_at,
                generation: job.generation,
                attempt: job.attempt,
                errors: job.errors,
                polls: job.polls,
                cancel: job.cancel,
                attempts: job.attempts,
            })
            .collect();
        facts.sort();
        facts
    }
}
