//! A successor is asked for, its intent being on disk, and kept before anything else.

use std::time::Duration;

use super::{
    super::{
        exchange::{Trouble, expiry, secret},
        revoke::Halt,
    },
    Rotating,
};
use crate::{
    crash,
    credentials::cell::{
        Cell,
        rotation::{Candidate, Intent, Orphan, Rotation},
    },
    engine::{
        answer::Answered,
        sender::{Ask, Stopped},
    },
    outbound::Manner,
    policy::{classify::Verdict, codes::Code, rotation::reconcile::Mark},
    telemetry::events::{Event, Name, emit},
    types::Timestamp,
};

/// With nothing left to use, and the list failing so often in a row, a value is created without it.
const BLIND_AFTER: u32 = 3;
/// A value that came expired is not asked for again at once: each try leaves one at the provider.
const WRONG_CLOCK: Duration = Duration::from_mins(10);

impl Rotating<'_> {
    /// Records the intent with what the list shows before it, and sends the create.
    pub(super) async fn create(&mut self, now: Timestamp) -> Result<(), Halt> {
        let earlier = self.cell.rotation().intent;
        let first = earlier.is_none();
        let intent = if let Some(intent) = earlier {
            Intent { last_sent: now, sends: intent.sends.saturating_add(1), ..intent }
        } else {
            let known = self.known(now).await?;
            let at = self.sender.engine.clock.wall();
            Intent { at, last_sent: at, sends: 1, known }
        };
        self.record(now, |rotation| rotation.intent = Some(intent)).await?;
        crash::point("rotation_intended");
        let ask = Ask { repeat_never: true, own_intent: true, ..self.ask(&self.rotate.create) };
        // A connection that was idle may be gone: a create must not meet that.
        let manner = Manner { fresh_connection: true, ..ask.manner };
        let ask = Ask { success: self.rotate.success.as_ref(), manner, ..ask };
        let sent = self.send(ask).await;
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
                self.stop(stopped).await
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
        let (expires_at, relative) = expiry(&value, sent_at, lifetime, &answered.vars);
        let (unsure, verify_failures) = (false, 0);
        let candidate = Candidate { value, sent_at, expires_at, relative, unsure, verify_failures };
        self.keep(candidate, now, vec![], 1).await
    }

    /// Makes a created value the candidate. `found`: how many of the creates in doubt are accounted
    /// for by it and the orphans.
    pub(super) async fn keep(
        &mut self,
        candidate: Candidate,
        now: Timestamp,
        orphans: Vec<Orphan>,
        found: usize,
    ) -> Result<(), Halt> {
        let expired = candidate.life().is_some_and(|life| life.usable_until() <= now);
        let expires_at = candidate.expires_at;
        // It may well live, if it is our clock that is wrong.
        let mark = Cell::mark(&self.sender.engine.vault, &candidate.value);
        let unusable = expired.then_some(Orphan { mark, seen_at: now, expires_at: None });
        let kept = move |rotation: &mut Rotation| {
            let intent = rotation.intent.take();
            // One that was sent before may still turn up.
            let doubt = intent.filter(|one| one.known.is_some() && one.sends as usize > found);
            rotation.doubt = doubt.or(rotation.doubt.take());
            rotation.orphans.extend(orphans);
            rotation.orphans.extend(unusable);
            rotation.candidate = Some(candidate).filter(|_| !expired);
        };
        self.record(now, kept).await?;
        if expired {
            let words = "the value that came has expired already: is a clock wrong?";
            let not_before = Some(now.plus(WRONG_CLOCK));
            let trouble = Trouble { not_before, ..Trouble::new(Code::Unsuccessful, words) };
            return self.give_up(trouble).await;
        }
        let detail = "created; not yet in use";
        emit(
            Name::CredentialObtained,
            &Event { next_run_at: expires_at, detail: Some(detail), ..self.event() },
        );
        Ok(())
    }
}

/// Whether a create surely made nothing: refused, or never sent. It is classified as one that must
/// not be repeated, so a verdict is definite unless it says that nobody knows. Trouble with the
/// store may come after the answer as well.
fn was_not_made(stopped: &Stopped) -> bool {
    match stopped {
        Stopped::Verdict { verdict, .. } => !matches!(verdict, Verdict::OutcomeUnknown { .. }),
        Stopped::Store(_) | Stopped::Asked | Stopped::LostClaim => false,
        Stopped::Credential(_)
        | Stopped::Waits(_)
        | Stopped::Unauthorized { .. }
        | Stopped::Budget
        | Stopped::Definition(_) => true,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_made_nothing_ends_the_doubt() {
        let verdict = |verdict| Stopped::Verdict { verdict, words: String::new() };
        let (code, words) = (Code::Http(400), String::new);
        let table = [
            (verdict(Verdict::Dead { code }), true),
            (verdict(Verdict::Unauthorized), true),
            (verdict(Verdict::Retry { code: Code::Dns, counts_error: true }), true),
            (verdict(Verdict::OutcomeUnknown { code: Code::Timeout }), false),
            (Stopped::Waits(words()), true),
            (Stopped::Unauthorized { words: words() }, true),
            (Stopped::Budget, true),
            // The answer may have come, and its credential's record failed.
            (Stopped::Store(words()), false),
            (Stopped::Asked, false),
            (Stopped::LostClaim, false),
        ];
        for (stopped, so) in table {
            assert_eq!(was_not_made(&stopped), so, "{stopped:?}");
        }
    }
}
