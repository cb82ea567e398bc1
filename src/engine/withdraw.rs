//! An operator's word that a value must not be used any more.

use std::time::Duration;

use super::{Engine, actions::Refusal};
use crate::{
    credentials::cell::Cell,
    definition::CredentialShape,
    policy::budget::Class,
    store::StoreResult,
    telemetry::events::{Event, Name, emit},
    types::Generation,
};

/// How long the answer to the operator waits for the provider.
const PATIENCE: Duration = Duration::from_secs(15);
/// The credential's job is woken again so often: one that was just ending may miss the call.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Whether the provider was told to revoke what was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was, and nothing of it is valid there any more.
    Yes,
    /// Not yet: it is tried until it is done, or the value has expired.
    NotYet,
    /// The definition has no `revoke`: it stays valid there until it expires.
    Cannot,
    /// There was nothing to withdraw.
    Nothing,
}

impl Told {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "told",
            Self::NotYet => "pending",
            Self::Cannot => "cannot",
            Self::Nothing => "nothing",
        }
    }
}

impl Engine {
    /// Withdraws the value in hand and all that are still valid beside it, whatever was promised
    /// to their readers; a new one is obtained at once.
    pub async fn withdraw(&self, account: &str, name: &str, who: &str) -> Result<Told, Refusal> {
        let cell = self.cell(account, name)?;
        let revocable = self.can_revoke(account, name);
        let now = self.clock.wall();
        let withdrawn = cell.withdraw(&*self.store, &self.vault, now, revocable).await?;
        let detail = if revocable {
            "withdrawn: it is out of use here, and being revoked at the provider"
        } else {
            "withdrawn: it is out of use here, and valid at the provider until it expires, for the \
             definition has no `revoke`"
        };
        if withdrawn.had_value {
            emit(
                Name::CredentialWithdrawn,
                &Event {
                    account: Some(account),
                    credential: Some(name),
                    generation: Some(Generation(cell.generation())),
                    actor: Some(who),
                    detail: Some(detail),
                    ..Event::default()
                },
            );
        }
        self.wake_renewal(cell.queue, name).await?;
        match (revocable, withdrawn.generations.is_empty()) {
            _ if !withdrawn.had_value && withdrawn.generations.is_empty() => Ok(Told::Nothing),
            (false, _) => Ok(Told::Cannot),
            (true, true) => Ok(Told::Nothing),
            (true, false) => self.revoked(&cell, &withdrawn.generations).await,
        }
    }

    /// What was withdrawn or asked for, and not acted on before the daemon ended, is due now.
    pub(super) async fn resume_withdrawals(&self) -> StoreResult<()> {
        let now = self.clock.wall();
        for cell in self.credentials.all() {
            let revoke = cell.next_revocation(now).is_some_and(|at| at <= now);
            if revoke || (cell.generation() > 0 && cell.renew_at().is_none()) {
                self.wake_renewal(cell.queue, &cell.name).await?;
            }
        }
        Ok(())
    }

    /// Waits, not for long, until the provider has revoked these.
    async fn revoked(&self, cell: &Cell, generations: &[i64]) -> Result<Told, Refusal> {
        let mut changes = cell.revocations();
        if self.queue_hold(cell.queue, Class::Renewal).is_some() {
            // Paused, gated, or out of budget: no use in waiting.
            return Ok(Told::NotYet);
        }
        let told = async {
            while cell.still_valid(generations) {
                if self.clock.timeout(LOOK_AGAIN, changes.changed()).await.is_none() {
                    self.wake_renewal(cell.queue, &cell.name).await?;
                }
            }
            Ok(Told::Yes)
        };
        self.clock.timeout(PATIENCE, told).await.unwrap_or(Ok(Told::NotYet))
    }

    fn can_revoke(&self, account: &str, name: &str) -> bool {
        let catalog = self.catalog();
        let spec = catalog.account(account).and_then(|one| one.provider.credentials.get(name));
        spec.is_some_and(|spec| match &spec.shape {
            CredentialShape::Exchange(exchange) => exchange.revoke.is_some(),
            CredentialShape::Rotate(rotate) => rotate.revoke.is_some(),
        })
    }
}
