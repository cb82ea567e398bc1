//! What the store has said of every job so far: a book that only grows, against which the store's
//! further answers are held.

use std::collections::HashMap;

use attendant::{
    store::{ClaimedJob, Enqueued, Hash16, JobRow, JobSeq, NewJob, Requeue, Settlement},
    types::{JobId, JobState, Timestamp},
};

/// One job as the store must have it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: JobId,
    pub seq: Option<JobSeq>,
    pub kind: String,
    pub renewal: bool,
    /// What the provider knows it by.
    pub reference: String,
    /// The chain's, to read what its children are for.
    pub salt: Option<Hash16>,
    pub state: JobState,
    pub generation: i64,
    pub attempt: i64,
    pub polls: i64,
    pub run_at: Timestamp,
    pub code: Option<String>,
    pub intent: bool,
    /// The last request of this claim surely did not get out, and the daemon knows.
    pub unsent: bool,
    pub cancel: bool,
    /// Since when it has been seen running although it is to stop.
    pub unstopped: Option<i64>,
    /// Steps of the wall clock since it was last compared: each may have moved it along.
    pub steps: Vec<i64>,
    /// Since when it has been seen due and not held, on the clock that does not step.
    pub due_since: Option<i64>,
}

impl Entry {
    /// Only what the daemon put off follows a step, and the store knows what that is.
    pub fn follow_steps(&mut self, run_at: Timestamp) {
        let mut reachable = vec![self.run_at.0];
        for by in self.steps.drain(..) {
            reachable.extend(reachable.clone().iter().map(|at| at + by));
        }
        if reachable.contains(&run_at.0) {
            self.run_at = run_at;
        }
    }

    pub fn is_unknown(&self) -> bool {
        self.state == JobState::Dead && self.code.as_deref() == Some("outcome_unknown")
    }
}

#[derive(Debug, Default)]
pub struct Ledger {
    /// In the order of their coming.
    pub jobs: Vec<Entry>,
    by_id: HashMap<JobId, usize>,
    by_seq: HashMap<JobSeq, usize>,
    /// What attempts came to, for somebody to come back with late.
    pub settlements: Vec<Settlement>,
}

type Checked = Result<(), String>;

impl Ledger {
    pub fn n(&self, id: JobId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub fn of_seq(&mut self, seq: JobSeq) -> Option<&mut Entry> {
        let n = *self.by_seq.get(&seq)?;
        self.jobs.get_mut(n)
    }

    pub fn of_id(&mut self, id: JobId) -> Option<&mut Entry> {
        let n = *self.by_id.get(&id)?;
        self.jobs.get_mut(n)
    }

    pub fn name(&self, n: usize) -> String {
        let one = &self.jobs[n];
        format!("job {n} ({} {})", one.kind, one.reference)
    }

    /// Jobs of one kind for one thing of the provider's.
    pub fn about(&self, kind: &str, reference: &str) -> impl Iterator<Item = &Entry> {
        self.jobs.iter().filter(move |one| one.kind == kind && one.reference == reference)
    }

    /// A request that must not be repeated came to its end, or surely did not get out.
    pub fn asked(&mut self, reference: &str, unsent: bool) {
        for one in &mut self.jobs {
            if one.state == JobState::Running && one.intent && one.reference == reference {
                one.unsent = unsent;
            }
        }
    }

    pub fn add(&mut self, job: &NewJob, what: (String, bool, String), salt: Option<Hash16>) {
        let (kind, renewal, reference) = what;
        self.by_id.insert(job.id, self.jobs.len());
        self.jobs.push(Entry {
            id: job.id,
            seq: None,
            kind,
            renewal,
            reference,
            salt,
            state: JobState::Queued,
            generation: 0,
            attempt: 0,
            polls: 0,
            run_at: job.run_at,
            code: None,
            intent: false,
            unsent: false,
            cancel: false,
            unstopped: None,
            steps: vec![],
            due_since: None,
        });
    }

    /// The store's number of a job.
    pub fn learn(&mut self, row: Option<&JobRow>) {
        if let Some(row) = row
            && let Some(n) = self.by_id.get(&row.id).copied()
        {
            self.by_seq.insert(row.seq, n);
        }
    }

    /// What an answer to `enqueue` says of jobs that were there before.
    pub fn met(&self, met: Enqueued) -> Checked {
        let (Enqueued::SameKey { id, .. } | Enqueued::Live { id }) = met else { return Ok(()) };
        let known = self.by_id.get(&id).map(|n| &self.jobs[*n]);
        match (met, known) {
            (_, None) => Err(format!("enqueue met a job {id} that nobody stored")),
            (Enqueued::Live { .. }, Some(one)) if one.state.has_ended() => {
                Err(format!("enqueue met a live job {id} that is {}", one.state))
            }
            _ => Ok(()),
        }
    }

    pub fn claimed(&mut self, job: &ClaimedJob, now: Timestamp, early: bool) -> Checked {
        let Some(n) = self.by_id.get(&job.id).copied() else {
            return Err(format!("a job {} was claimed that nobody stored", job.id));
        };
        self.by_seq.insert(job.seq, n);
        let name = self.name(n);
        let one = &mut self.jobs[n];
        if one.state != JobState::Queued {
            return Err(format!("{name} was claimed while {}", one.state));
        }
        if job.generation.0 != one.generation + 1 {
            let (was, is) = (one.generation, job.generation.0);
            return Err(format!("{name} was claimed as generation {is} after {was}"));
        }
        if !early && one.run_at > now {
            return Err(format!("{name} was claimed at {now} though due at {}", one.run_at));
        }
        one.seq = Some(job.seq);
        (one.state, one.generation) = (JobState::Running, job.generation.0);
        (one.due_since, one.intent, one.unsent) = (None, false, false);
        Ok(())
    }

    /// Whether this claim is the one that counts.
    pub fn is_current(&self, settlement: &Settlement) -> bool {
        self.by_seq.get(&settlement.seq).is_some_and(|n| {
            let one = &self.jobs[*n];
            one.generation == settlement.generation.0 && one.state == settlement.from
        })
    }

    /// Whether the job runs under a later claim.
    pub fn is_taken_anew(&self, settlement: &Settlement) -> bool {
        self.by_seq.get(&settlement.seq).is_some_and(|n| {
            let one = &self.jobs[*n];
            one.generation > settlement.generation.0 && one.state == JobState::Running
        })
    }

    pub fn settled(&mut self, with: &Settlement) -> Checked {
        let Some(n) = self.by_seq.get(&with.seq).copied() else {
            return Err(format!("job number {} was settled and never claimed", with.seq));
        };
        let (name, current) = (self.name(n), self.is_current(with));
        let one = &mut self.jobs[n];
        if !current {
            return Err(format!(
                "a stale settle of {name} was taken: generation {} from {} to {}, it is {} of {}",
                with.generation.0, with.from, with.state, one.state, one.generation
            ));
        }
        let lawful = match with.from {
            JobState::Running => with.state != JobState::Running,
            JobState::Dead => with.state == JobState::Completed && one.is_unknown(),
            _ => false,
        };
        if !lawful {
            return Err(format!("{name} went from {} to {}", with.from, with.state));
        }
        if with.attempt < one.attempt || with.polls < one.polls {
            return Err(format!("{name} counts backwards"));
        }
        if one.intent && !one.unsent && with.state == JobState::Cancelled {
            return Err(format!("{name} is cancelled though its request may be out"));
        }
        one.state = match with.state {
            JobState::Queued if one.cancel => JobState::Cancelled,
            state => state,
        };
        (one.attempt, one.polls, one.run_at) = (with.attempt, with.polls, with.run_at);
        (one.intent, one.cancel, one.due_since) = (false, false, None);
        if let Some(error) = &with.error {
            one.code = Some(error.code.clone());
        }
        Ok(())
    }

    pub fn intended(&mut self, seq: JobSeq, generation: i64) -> Checked {
        let Some(n) = self.by_seq.get(&seq).copied() else { return Ok(()) };
        let name = self.name(n);
        let one = &mut self.jobs[n];
        if one.state != JobState::Running || one.generation != generation || one.cancel {
            return Err(format!("{name}: an intent was recorded for a claim that is lost"));
        }
        one.intent = true;
        Ok(())
    }

    pub fn requeued(&mut self, with: &Requeue) -> Checked {
        let Some(n) = self.by_id.get(&with.id).copied() else { return Ok(()) };
        let name = self.name(n);
        let one = &mut self.jobs[n];
        if one.state != with.from || matches!(one.state, JobState::Running | JobState::Completed) {
            return Err(format!("{name} was queued again while {}", one.state));
        }
        (one.state, one.run_at) = (JobState::Queued, with.run_at);
        (one.intent, one.cancel, one.due_since) = (false, false, None);
        Ok(())
    }

    /// Compares with what the store has: nothing is lost, nothing else has changed it.
    pub fn compare(&mut self, rows: &[JobRow]) -> Checked {
        if rows.len() != self.jobs.len() {
            return Err(format!("{} jobs were stored, {} are there", self.jobs.len(), rows.len()));
        }
        for row in rows {
            let Some(n) = self.by_id.get(&row.id).copied() else {
                return Err(format!("a job {} is there that nobody stored", row.id));
            };
            self.by_seq.insert(row.seq, n);
            let (name, one) = (self.name(n), &mut self.jobs[n]);
            one.seq = Some(row.seq);
            one.follow_steps(row.run_at);
            let have = (row.state, row.generation.0, row.attempt, row.polls, row.run_at);
            let want = (one.state, one.generation, one.attempt, one.polls, one.run_at);
            if have != want {
                return Err(format!("{name} is {have:?} in the store, {want:?} by its answers"));
            }
            if (row.intent, row.cancel) != (one.intent, one.cancel) {
                let have = (row.intent, row.cancel);
                return Err(format!("{name}: intent and cancel are {have:?} in the store"));
            }
        }
        Ok(())
    }
}
