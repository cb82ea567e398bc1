//! What an attempt came to, into the store: state, history, observation, children, one
//! transaction; then one event.

use std::sync::Arc;

use super::{
    Engine,
    catalog::{Catalog, KindRef},
    children::Children,
    running::Stop,
    shapes::{File, Outcome, download},
    telling::{News, outcome_name},
};
use crate::{
    credentials::{
        seal::ChainKey,
        vault::{self, Part, Payload},
    },
    definition::{Kind, Repeat, Shape},
    policy::{
        cadence::model::Found,
        codes::Code,
        settle::{self, AttemptEnd, JobCounters, Transition},
    },
    store::{
        ClaimedJob, NewArtifact, NewAttempt, NewJob, NewObservation, Parentage, Settlement,
        StoreResult, StoredError,
    },
    types::{JobId, JobState, Timestamp},
};

/// Kept with a job whose cancellation came while its request was out.
const CANCELLED_TOO_LATE: &str =
    "it was cancelled while its request was out: that was carried out, and nothing follows";

/// The end of one attempt on its way into the store.
#[derive(Debug)]
pub struct Settling<'a> {
    pub engine: &'a Engine,
    pub catalog: &'a Catalog,
    pub job: &'a ClaimedJob,
    pub started_at: Timestamp,
    /// The status that was observed before this attempt.
    last_status: Option<String>,
}

impl<'a> Settling<'a> {
    pub fn new(
        engine: &'a Engine,
        catalog: &'a Catalog,
        job: &'a ClaimedJob,
        started_at: Timestamp,
    ) -> Self {
        Self { engine, catalog, job, started_at, last_status: engine.last_status(job) }
    }

    /// Stores an outcome, however long the store takes; gives up when the claim is lost or the
    /// store was closed, as at the end of a shutdown.
    pub async fn settle(&self, outcome: Outcome) {
        self.act_on_gates(&outcome).await;
        let mut args = self.payload();
        let mut args_rev = self.job.args_rev;
        loop {
            // A step of the clock is followed before a time is stored that has it in it.
            let minded = self.engine.mind_clock().await;
            let now = minded.map_or_else(|_| self.engine.clock.wall(), |now| now.wall);
            let (settlement, transition) = self.draft(&outcome, &args, args_rev, now);
            let news = News::of(&settlement, &outcome);
            let error = match self.engine.store.settle(vec![settlement]).await {
                Ok(done) if done.first() == Some(&true) => {
                    self.engine.store_works(None);
                    self.learn(&outcome, &transition, now);
                    self.tell(&transition, &news, now);
                    return;
                }
                Ok(_) => match self.reread().await {
                    Ok(Some((payload, rev))) if rev != args_rev => {
                        (args, args_rev) = (payload, rev);
                        continue;
                    }
                    Ok(_) => return self.tell_lost(),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if self.engine.wait_for_store(error).await.is_err() {
                return;
            }
        }
    }

    fn payload(&self) -> Payload {
        let opened = self.job.salt.as_ref().and_then(|salt| {
            let chain = self.engine.vault.chain(salt);
            vault::open_json(&chain, self.job.id, Part::Args, &self.job.args).ok()
        });
        opened.unwrap_or_default()
    }

    /// The arguments as they are now, if the claim is still held.
    async fn reread(&self) -> StoreResult<Option<(Payload, i64)>> {
        let Some(row) = self.engine.store.job(self.job.id).await? else { return Ok(None) };
        let held = row.state == JobState::Running && row.generation == self.job.generation;
        let payload = self.engine.payload(&row).filter(|_| held);
        Ok(payload.map(|payload| (payload, row.args_rev)))
    }

    pub(super) fn is_renewal(&self) -> bool {
        self.catalog.is_renewal(self.job.kind)
    }

    fn kind(&self) -> Option<&Arc<Kind>> {
        match self.catalog.kind(self.job.kind) {
            Some(KindRef::Job(_, kind)) => Some(kind),
            _ => None,
        }
    }

    /// The settlement of an outcome; the outcome may change on the way (children that cannot be
    /// made).
    fn draft(
        &self,
        outcome: &Outcome,
        payload: &Payload,
        args_rev: i64,
        now: Timestamp,
    ) -> (Settlement, Transition) {
        let mut words = outcome.words.clone().unwrap_or_default();
        let mut end = outcome.end;
        let mut children = vec![];
        let cancelled = self.is_cancelled();
        if cancelled && end == AttemptEnd::Done {
            CANCELLED_TOO_LATE.clone_into(&mut words);
        } else if end == AttemptEnd::Done {
            match self.children(outcome, payload, now) {
                Ok(made) => children = made,
                Err(trouble) => {
                    end = self.answered_in_vain();
                    words = format!("answered, but what is to follow cannot be told: {trouble}");
                }
            }
        }
        let mut transition = self.transition(end, now);
        if cancelled && end == AttemptEnd::Done {
            transition.code = Some(Code::Cancelled);
        }
        let settlement = self.settlement(outcome, &transition, &words, children, args_rev, now);
        (settlement, transition)
    }

    /// It was carried out; that what follows cannot be told from the answer does not make it right
    /// to send it again.
    fn answered_in_vain(&self) -> AttemptEnd {
        if self.kind().is_some_and(|kind| kind.repeat == Repeat::Never) {
            return AttemptEnd::OutcomeUnknown;
        }
        AttemptEnd::Failed { code: Code::Unparsable, retry: settle::Retry::Few, at: None }
    }

    fn transition(&self, end: AttemptEnd, now: Timestamp) -> Transition {
        let follow = self.kind().is_some_and(|kind| matches!(kind.shape, Shape::Follow { .. }));
        let counters = JobCounters {
            errors: self.job.errors,
            max_errors: (!self.is_renewal()).then_some(self.job.max_errors),
            last_code: self.job.last_code.as_ref().and_then(|code| code.parse().ok()),
            deadline: self.engine.binding_deadline(
                (self.job.queue, self.job.kind),
                self.job.created_at,
                self.job.deadline,
            ),
            follow,
        };
        let end = match end {
            AttemptEnd::OutcomeUnknown if self.can_reconcile() && !self.is_cancelled() => {
                AttemptEnd::Doubtful
            }
            end => end,
        };
        let backoff = &self.engine.settings.backoff;
        let transition = settle::settle(now, &counters, end, backoff, self.engine.chance());
        if self.job.intent { transition.in_doubt() } else { transition }
    }

    fn is_cancelled(&self) -> bool {
        self.engine.running.why(self.job.seq) == Some(Stop::Cancelled)
    }

    fn can_reconcile(&self) -> bool {
        self.kind().is_some_and(|kind| kind.reconcile.is_some())
    }

    fn settlement(
        &self,
        outcome: &Outcome,
        transition: &Transition,
        words: &str,
        children: Vec<NewJob>,
        args_rev: i64,
        now: Timestamp,
    ) -> Settlement {
        let job = self.job;
        let chain = job.salt.as_ref().map(|salt| self.engine.vault.chain(salt));
        let run_at = transition.run_at.unwrap_or(now);
        let sealed = |part: Part<'_>| {
            chain
                .as_ref()
                .filter(|_| !words.is_empty())
                .map(|chain| vault::seal(chain, job.id, part, words.as_bytes()))
        };
        let polls = job.polls + i64::from(transition.polls_delta);
        Settlement {
            seq: job.seq,
            generation: job.generation,
            from: JobState::Running,
            // What follows was told from the arguments, also where that is nothing.
            args_rev: (transition.state == JobState::Completed).then_some(args_rev),
            now,
            state: transition.state,
            run_at,
            ready: run_at <= now,
            attempt: job.attempt + i64::from(transition.attempt_delta),
            errors: transition.errors,
            polls,
            deadline: job.deadline,
            error: transition.code.map(|code| StoredError {
                code: code.to_string(),
                message: sealed(Part::Error),
                at: now,
            }),
            result: match (&outcome.result, &chain) {
                (Some(result), Some(chain)) => {
                    Some(vault::seal_json(chain, job.id, Part::Result, result))
                }
                _ => None,
            },
            history: (transition.attempt_delta > 0).then(|| NewAttempt {
                started_at: self.started_at,
                outcome: outcome_name(transition),
                code: transition.code.map(|code| code.to_string()),
                message: sealed(Part::Attempt(job.generation)),
            }),
            observation: self.observation(outcome, chain.as_ref(), polls),
            artifact: outcome
                .file
                .as_ref()
                .filter(|_| transition.state == JobState::Completed)
                .zip(chain.as_ref())
                .map(|(file, chain)| artifact(file, chain, job.id)),
            children,
        }
    }

    /// A status that differs from the last one.
    fn observation(
        &self,
        outcome: &Outcome,
        chain: Option<&ChainKey>,
        polls: i64,
    ) -> Option<NewObservation> {
        let status = outcome.status.as_ref()?.as_deref().unwrap_or("");
        if self.last_status.as_deref() == Some(status) {
            return None;
        }
        let n = self.job.observation.as_ref().map_or(1, |(n, _)| n + 1);
        let sealed = vault::seal(chain?, self.job.id, Part::Status(n), status.as_bytes());
        Some(NewObservation { n, polls, status: sealed })
    }

    /// From a follow that was answered.
    fn learn(&self, outcome: &Outcome, transition: &Transition, now: Timestamp) {
        if transition.polls_delta == 0 {
            return;
        }
        let last = self.last_status.as_deref();
        let seen = outcome.status.as_ref().map(|seen| seen.as_deref().unwrap_or(""));
        let found = if transition.state == JobState::Completed {
            Found::Complete
        } else if seen.is_some() && seen != last {
            Found::Changed
        } else {
            Found::Same
        };
        self.engine.learn(self.job, last, now, found);
    }

    fn children(
        &self,
        outcome: &Outcome,
        payload: &Payload,
        now: Timestamp,
    ) -> Result<Vec<NewJob>, String> {
        let (Some(salt), Some(kind), Some(vars)) = (&self.job.salt, self.kind(), &outcome.vars)
        else {
            return Ok(vec![]);
        };
        let account = self.catalog.by_queue(self.job.queue).ok_or("its account is gone")?;
        let family = Parentage { parent: self.job.seq, root: self.job.root };
        Children { engine: self.engine, catalog: self.catalog, account, salt, family, now }.of(
            kind,
            vars,
            payload,
            self.job.created_by,
        )
    }
}

fn artifact(file: &File, chain: &ChainKey, id: JobId) -> NewArtifact {
    NewArtifact {
        name: file.name.clone(),
        content_type: file.content_type.clone(),
        size: i64::try_from(file.bytes.len()).unwrap_or(i64::MAX),
        sha256: download::sha256(&file.bytes),
        sealed: vault::seal(chain, id, Part::Artifact(&file.name), &file.bytes),
    }
}
