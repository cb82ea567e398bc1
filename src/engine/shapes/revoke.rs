//! Values out of use, revoked at the provider: those that a rotation has replaced, and those that
//! a person has withdrawn.

use std::{sync::Arc, time::Duration};

use super::{
    Outcome,
    exchange::{Trouble, failed, trouble, waits},
};
use crate::{
    crash,
    credentials::cell::{
        Cell,
        rotation::{Retired, Rotation},
    },
    definition::{Auth, RequestTemplate},
    engine::{
        Engine,
        catalog::Account,
        sender::{Ask, Sender, Stopped},
    },
    policy::{
        backoff,
        classify::Verdict,
        codes::Code,
        outage::Line,
        renewal::Life,
        rotation::{self, Step},
        settle::AttemptEnd,
    },
    store::StoreError,
    telemetry::events::{Event, Name, emit},
    types::{Generation, Timestamp},
};

/// Why a step was not made.
#[derive(Debug)]
pub(super) enum Halt {
    /// The attempt is to stop: what is recorded says where to go on.
    Released,
    /// Another credential has to come first.
    Waits(String),
    Trouble(Trouble),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Trouble(Trouble::new(Code::Internal, error.to_string()))
    }
}

/// How revocations are sent.
#[derive(Debug, Clone, Copy)]
pub struct Revoking<'a> {
    pub account: &'a Arc<Account>,
    pub cell: &'a Cell,
    pub request: &'a RequestTemplate,
    pub auth: Option<&'a Auth>,
    pub timeout: Duration,
}

impl Revoking<'_> {
    /// Revokes what is due, and then lets the credential's own attempt go on. Its end is brought
    /// forward to the next revocation.
    pub async fn all_due(&self, sender: &mut Sender<'_>) -> Result<(), Outcome> {
        loop {
            let now = sender.engine.clock.wall();
            let Step::Revoke(index) = rotation::next(
                now,
                &self.cell.facts(now, false, sender.engine.clock_is_doubtful()),
            ) else {
                return Ok(());
            };
            match self.one(sender, index).await {
                Err(Halt::Released) => return Err(Outcome::of(AttemptEnd::Released)),
                Err(Halt::Waits(words)) => return Err(waits(words, now)),
                Err(Halt::Trouble(trouble)) if trouble.gate => {
                    return Err(gated(&trouble, now));
                }
                Err(Halt::Trouble(trouble)) if trouble.code == Code::Internal => {
                    return Err(failed(trouble.code, &trouble.words, None));
                }
                // One that failed has told of it, and will be tried again.
                Ok(()) | Err(Halt::Trouble(_)) => {}
            }
        }
    }

    /// Revokes one of the values out of use.
    pub(super) async fn one(&self, sender: &mut Sender<'_>, index: usize) -> Result<(), Halt> {
        let Some(retired) = self.cell.rotation().retired.get(index).cloned() else {
            return Ok(());
        };
        let (engine, name) = (sender.engine, &self.cell.name);
        let next = retired.generation + 1;
        if !retired.withdrawn && engine.sinks_hold_older(self.account.queue, name, next) {
            // Some program would be left with a dead value. A healthy sink needs a moment only.
            if retired.tries == 0 {
                return self.in_a_moment(sender, &retired).await;
            }
            let words = "a file still has it, for its sink fails";
            let trouble = Trouble::new(Code::Sink, words);
            return self.later(sender, &retired, trouble, engine.clock.wall()).await;
        }
        let vars = sender.engine.vars(self.account).value(&retired.value);
        let ask = Ask::for_credential(self.account, self.request, self.auth, self.timeout);
        let sent = sender.send(ask, &vars, None).await;
        crash::point("rotation_revoked");
        match sent {
            Ok(_) => self.gone(sender, &retired).await,
            Err(stopped) if is_gone(&stopped) => self.gone(sender, &retired).await,
            Err(Stopped::Asked | Stopped::LostClaim) => Err(Halt::Released),
            Err(Stopped::Waits(words)) => Err(Halt::Waits(words)),
            Err(stopped) => {
                let now = sender.engine.clock.wall();
                self.later(sender, &retired, trouble(stopped, now), now).await
            }
        }
    }

    async fn in_a_moment(&self, sender: &Sender<'_>, retired: &Retired) -> Result<(), Halt> {
        let engine = sender.engine;
        let now = engine.clock.wall();
        let soon = now.plus(Duration::from_millis(250));
        self.again(engine, retired.generation, (1, soon)).await
    }

    /// Records that a revocation is to be tried (again) at a time.
    async fn again(
        &self,
        engine: &Engine,
        generation: i64,
        (tries, at): (u32, Timestamp),
    ) -> Result<(), Halt> {
        let again = move |rotation: &mut Rotation| {
            for one in rotation.retired.iter_mut().filter(|one| one.generation == generation) {
                (one.tries, one.retry_at) = (tries, Some(at));
            }
        };
        Ok(self.cell.rotate(&*engine.store, &engine.vault, engine.sure_time(), again).await?)
    }

    async fn gone(&self, sender: &Sender<'_>, retired: &Retired) -> Result<(), Halt> {
        let engine = sender.engine;
        let generation = retired.generation;
        let forget = move |rotation: &mut Rotation| {
            rotation.retired.retain(|one| one.generation != generation);
        };
        self.cell.rotate(&*engine.store, &engine.vault, engine.sure_time(), forget).await?;
        emit(
            Name::CredentialRevoked,
            &Event {
                account: Some(&self.account.name),
                credential: Some(&self.cell.name),
                generation: Some(Generation(generation)),
                ..Event::default()
            },
        );
        Ok(())
    }

    async fn later(
        &self,
        sender: &Sender<'_>,
        retired: &Retired,
        trouble: Trouble,
        now: Timestamp,
    ) -> Result<(), Halt> {
        let engine = sender.engine;
        let (generation, tries) = (retired.generation, retired.tries.saturating_add(1));
        let life = retired.revoke_at.zip(retired.expires_at);
        let life = life.map(|(sent_at, expires_at)| Life { sent_at, expires_at });
        let retry_at = backoff::renewal_retry(now, life, tries, engine.chance());
        let retry_at = trouble.not_before.map_or(retry_at, |at| at.max(retry_at));
        self.again(engine, generation, (tries, retry_at)).await?;
        let detail = format!("a value out of use could not be revoked: {}", trouble.words);
        let event = Event {
            account: Some(&self.account.name),
            credential: Some(&self.cell.name),
            generation: Some(Generation(generation)),
            error_code: Some(&trouble.code.text()),
            next_run_at: Some(retry_at),
            detail: Some(&detail),
            ..Event::default()
        };
        let of = (self.account.queue, Line::Revocation, trouble.code);
        engine.tell_failure(of, Name::CredentialNotRevoked, &event);
        Err(Halt::Trouble(Trouble { words: detail, not_before: Some(retry_at), ..trouble }))
    }
}

/// The attempt ends because the whole account is to wait.
pub(super) fn gated(trouble: &Trouble, now: Timestamp) -> Outcome {
    let until = trouble.not_before.unwrap_or(now);
    let mut outcome = failed(trouble.code, &trouble.words, Some(until));
    outcome.gate = Some((until, trouble.code));
    outcome
}

/// The provider knows no such value: it was revoked before, or has expired.
fn is_gone(stopped: &Stopped) -> bool {
    matches!(
        stopped,
        Stopped::Verdict {
            verdict: Verdict::Dead { code: Code::Http(404) }
                | Verdict::ProviderChanged { code: Code::Http(410) },
            ..
        }
    )
}
