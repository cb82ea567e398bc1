//! The steps of a rotation as the credential's one row sees them: each is one durable write.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use super::{
    super::{seal, vault::Vault},
    Cell, Origin, State,
    rotation::{Candidate, Retired, Rotation},
};
use crate::{
    clock::Clock,
    policy::{
        codes::Code,
        renewal::Life,
        rotation::{
            Facts, Retired as Facing,
            promise::{self, Promise, earlier},
            reconcile::Mark,
        },
    },
    store::{CredentialRow, Hash16, Store, StoreResult},
    types::Timestamp,
};

/// With what a candidate is published.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The time, as far as it is sure: what was over by then is forgotten.
    pub sure: Timestamp,
    pub renew_at: Timestamp,
    pub overlap: Duration,
    /// Old values can be revoked; else they are left to expire.
    pub revocable: bool,
    /// Where it is valid.
    pub place: Hash16,
}

/// What a publication did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    pub generation: i64,
    /// When the value before it is revoked, if it is.
    pub revoke_at: Option<Timestamp>,
}

impl Plan {
    /// The row of a published candidate, but for what is sealed in it.
    fn apply(&self, row: &mut CredentialRow, candidate: &Candidate) {
        row.generation += 1;
        row.salt = seal::new_salt();
        (row.sent_at, row.expires_at) = (Some(candidate.sent_at), candidate.expires_at);
        row.renew_at = Some(self.renew_at);
        row.promised_until = (self.revocable && !candidate.unsure)
            .then(|| promise::planned_until(self.renew_at, self.overlap, row.expires_at));
        (row.errors, row.error, row.secrets) = (0, None, None);
    }
}

impl State {
    /// The last try failed for want of another credential: it may have come at any time.
    fn waits_for_another(&self) -> bool {
        let error = self.row.as_ref().filter(|row| row.errors > 0).and_then(|r| r.error.as_ref());
        error.is_some_and(|error| error.code == Code::Held.text())
    }

    /// What the readers of the value in hand are promised, where it is a rotated one.
    pub(super) fn promise(&self) -> Option<Promise> {
        let row = self.row.as_ref()?;
        let promised_until = Some(row.promised_until?);
        let overlap = self.rotation.overlap();
        Some(Promise { expires_at: row.expires_at, promised_until, overlap })
    }

    /// When the value in hand is or would be revoked, as seen by whoever asks now.
    pub(super) fn planned_end(&self, now: Timestamp) -> Option<Timestamp> {
        let planned = self.promise().and_then(|promise| promise.valid_until(now));
        earlier(planned, self.retiring)
    }
}

impl Cell {
    /// What the next step is decided by. While the clock is in `doubt` nothing is revoked by it, but
    /// what a person withdrew.
    #[must_use]
    pub fn facts(&self, now: Timestamp, can_list: bool, doubt: bool) -> Facts {
        let state = self.state();
        let rotation = &state.rotation;
        let life = state.life().map(Life::usable_until);
        Facts {
            usable_until: state.value.as_ref().map(|_| life),
            renew_at: state.row.as_ref().and_then(|row| row.renew_at),
            retry_at: state.retry_at.filter(|at| now < *at && !state.waits_for_another()),
            in_doubt_since: rotation.intent.as_ref().map(|intent| intent.last_sent),
            candidate: rotation.candidate.as_ref().map(Candidate::facts),
            retired: rotation
                .retired
                .iter()
                .map(|one| match one.facts() {
                    facts if doubt && !one.withdrawn => Facing { revoke_at: None, ..facts },
                    facts => facts,
                })
                .collect(),
            can_list,
        }
    }

    #[must_use]
    pub fn rotation(&self) -> Rotation {
        self.state().rotation.clone()
    }

    /// When the next of the values out of use is to be revoked, or its revocation tried again.
    #[must_use]
    pub fn next_revocation(&self, now: Timestamp) -> Option<Timestamp> {
        let state = self.state();
        let live = state.rotation.retired_at(now);
        live.filter_map(|one| Some(one.revoke_at?.max(one.retry_at.unwrap_or(now)))).min()
    }

    /// When the next value is planned; `None`: now.
    #[must_use]
    pub fn renew_at(&self) -> Option<Timestamp> {
        self.state().row.as_ref()?.renew_at
    }

    /// Whether no value can ever live so long after it was handed out.
    #[must_use]
    pub fn never_reaches(&self, min_ttl: Duration) -> bool {
        let state = self.state();
        if state.value.is_none() {
            return false;
        }
        let Some(life) = state.life() else { return false };
        match state.promise() {
            Some(promise) => !promise::reaches(life, promise.overlap, min_ttl),
            None => !life.reaches(min_ttl),
        }
    }

    /// How long a fresh value is good for, as far as the one in hand tells.
    #[must_use]
    pub fn longest(&self) -> Option<Duration> {
        let state = self.state();
        let life = state.life()?;
        Some(match state.promise() {
            Some(promise) => promise::longest(life, promise.overlap),
            None => life.longest(),
        })
    }

    /// A value as it is compared with others.
    #[must_use]
    pub fn mark(vault: &Vault, value: &SecretString) -> Mark {
        let hash = vault.hash("rotation", &[value.expose_secret().as_bytes()]);
        Mark::from_be_bytes(std::array::from_fn(|at| hash[at]))
    }

    /// Those of the provider's values that are known here.
    #[must_use]
    pub fn marks(&self, vault: &Vault) -> Vec<Mark> {
        let mut marks: Vec<Mark> =
            self.all_secrets().iter().map(|value| Self::mark(vault, value)).collect();
        marks.extend(self.state().rotation.orphans.iter().map(|one| one.mark));
        marks
    }

    /// One step: changes what is kept of the rotation, durably. What was over by a time that is
    /// `sure` is forgotten.
    pub async fn rotate(
        &self,
        store: &dyn Store,
        vault: &Vault,
        sure: Timestamp,
        change: impl FnOnce(&mut Rotation) + Send,
    ) -> StoreResult<()> {
        let _changing = self.changing.lock().await;
        let mut rotation = self.rotation();
        change(&mut rotation);
        rotation.prune(sure);
        let mut row = self.row();
        let (value, refresh_token) = self.secrets();
        let kept = (value.as_ref(), refresh_token.as_ref(), self.state().origin);
        row.value = self.sealed_with(vault, &row, kept, rotation.clone());
        store.save_credential(row.clone()).await?;
        let mut state = self.state();
        state.row = Some(row);
        state.rotation = rotation;
        drop(state);
        self.revocations.send_modify(|changes| *changes += 1);
        Ok(())
    }

    /// Puts the candidate in the place of the value in hand, which is out of use from now on but
    /// stays valid as long as its readers were promised. `None` where there is no candidate.
    pub async fn publish(
        &self,
        store: &dyn Store,
        vault: &Vault,
        clock: &Clock,
        plan: Plan,
    ) -> StoreResult<Option<Published>> {
        let _changing = self.changing.lock().await;
        let mut rotation = self.rotation();
        let Some(candidate) = rotation.candidate.take() else { return Ok(None) };
        let revoke_at = self.retire(clock);
        let mut row = self.row();
        let (old, refresh_token) = self.secrets();
        // A provider that answers with the value that it gave before has not made another.
        let same = |other: &SecretString| other.expose_secret() == candidate.value.expose_secret();
        let old = old.filter(|old| !same(old));
        let revoke_at = revoke_at.filter(|_| plan.revocable && !rotation.unsure && old.is_some());
        rotation.retired.retain(|one| !same(&one.value));
        rotation.retired.extend(old.map(|value| retired(value, &row, revoke_at)));
        rotation.prune(plan.sure);
        rotation.set_overlap(plan.overlap);
        rotation.unsure = candidate.unsure;
        plan.apply(&mut row, &candidate);
        let origin =
            Origin { relative: candidate.relative, place: Some(plan.place), ..Origin::default() };
        let kept = (Some(&candidate.value), refresh_token.as_ref(), origin);
        row.value = self.sealed_with(vault, &row, kept, rotation.clone());
        let saved = store.save_credential(row.clone()).await;
        let mut state = self.state();
        state.retiring = None;
        saved?;
        let published = Published { generation: row.generation, revoke_at };
        (state.value, state.origin) = (Some(candidate.value), origin);
        (state.retry_at, state.words) = (None, None);
        state.row = Some(row);
        state.rotation = rotation;
        drop(state);
        self.ends.send_modify(|ends| *ends += 1);
        Ok(Some(published))
    }

    /// From this very moment on nobody is promised more than the overlap from now: the time is read
    /// while nobody is handed a value.
    fn retire(&self, clock: &Clock) -> Option<Timestamp> {
        let mut state = self.state();
        let now = clock.wall();
        let revoke_at = state.promise().and_then(|promise| promise.revoke_at(now));
        state.retiring = revoke_at;
        revoke_at
    }

    /// A person's word: what is in hand, and all that is out of use but still valid, is to be
    /// revoked now, whatever was promised. How many values there are to be revoked at the provider.
    pub async fn withdraw(
        &self,
        store: &dyn Store,
        vault: &Vault,
        now: Timestamp,
        revocable: bool,
    ) -> StoreResult<Withdrawn> {
        let _changing = self.changing.lock().await;
        let mut rotation = self.rotation();
        let mut row = self.row();
        let (old, _) = self.secrets();
        let had_value = old.is_some();
        rotation.retired.extend(old.map(|value| retired(value, &row, None)));
        for one in &mut rotation.retired {
            (one.revoke_at, one.retry_at) = (revocable.then_some(now), None);
            one.withdrawn = true;
        }
        rotation.prune(now);
        row.renew_at = None;
        row.value =
            self.sealed_with(vault, &row, (None, None, Origin::default()), rotation.clone());
        store.save_credential(row.clone()).await?;
        let generations = rotation.retired.iter().map(|one| one.generation).collect();
        let mut state = self.state();
        (state.value, state.refresh_token, state.retry_at) = (None, None, None);
        state.row = Some(row);
        state.rotation = rotation;
        Ok(Withdrawn { had_value, generations })
    }

    /// Whether any of these generations still waits to be revoked.
    #[must_use]
    pub fn still_valid(&self, generations: &[i64]) -> bool {
        let state = self.state();
        generations.iter().any(|one| state.rotation.revocation(*one).is_some())
    }

    /// Tells when what is kept of a rotation changes.
    #[must_use]
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }
}

/// The value in hand, out of use from now on.
fn retired(value: SecretString, row: &CredentialRow, revoke_at: Option<Timestamp>) -> Retired {
    let (generation, expires_at) = (row.generation, row.expires_at);
    Retired { value, generation, expires_at, revoke_at, tries: 0, retry_at: None, withdrawn: false }
}

/// What a person's word took out of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    pub had_value: bool,
    /// The generations to be revoked at the provider.
    pub generations: Vec<i64>,
}
