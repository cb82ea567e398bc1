//! `rotate`: a value is created, verified, published, and revoked once its successor has been in
//! use for the overlap. Never ends. [`rotation`] decides each step; here it is made.

mod create;
mod list;

use std::{sync::Arc, time::Duration};

use super::{
    Outcome, PERSON,
    exchange::{Trouble, UNKNOWN_LIFE, failed, next_try, trouble, waits},
    revoke::{Halt, Revoking, gated},
};
use crate::{
    crash,
    credentials::cell::{Cell, rotating::Plan, rotation::Rotation},
    definition::{RequestTemplate, Rotate},
    engine::{
        answer::Answered,
        catalog::Account,
        sender::{Ask, Sender, Stopped},
    },
    policy::{
        classify::Verdict,
        codes::Code,
        rotation::{self, Step},
        settle::AttemptEnd,
    },
    telemetry::events::{Event, Name, emit},
    types::{Generation, Timestamp},
};

/// An attempt ends after so many steps, whatever is left to do: a bound that none reaches.
const MOST_STEPS: usize = 64;

/// One attempt at keeping a rotated credential.
#[derive(Debug)]
pub struct Rotating<'a> {
    pub sender: Sender<'a>,
    pub account: &'a Arc<Account>,
    pub cell: &'a Cell,
    pub rotate: &'a Rotate,
    pub timeout: Duration,
}

impl<'a> Rotating<'a> {
    pub async fn attempt(&mut self) -> Outcome {
        let engine = self.sender.engine;
        let mut last: Option<Trouble> = None;
        for _ in 0..MOST_STEPS {
            if engine.is_draining() || self.sender.stop.is_cancelled() {
                return Outcome::of(AttemptEnd::Released);
            }
            let now = engine.clock.wall();
            let step = rotation::next(
                now,
                &self.cell.facts(now, self.rotate.list.is_some(), engine.clock_is_doubtful()),
            );
            if let Step::Wait(at) = step {
                return last.map_or_else(
                    || Outcome::of(AttemptEnd::Snooze { at }),
                    |trouble| failed(trouble.code, &trouble.words, Some(at)),
                );
            }
            match self.make(step, now).await {
                Ok(()) => {}
                Err(Halt::Released) => return Outcome::of(AttemptEnd::Released),
                Err(Halt::Waits(words)) => return waits(words, engine.clock.wall()),
                Err(Halt::Trouble(trouble)) if trouble.gate => {
                    return gated(&trouble, engine.clock.wall());
                }
                // The store is in trouble, or there is nothing to send with: nothing else goes on.
                Err(Halt::Trouble(trouble))
                    if matches!(trouble.code, Code::Internal | Code::Held) =>
                {
                    return failed(trouble.code, &trouble.words, trouble.not_before);
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
            .map_or_else(|| now.plus(UNKNOWN_LIFE), |life| life.renew_at(engine.chance()));
        let plan = Plan {
            sure: engine.sure_time(),
            renew_at,
            overlap: self.account.overlap.unwrap_or(self.rotate.overlap),
            revocable: self.rotate.revoke.is_some(),
            place: engine.place_of(self.account),
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
        engine.handed_over(self.cell);
        engine.wake.ready(self.account.queue);
        engine.wake_dependents(self.account, &self.cell.name).await?;
        Ok(())
    }

    fn ask<'r>(&self, request: &'r RequestTemplate) -> Ask<'r>
    where
        'a: 'r,
    {
        Ask::for_credential(self.account, request, self.rotate.auth.as_ref(), self.timeout)
    }

    async fn record(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut Rotation) + Send,
    ) -> Result<(), Halt> {
        let engine = self.sender.engine;
        Ok(self
            .cell
            .rotate(&*engine.store, &engine.vault, now.min(engine.sure_time()), change)
            .await?)
    }

    async fn send(&mut self, ask: Ask<'_>) -> Result<Answered, Stopped> {
        let vars = self.sender.engine.vars(self.account);
        self.sender.send(ask, &vars, None).await
    }

    async fn stop<T>(&self, stopped: Stopped) -> Result<T, Halt> {
        let now = self.sender.engine.clock.wall();
        match stopped {
            Stopped::Asked | Stopped::LostClaim => Err(Halt::Released),
            Stopped::Waits(words) => Err(Halt::Waits(words)),
            Stopped::Credential(other) => {
                // Looked at again soon: a person may have mended it.
                let soon = now.plus(PERSON);
                let not_before = Some(other.retry_at.map_or(soon, |at| at.min(soon)));
                self.give_up(Trouble { not_before, ..Trouble::new(Code::Held, other.detail) }).await
            }
            stopped => self.give_up(trouble(stopped, now)).await,
        }
    }

    /// What was to bring a successor failed: when it is tried again is recorded and told.
    async fn give_up<T>(&self, mut trouble: Trouble) -> Result<T, Halt> {
        let engine = self.sender.engine;
        let retry_at = next_try(engine, self.cell, &trouble);
        engine.note_failure(self.account, self.cell, &trouble, retry_at).await?;
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
