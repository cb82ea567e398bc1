//! What an attempt came to, into the store: state, history, observation, children, one
//! transaction; then one event.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::{
    Engine,
    actions::Refusal,
    catalog::{Account, Catalog, KindRef},
    enqueue::Build,
    shapes::{File, Outcome, Suspect, download},
};
use crate::{
    credentials::{
        seal::ChainKey,
        vault::{self, Part, Payload},
    },
    definition::{Kind, Repeat, Shape, Vars},
    policy::{
        cadence::{self, PollState},
        codes::Code,
        settle::{self, AttemptEnd, JobCounters, Transition},
    },
    store::{
        ClaimedJob, Hash16, JobRow, JobSeq, KindId, NewArtifact, NewAttempt, NewJob,
        NewObservation, Parentage, Settlement, StoreError, StoredError,
    },
    telemetry::events::{Event, Name, emit},
    types::{Generation, JobId, JobState, Timestamp},
};

/// The end of one attempt on its way into the store.
#[derive(Debug)]
pub struct Settling<'a> {
    pub engine: &'a Engine,
    pub catalog: &'a Catalog,
    pub job: &'a ClaimedJob,
    pub started_at: Timestamp,
}

impl Settling<'_> {
    /// Stores an outcome, however long the store takes; gives up only when the claim is lost.
    pub async fn settle(&self, outcome: Outcome) {
        self.act_on_gates(&outcome).await;
        let mut args = self.payload();
        let mut args_rev = self.job.args_rev;
        loop {
            let now = self.engine.clock.wall();
            let (settlement, transition) = self.draft(&outcome, &args, args_rev, now);
            let news = News::of(&settlement, &outcome);
            match self.engine.store.settle(vec![settlement]).await {
                Ok(done) if done.first() == Some(&true) => {
                    self.engine.store_works(None);
                    self.tell(&transition, &news, now);
                    return;
                }
                Ok(_) => match self.reread().await {
                    Some((payload, rev)) if rev != args_rev => (args, args_rev) = (payload, rev),
                    _ => return self.tell_lost(),
                },
                Err(error) => {
                    self.engine.store_works(Some(error.to_string()));
                    if matches!(error, StoreError::Closed) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
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
    async fn reread(&self) -> Option<(Payload, i64)> {
        let row = self.engine.store.job(self.job.id).await.ok()??;
        let held = row.state == JobState::Running && row.generation == self.job.generation;
        let payload = self.engine.payload(&row)?;
        held.then_some((payload, row.args_rev))
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
        if end == AttemptEnd::Done
            && let (Some(kind), Some(vars)) = (self.kind(), &outcome.vars)
        {
            match self.children(kind, vars, payload, now) {
                Ok(made) => children = made,
                Err(trouble) => {
                    // It was carried out; that what follows cannot be told from the answer does
                    // not make it right to send it again.
                    end = if kind.repeat == Repeat::Never {
                        AttemptEnd::OutcomeUnknown
                    } else {
                        AttemptEnd::Failed {
                            code: Code::Unparsable,
                            retry: settle::Retry::Few,
                            at: None,
                        }
                    };
                    words = format!("answered, but what is to follow cannot be told: {trouble}");
                }
            }
        }
        let transition = self.transition(end, now);
        let settlement = self.settlement(outcome, &transition, &words, children, args_rev, now);
        (settlement, transition)
    }

    fn transition(&self, end: AttemptEnd, now: Timestamp) -> Transition {
        let follow = self.kind().is_some_and(|kind| matches!(kind.shape, Shape::Follow { .. }));
        let counters = JobCounters {
            errors: self.job.errors,
            max_errors: self.kind().map(|_| self.job.max_errors),
            last_code: self.job.last_code.as_ref().and_then(|code| code.parse().ok()),
            deadline: self.job.deadline,
            follow,
        };
        settle::settle(now, &counters, end, &self.engine.settings.backoff, rand::random())
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
            args_rev: (!children.is_empty()).then_some(args_rev),
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
        if self.last_status().is_some_and(|last| last == status) {
            return None;
        }
        let n = self.job.observation.as_ref().map_or(1, |(n, _)| n + 1);
        let sealed = vault::seal(chain?, self.job.id, Part::Status(n), status.as_bytes());
        Some(NewObservation { n, polls, status: sealed })
    }

    fn last_status(&self) -> Option<String> {
        let (n, sealed) = self.job.observation.as_ref()?;
        let chain = self.engine.vault.chain(self.job.salt.as_ref()?);
        vault::open_text(&chain, self.job.id, Part::Status(*n), sealed)
    }

    fn children(
        &self,
        kind: &Kind,
        vars: &Vars,
        payload: &Payload,
        now: Timestamp,
    ) -> Result<Vec<NewJob>, String> {
        let Some(salt) = &self.job.salt else { return Ok(vec![]) };
        let account = self.catalog.by_queue(self.job.queue).ok_or("its account is gone")?;
        let family = Parentage { parent: self.job.seq, root: self.job.root };
        Children { engine: self.engine, catalog: self.catalog, account, salt, family, now }.of(
            kind,
            vars,
            payload,
            self.job.created_by,
        )
    }

    /// Shuts what the outcome says must be shut, before the job is due again.
    async fn act_on_gates(&self, outcome: &Outcome) {
        let Some(account) = self.catalog.by_queue(self.job.queue) else { return };
        let engine = self.engine;
        if let Some((until, code)) = outcome.gate
            && let Some(row) = engine.gates.shut(account.queue, &account.name, until, code)
        {
            if let Err(error) = engine.store.save_queue(row).await {
                engine.store_works(Some(error.to_string()));
            }
            let code = code.text();
            emit(
                Name::QueueGated,
                &Event {
                    account: Some(&account.name),
                    error_code: Some(&code),
                    next_run_at: Some(until),
                    detail: Some("the provider asked to wait"),
                    ..Event::default()
                },
            );
        }
        self.act_on_suspicion(account, outcome).await;
    }

    async fn act_on_suspicion(&self, account: &Account, outcome: &Outcome) {
        let (engine, queue, kind) = (self.engine, account.queue, self.job.kind);
        let gate = match outcome.suspect {
            Some(Suspect::Surely) => Some(engine.gates.shut_kind(queue, kind, "410 Gone")),
            Some(Suspect::Maybe) => {
                engine.gates.suspect(queue, kind, self.job.id, engine.live_in(queue))
            }
            None => {
                if matches!(outcome.end, AttemptEnd::Done | AttemptEnd::Snooze { .. }) {
                    engine.gates.trust(queue, kind);
                }
                None
            }
        };
        let Some(gate) = gate else { return };
        let detail = gate.gate.detail.clone().unwrap_or_default();
        if let Err(error) = engine.store.save_kind_gate(gate, false).await {
            engine.store_works(Some(error.to_string()));
        }
        let kind = self.catalog.kind(kind).map(KindRef::name);
        emit(
            Name::QueueGated,
            &Event {
                account: Some(&account.name),
                kind: kind.as_deref(),
                error_code: Some("provider_changed"),
                detail: Some(&detail),
                ..Event::default()
            },
        );
    }

    fn tell(&self, transition: &Transition, news: &News, now: Timestamp) {
        let job = self.job;
        self.after(transition, now);
        self.tell_news(news);
        let name = match (transition.state, transition.code) {
            (JobState::Completed, _) => Name::JobCompleted,
            (JobState::Dead, _) => Name::JobDead,
            (JobState::Cancelled, _) => Name::JobCancelled,
            (_, Some(_)) if transition.attempt_delta > 0 => Name::JobRetryScheduled,
            _ => Name::JobSnoozed,
        };
        let kind = self.catalog.kind(job.kind).map(KindRef::name);
        let account = self.catalog.by_queue(job.queue).map(|account| account.name.as_str());
        let code = transition.code.map(|code| code.text());
        let hint = (name == Name::JobDead).then(|| what_to_do(job.id, transition.code));
        // The provider's words may hold an applicant's data: they stay in the store.
        emit(
            name,
            &Event {
                job_id: Some(job.id),
                kind: kind.as_deref(),
                account,
                attempt: Some(job.attempt + i64::from(transition.attempt_delta)),
                generation: Some(job.generation),
                outcome: Some(outcome_name(transition)),
                next_run_at: transition.run_at,
                elapsed: Some(now.since(self.started_at)),
                error_code: code.as_deref(),
                detail: hint.as_deref(),
                ..Event::default()
            },
        );
    }

    /// The changes that came with the end: a new status, new jobs.
    fn tell_news(&self, news: &News) {
        let kind = self.catalog.kind(self.job.kind).map(KindRef::name);
        let account = self.catalog.by_queue(self.job.queue).map(|account| account.name.as_str());
        if let Some(status) = &news.status {
            emit(
                Name::JobStatusChanged,
                &Event {
                    job_id: Some(self.job.id),
                    kind: kind.as_deref(),
                    account,
                    status: Some(status),
                    ..Event::default()
                },
            );
        }
        for (id, kind, run_at) in &news.children {
            let kind = self.catalog.kind(*kind).map(KindRef::name);
            emit(
                Name::JobEnqueued,
                &Event {
                    job_id: Some(*id),
                    kind: kind.as_deref(),
                    account,
                    next_run_at: Some(*run_at),
                    actor: Some("attendant"),
                    ..Event::default()
                },
            );
        }
    }

    /// Who must hear of it: the dispatcher of new dates, waiters of ends.
    fn after(&self, transition: &Transition, now: Timestamp) {
        match transition.run_at {
            Some(at) if at <= now => self.engine.wake.ready(self.job.queue),
            Some(at) => self.engine.wake.due(at),
            None => {
                // Children are due in this queue, or soon.
                self.engine.wake.ready(self.job.queue);
                self.engine.wake.due(now);
                self.engine.waiters.ended(self.job.root);
            }
        }
    }

    fn tell_lost(&self) {
        let kind = self.catalog.kind(self.job.kind).map(KindRef::name);
        emit(
            Name::JobSnoozed,
            &Event {
                job_id: Some(self.job.id),
                kind: kind.as_deref(),
                generation: Some(self.job.generation),
                outcome: Some("lost_lease"),
                detail: Some("its claim was taken over: what this attempt came to is not stored"),
                ..Event::default()
            },
        );
    }
}

/// What a settlement brings beside its state, kept for the events that follow it.
struct News {
    status: Option<String>,
    children: Vec<(JobId, KindId, Timestamp)>,
}

impl News {
    fn of(settlement: &Settlement, outcome: &Outcome) -> Self {
        let changed = settlement.observation.is_some();
        let status = outcome.status.clone().flatten().unwrap_or_else(|| "unknown".to_owned());
        Self {
            status: changed.then_some(status),
            children: settlement
                .children
                .iter()
                .map(|child| (child.id, child.kind, child.run_at))
                .collect(),
        }
    }
}

/// The jobs that a completed one enqueues.
struct Children<'a> {
    engine: &'a Engine,
    catalog: &'a Catalog,
    account: &'a Arc<Account>,
    salt: &'a Hash16,
    family: Parentage,
    now: Timestamp,
}

impl Children<'_> {
    /// For the job's own arguments, and for those of later requests for the same.
    fn of(
        &self,
        kind: &Kind,
        vars: &Vars,
        payload: &Payload,
        actor: i64,
    ) -> Result<Vec<NewJob>, String> {
        let mut seen = BTreeSet::new();
        let mut children = vec![];
        for args in std::iter::once(&payload.args).chain(&payload.more) {
            let vars = vars.clone().args(args);
            for then in &kind.then {
                let wanted = match &then.when {
                    Some(when) => when.test(&vars).map_err(|error| error.to_string())?,
                    None => true,
                };
                if !wanted {
                    continue;
                }
                let mut given = Map::new();
                for (name, expr) in &then.args {
                    given.insert(name.clone(), expr.eval(&vars).map_err(|e| e.to_string())?);
                }
                if seen.insert((then.kind.clone(), Value::Object(given.clone()).to_string())) {
                    children.push(self.child(&then.kind, given, actor)?);
                }
            }
        }
        Ok(children)
    }

    fn child(&self, kind: &str, given: Map<String, Value>, actor: i64) -> Result<NewJob, String> {
        let (provider, kind) =
            self.catalog.registry.kind(kind).ok_or_else(|| format!("no kind {kind}"))?;
        let kind_id = self.catalog.kind_id(&kind.name).ok_or("a kind without a number")?;
        let args = kind.args.validate(&Value::Object(given)).map_err(|problems| {
            let of =
                |one: &crate::definition::FieldProblem| format!("{}: {}", one.field, one.message);
            format!("{}: {}", kind.name, problems.iter().map(of).collect::<Vec<_>>().join("; "))
        })?;
        let account = if provider.name == self.account.provider.name {
            self.account
        } else {
            self.catalog.default_account(&provider.name)?
        };
        let build = Build {
            kind,
            kind_id,
            account,
            vault: &self.engine.vault,
            actor,
            now: self.now,
            salt: self.salt,
            family: Some(self.family),
        };
        let run_at = match &kind.shape {
            Shape::Follow { every, .. } => {
                let state = PollState {
                    polls: 0,
                    live_follows: 1,
                    min_interval: every.unwrap_or(cadence::MIN_INTERVAL),
                };
                cadence::next_poll(self.now, &state, &account.limits, rand::random())
            }
            _ => self.now,
        };
        Ok(build.row(&Payload { args, ..Payload::default() }, run_at))
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

fn outcome_name(transition: &Transition) -> &'static str {
    match (transition.state, transition.attempt_delta) {
        (JobState::Completed, _) => "completed",
        (JobState::Dead, _) => "dead",
        (JobState::Cancelled, _) => "cancelled",
        (_, 0) => "snoozed",
        _ => "failed",
    }
}

fn what_to_do(id: JobId, code: Option<Code>) -> String {
    match code {
        Some(Code::OutcomeUnknown) => format!(
            "nobody knows whether it was carried out: look at the provider's side, then `attendant \
             jobs resolve {id} --happened …` or `--not-sent`"
        ),
        _ => {
            format!("`attendant jobs show {id}` says why, `attendant jobs retry {id}` tries again")
        }
    }
}

impl Engine {
    /// Ends a dead job as completed with what the provider's side shows, and goes on with its
    /// chain.
    pub(super) async fn settle_resolved(
        &self,
        row: &JobRow,
        response: &Value,
    ) -> Result<(), Refusal> {
        let (catalog, now) = (self.catalog(), self.clock.wall());
        let erased = || Refusal::State(format!("the data of job {} was erased", row.id));
        let salt = row.salt.ok_or_else(erased)?;
        let payload = self.payload(row).ok_or_else(erased)?;
        let account = catalog.account(&row.account).ok_or_else(|| {
            Refusal::State(format!("account `{}` is not configured", row.account))
        })?;
        let Some((_, kind)) = catalog.registry.kind(&row.kind) else {
            return Err(Refusal::State(format!("no definition has the kind {}", row.kind)));
        };
        let vars = account.vars().args(&payload.args).answer(
            200,
            &http::HeaderMap::new(),
            &response.to_string(),
            Some(response),
        );
        let family = Parentage { parent: row.seq, root: row.root };
        let children =
            Children { engine: self, catalog: &catalog, account, salt: &salt, family, now }
                .of(kind, &vars, &payload, self.actor)
                .map_err(|trouble| {
                    Refusal::Invalid(vec![crate::definition::FieldProblem {
                        field: "happened".to_owned(),
                        message: format!(
                            "is not the response that {} would have had: {trouble}",
                            row.kind
                        ),
                    }])
                })?;
        let chain = self.vault.chain(&salt);
        let settlement = Settlement {
            from: JobState::Dead,
            args_rev: None,
            state: JobState::Completed,
            result: Some(vault::seal_json(&chain, row.id, Part::Result, response)),
            children,
            ..unchanged(row.seq, row.generation, row, now)
        };
        if self.store.settle(vec![settlement]).await?.first() != Some(&true) {
            return Err(Refusal::State(format!("job {} changed meanwhile", row.id)));
        }
        self.wake.ready(row.queue);
        self.wake.due(now);
        Ok(())
    }
}

/// A settlement that changes nothing yet.
fn unchanged(seq: JobSeq, generation: Generation, row: &JobRow, now: Timestamp) -> Settlement {
    Settlement {
        seq,
        generation,
        from: row.state,
        args_rev: None,
        now,
        state: row.state,
        run_at: row.run_at,
        ready: false,
        attempt: row.attempt,
        errors: row.errors,
        polls: row.polls,
        deadline: row.deadline,
        error: None,
        result: None,
        history: None,
        observation: None,
        artifact: None,
        children: vec![],
    }
}
