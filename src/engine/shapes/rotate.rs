//! `rotate`: a value is created, verified, published, and revoked once its successor has been in
//! use for the overlap. Never ends. [`rotation`] decides each step; here it is made.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use serde_json::Value;

use super::{
    Outcome,
    exchange::{Trouble, UNKNOWN_LIFE, expiry, failed, secret, trouble},
    revoke::{Halt, Revoking, gated, internal},
};
use crate::{
    crash,
    credentials::cell::{
        Cell, Failure,
        rotating::Plan,
        rotation::{Candidate, Intent, Orphan, Rotation},
    },
    definition::{DEFAULT_MAX_BODY, RequestTemplate, Rotate, TokenList, Vars},
    engine::{
        answer::Answered,
        catalog::Account,
        sender::{Ask, Sender, Stopped},
    },
    outbound::Manner,
    policy::{
        backoff,
        classify::Verdict,
        codes::Code,
        rotation::{
            self, Step,
            reconcile::{self, Doubt, Entry, Mark},
        },
        settle::AttemptEnd,
    },
    telemetry::events::{Event, Name, emit},
    types::{Generation, Timestamp},
};

/// An attempt ends after so many steps, whatever is left to do: a bound that none reaches.
const MOST_STEPS: usize = 64;

/// With nothing left to use, and the list failing so often in a row, a value is created without it.
const BLIND_AFTER: u32 = 3;

/// One attempt at keeping a rotated credential.
#[derive(Debug)]
pub struct Rotating<'a> {
    pub sender: Sender<'a>,
    pub account: &'a Arc<Account>,
    pub cell: &'a Cell,
    pub rotate: &'a Rotate,
    pub timeout: Duration,
}

/// One entry of the provider's list.
struct Listed {
    value: SecretString,
    entry: Entry,
}

impl<'a> Rotating<'a> {
    pub async fn attempt(&mut self) -> Outcome {
        self.cell.stands_apart();
        self.sender.secret_args.extend(self.cell.values());
        let engine = self.sender.engine;
        let mut last: Option<Trouble> = None;
        for _ in 0..MOST_STEPS {
            if engine.is_draining() || self.sender.stop.is_cancelled() {
                return Outcome::of(AttemptEnd::Released);
            }
            let now = engine.clock.wall();
            let step = rotation::next(now, &self.cell.facts(now, self.rotate.list.is_some()));
            if let Step::Wait(at) = step {
                return last.map_or_else(
                    || Outcome::of(AttemptEnd::Snooze { at }),
                    |trouble| failed(trouble.code, &trouble.words, Some(at)),
                );
            }
            match self.make(step, now).await {
                Ok(()) => {}
                Err(Halt::Released) => return Outcome::of(AttemptEnd::Released),
                Err(Halt::Trouble(trouble)) if trouble.gate => {
                    return gated(&trouble, engine.clock.wall());
                }
                // The store is in trouble: nothing of this is on disk, so nothing goes on.
                Err(Halt::Trouble(trouble)) if trouble.code == Code::Internal => {
                    return failed(trouble.code, &trouble.words, None);
                }
                Err(Halt::Trouble(trouble)) => last = Some(trouble),
            }
        }
        Outcome::of(AttemptEnd::Snooze { at: engine.clock.wall() })
    }

    async fn make(&mut self, step: Step, now: Timestamp) -> Result<(), Halt> {
        match step {
            Step::Revoke(index) => self.revoke(index).await,
            Step::Drop => self.record(now, |rotation| rotation.candidate = None).await,
            Step::Create => self.create(now).await,
            Step::Reconcile => self.reconcile(now).await,
            Step::Verify => self.verify(now).await,
            Step::Publish { verified } => self.publish(verified).await,
            Step::Wait(_) => Ok(()),
        }
    }

    async fn revoke(&mut self, index: usize) -> Result<(), Halt> {
        let Some(request) = &self.rotate.revoke else {
            // The definition had a `revoke` when it was planned, and has none any more.
            let now = self.sender.engine.clock.wall();
            let leave = |rotation: &mut Rotation| {
                rotation.retired.iter_mut().for_each(|one| one.revoke_at = None);
            };
            return self.record(now, leave).await;
        };
        let (account, cell, timeout) = (self.account, self.cell, self.timeout);
        let auth = self.rotate.auth.as_ref();
        Revoking { account, cell, request, auth, timeout }.one(&mut self.sender, index).await
    }

    /// Records the intent with what the list shows before it, and sends the create.
    async fn create(&mut self, now: Timestamp) -> Result<(), Halt> {
        let earlier = self.cell.rotation().intent;
        let first = earlier.is_none();
        let intent = match earlier {
            Some(intent) => Intent { last_sent: now, sends: intent.sends + 1, ..intent },
            None => {
                let known = self.known(now).await?;
                let at = self.sender.engine.clock.wall();
                Intent { at, last_sent: at, sends: 1, known }
            }
        };
        self.record(now, |rotation| rotation.intent = Some(intent)).await?;
        crash::point("rotation_intended");
        let ask = Ask { repeat_never: true, own_intent: true, ..self.ask(&self.rotate.create) };
        // A connection that was idle may be gone: a create must not meet that.
        let manner = Manner { fresh_connection: true, ..ask.manner };
        let ask = Ask { success: self.rotate.success.as_ref(), manner, ..ask };
        let sent = self.sender.send(ask, &self.account.vars(), None).await;
        match sent {
            Ok(answered) => {
                crash::point("rotation_created");
                self.created(&answered).await
            }
            Err(Stopped::Asked | Stopped::LostClaim) => Err(Halt::Released),
            Err(stopped) => {
                let now = self.sender.engine.clock.wall();
                if first && was_not_made(&stopped) {
                    self.record(now, |rotation| rotation.intent = None).await?;
                }
                self.give_up(trouble(stopped, now)).await
            }
        }
    }

    /// The values that the list shows before a create. What an earlier create in doubt brought
    /// after all is found here at the latest.
    async fn known(&mut self, now: Timestamp) -> Result<Option<Vec<Mark>>, Halt> {
        let Some(list) = &self.rotate.list else { return Ok(None) };
        let listed = match self.list(list).await {
            Ok(listed) => listed,
            // Better a value too many than none at all.
            Err(stopped) if self.cell.errors() >= BLIND_AFTER && self.has_nothing(now) => {
                return match stopped {
                    Stopped::Verdict { verdict, .. } if is_answer(verdict) => Ok(None),
                    stopped => self.stop(stopped).await,
                };
            }
            Err(stopped) => return self.stop(stopped).await,
        };
        self.note_orphans(&listed, now).await?;
        if self.cell.rotation().doubt.is_some() {
            self.record(now, |rotation| rotation.doubt = None).await?;
        }
        Ok(Some(listed.iter().map(|one| one.entry.mark).collect()))
    }

    fn has_nothing(&self, now: Timestamp) -> bool {
        self.cell.held(now, Duration::ZERO).is_none()
    }

    /// A create was answered: what it made is kept before anything else.
    async fn created(&mut self, answered: &Answered) -> Result<(), Halt> {
        let now = self.sender.engine.clock.wall();
        let value = match secret(answered, &self.rotate.value) {
            Ok(value) => value,
            // It was made, but this answer does not say what: the list will.
            Err(stopped) => return self.stop(stopped).await,
        };
        let (lifetime, sent_at) = (&self.rotate.lifetime, answered.sent_at);
        let expires_at = expiry(&value, sent_at, lifetime, &answered.vars);
        let candidate = Candidate { value, sent_at, expires_at, unsure: false, verify_failures: 0 };
        self.keep(candidate, now, vec![], 1).await
    }

    /// Makes a created value the candidate. `found`: how many of the creates in doubt are accounted
    /// for by it and the orphans.
    async fn keep(
        &mut self,
        candidate: Candidate,
        now: Timestamp,
        orphans: Vec<Orphan>,
        found: usize,
    ) -> Result<(), Halt> {
        let expired = candidate.life().is_some_and(|life| life.usable_until() <= now);
        let expires_at = candidate.expires_at;
        let kept = move |rotation: &mut Rotation| {
            let intent = rotation.intent.take();
            // One that was sent before may still turn up.
            let doubt = intent.filter(|one| one.known.is_some() && one.sends as usize > found);
            rotation.doubt = doubt.or(rotation.doubt.take());
            rotation.orphans.extend(orphans);
            rotation.candidate = Some(candidate).filter(|_| !expired);
        };
        self.record(now, kept).await?;
        if expired {
            let words = "the value that came has expired already: is a clock wrong?".to_owned();
            let not_before = Some(now.plus(Duration::from_secs(30)));
            let code = Code::Unsuccessful;
            let trouble = Trouble { code, not_before, ..internal(words) };
            return self.give_up(trouble).await;
        }
        let detail = "created; not yet in use";
        emit(
            Name::CredentialObtained,
            &Event { next_run_at: expires_at, detail: Some(detail), ..self.event() },
        );
        Ok(())
    }

    /// Looks in the list for what a create with a lost reply made.
    async fn reconcile(&mut self, now: Timestamp) -> Result<(), Halt> {
        let (Some(list), Some(intent)) = (&self.rotate.list, self.cell.rotation().intent) else {
            return Ok(());
        };
        let listed = match self.list(list).await {
            Ok(listed) => listed,
            Err(stopped) => return self.stop(stopped).await,
        };
        let found = self.newcomers(&listed, &intent, now);
        let Some((newest, others)) = found.split_first() else {
            let now = self.sender.engine.clock.wall();
            let facts = self.cell.facts(now, true);
            let again_at = rotation::create_again_at(now, intent.last_sent, &facts);
            if again_at <= now {
                return self.create(now).await;
            }
            let words = "nobody knows whether a value was created; the list does not show one yet";
            let (code, not_before) = (Code::OutcomeUnknown, Some(again_at));
            return self.give_up(Trouble { code, not_before, ..internal(words.to_owned()) }).await;
        };
        let newest = &listed[*newest];
        let sent_at = newest.entry.created_at.map_or(intent.at, |at| at.max(intent.at)).min(now);
        let candidate = Candidate {
            value: newest.value.clone(),
            sent_at,
            expires_at: newest.entry.expires_at.or_else(|| self.guessed_expiry(newest, sent_at)),
            unsure: !others.is_empty(),
            verify_failures: 0,
        };
        let orphans: Vec<Orphan> =
            others.iter().map(|at| orphan(&listed[*at].entry, now)).collect();
        self.tell_orphans(orphans.len());
        self.keep(candidate, now, orphans, found.len()).await
    }

    /// The expiry of a value of which the list tells none: by the definition's rules that need no
    /// answer, else as long as the one before it.
    fn guessed_expiry(&self, listed: &Listed, sent_at: Timestamp) -> Option<Timestamp> {
        let known = expiry(&listed.value, sent_at, &self.rotate.lifetime, &self.account.vars());
        known.or_else(|| Some(sent_at.plus(self.cell.life()?.length())))
    }

    async fn verify(&mut self, now: Timestamp) -> Result<(), Halt> {
        let (Some(list), Some(candidate)) = (&self.rotate.list, self.cell.rotation().candidate)
        else {
            return Ok(());
        };
        let stopped = match self.list(list).await {
            Ok(listed) => {
                self.note_orphans(&listed, now).await?;
                let mark = Cell::mark(&self.sender.engine.vault, &candidate.value);
                if listed.iter().any(|one| one.entry.mark == mark) {
                    crash::point("rotation_verified");
                    return self.publish(true).await;
                }
                let words = "the provider's list does not show the value that was created";
                let verdict = Verdict::RetryFew { code: Code::Unsuccessful };
                Stopped::Verdict { verdict, words: words.to_owned() }
            }
            Err(stopped @ (Stopped::Asked | Stopped::LostClaim)) => {
                return self.stop(stopped).await;
            }
            Err(stopped) => stopped,
        };
        let failed = |rotation: &mut Rotation| {
            if let Some(candidate) = &mut rotation.candidate {
                candidate.verify_failures = candidate.verify_failures.saturating_add(1);
            }
        };
        self.record(now, failed).await?;
        self.stop(stopped).await
    }

    /// Puts the candidate into use, and the value before it out of use. Durable first; then those
    /// are told who wait for it.
    async fn publish(&mut self, verified: bool) -> Result<(), Halt> {
        let engine = self.sender.engine;
        let now = engine.clock.wall();
        let Some(candidate) = self.cell.rotation().candidate else { return Ok(()) };
        let renew_at = candidate
            .life()
            .map_or_else(|| now.plus(UNKNOWN_LIFE), |life| life.renew_at(rand::random()));
        let plan = Plan {
            renew_at,
            overlap: self.account.overlap.unwrap_or(self.rotate.overlap),
            revocable: self.rotate.revoke.is_some(),
        };
        let published =
            self.cell.publish(&*engine.store, &engine.vault, &engine.clock, plan).await?;
        let Some(published) = published else { return Ok(()) };
        crash::point("rotation_published");
        let detail = (!verified).then_some(
            "published although the provider's list does not show it: there is nothing else to use",
        );
        emit(
            Name::CredentialPublished,
            &Event {
                generation: Some(Generation(published.generation)),
                next_run_at: Some(renew_at),
                outcome: Some(if verified { "verified" } else { "unverified" }),
                detail,
                ..self.event()
            },
        );
        engine.wake.ready(self.account.queue);
        Ok(())
    }

    /// Records new entries that creates in doubt may have made and that are not used.
    async fn note_orphans(&self, listed: &[Listed], now: Timestamp) -> Result<(), Halt> {
        let rotation = self.cell.rotation();
        let doubts = rotation.doubt.iter().chain(&rotation.intent);
        let mut found: Vec<usize> =
            doubts.flat_map(|doubt| self.newcomers(listed, doubt, now)).collect();
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return Ok(());
        }
        let orphans: Vec<Orphan> = found.iter().map(|at| orphan(&listed[*at].entry, now)).collect();
        self.tell_orphans(orphans.len());
        self.record(now, move |rotation| rotation.orphans.extend(orphans)).await
    }

    fn newcomers(&self, listed: &[Listed], intent: &Intent, now: Timestamp) -> Vec<usize> {
        let entries: Vec<Entry> = listed.iter().map(|one| one.entry).collect();
        let ours = self.cell.marks(&self.sender.engine.vault);
        let Some(known) = &intent.known else { return vec![] };
        let (first_sent, last_sent) = (intent.at, intent.last_sent);
        let doubt = Doubt { first_sent, last_sent, known };
        reconcile::newcomers(&entries, &ours, doubt, now)
    }

    fn tell_orphans(&self, count: usize) {
        if count == 0 {
            return;
        }
        let detail = format!(
            "{count} value(s) in the provider's list may come of a create whose reply was lost; \
             they are left to expire, for somebody else may have made them"
        );
        let event = Event { detail: Some(&detail), ..self.event() };
        emit(Name::CredentialOrphaned, &event);
    }

    async fn list(&mut self, list: &TokenList) -> Result<Vec<Listed>, Stopped> {
        let vars = self.account.vars();
        let answered = self.sender.send(self.ask(&list.request), &vars, None).await?;
        let entries = list.entries(&answered.vars).map_err(|error| unlike(&error.to_string()))?;
        entries.iter().map(|item| self.listed(list, &answered.vars.clone().item(item))).collect()
    }

    fn listed(&self, list: &TokenList, vars: &Vars) -> Result<Listed, Stopped> {
        let value = list.value.eval(vars).map_err(|error| unlike(&error.to_string()))?;
        let value = match value {
            Value::String(text) if !text.trim().is_empty() => text.trim().to_owned(),
            _ => return Err(unlike(&format!("`{}` is not a text in it", list.value.text()))),
        };
        let time = |expr: &Option<crate::definition::Expr>| {
            let at = expr.as_ref()?.eval(vars).ok()?;
            super::exchange::time(&at)
        };
        let value = SecretString::from(value);
        let entry = Entry {
            mark: Cell::mark(&self.sender.engine.vault, &value),
            created_at: time(&list.created_at),
            expires_at: time(&list.expires_at),
        };
        Ok(Listed { value, entry })
    }

    fn ask<'r>(&self, request: &'r RequestTemplate) -> Ask<'r>
    where
        'a: 'r,
    {
        Ask {
            request,
            auth: self.rotate.auth.as_ref(),
            success: None,
            retry_when: None,
            retry_after: None,
            refused_when: None,
            status: None,
            secret_answer: true,
            raw: false,
            repeat_never: false,
            own_intent: false,
            follow: false,
            manner: Manner {
                timeout: self.timeout,
                max_body: DEFAULT_MAX_BODY,
                basic: self.account.provider.basic_encoding,
                fresh_connection: false,
            },
        }
    }

    async fn record(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut Rotation) + Send,
    ) -> Result<(), Halt> {
        let engine = self.sender.engine;
        Ok(self.cell.rotate(&*engine.store, &engine.vault, now, change).await?)
    }

    async fn stop<T>(&self, stopped: Stopped) -> Result<T, Halt> {
        match stopped {
            Stopped::Asked | Stopped::LostClaim => Err(Halt::Released),
            stopped => self.give_up(trouble(stopped, self.sender.engine.clock.wall())).await,
        }
    }

    /// What was to bring a successor failed: when it is tried again is recorded and told.
    async fn give_up<T>(&self, mut trouble: Trouble) -> Result<T, Halt> {
        let engine = self.sender.engine;
        let now = engine.clock.wall();
        let errors = self.cell.errors().saturating_add(1);
        let retry_at = backoff::renewal_retry(now, self.cell.life(), errors, rand::random());
        let retry_at = trouble.not_before.map_or(retry_at, |at| at.max(retry_at));
        let failure = Failure {
            now,
            code: trouble.code,
            words: &trouble.words,
            retry_at: Some(retry_at),
            refused: None,
        };
        self.cell.fail(&*engine.store, &engine.vault, failure).await?;
        emit(
            Name::CredentialRenewalFailed,
            &Event {
                error_code: Some(&trouble.code.text()),
                next_run_at: Some(retry_at),
                detail: Some(&trouble.words),
                ..self.event()
            },
        );
        // Jobs that need it are claimed again when it is next tried.
        engine.wake.ready(self.account.queue);
        trouble.not_before = Some(retry_at);
        Err(Halt::Trouble(trouble))
    }

    fn event(&self) -> Event<'a> {
        Event {
            account: Some(&self.account.name),
            credential: Some(&self.cell.name),
            ..Event::default()
        }
    }
}

/// Whether a create surely made nothing. It is classified as one that must not be repeated, so
/// every other end is definite: refused, or never sent.
fn was_not_made(stopped: &Stopped) -> bool {
    !matches!(stopped, Stopped::Verdict { verdict: Verdict::OutcomeUnknown { .. }, .. })
}

/// Whether the provider was reached, and its answer is of no use.
fn is_answer(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Retry { code, .. }
        | Verdict::RetryFew { code }
        | Verdict::ProviderChanged { code }
        | Verdict::Dead { code } => {
            matches!(code, Code::Http(_) | Code::Unparsable | Code::Unsuccessful)
        }
        _ => false,
    }
}

fn orphan(entry: &Entry, now: Timestamp) -> Orphan {
    Orphan { mark: entry.mark, seen_at: now, expires_at: entry.expires_at }
}

/// The list is not what the definition expects.
fn unlike(words: &str) -> Stopped {
    let verdict = Verdict::RetryFew { code: Code::Unparsable };
    Stopped::Verdict { verdict, words: format!("the list of values: {words}") }
}
