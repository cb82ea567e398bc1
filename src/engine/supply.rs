//! Credentials for those who ask: the value in hand, or the one that the credential's job brings.

use std::{sync::Arc, time::Duration};

use super::{Engine, actions::Refusal};
use crate::{
    credentials::cell::{Cell, Held, Unavailable},
    policy::{budget::Class, codes::Code},
};

/// How long a wait for a renewal lasts before the renewal is woken again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Engine {
    /// A credential's value, valid for at least `min_ttl` more, obtained first if need be.
    pub async fn credential_value(
        &self,
        account: &str,
        name: &str,
        min_ttl: Duration,
        timeout: Duration,
    ) -> Result<Held, Refusal> {
        let cell = self.cell(account, name)?;
        if let Some(held) = cell.held(self.clock.wall(), min_ttl) {
            return Ok(held);
        }
        if cell.never_reaches(min_ttl) {
            return Err(Refusal::MinTtlUnreachable(min_ttl));
        }
        let obtained = self.clock.timeout(timeout, self.obtain(&cell, min_ttl)).await;
        if cell.never_reaches(min_ttl) {
            return Err(Refusal::MinTtlUnreachable(min_ttl));
        }
        match obtained {
            Some(held) => held.map_err(Refusal::Credential),
            None => Err(Refusal::Credential(Unavailable {
                code: Code::Timeout,
                retry_at: None,
                detail: format!("{account}/{name} could not be obtained in time"),
            })),
        }
    }

    /// Waits for a value that this credential's job brings. Ends with the job's first failure.
    pub(super) async fn obtain(&self, cell: &Cell, min_ttl: Duration) -> Result<Held, Unavailable> {
        let mut ends = cell.ends();
        let (seen, generation) = (*ends.borrow_and_update(), cell.generation());
        let gone = |detail: String| Unavailable { code: Code::Internal, retry_at: None, detail };
        loop {
            let now = self.clock.wall();
            if let Some(held) = cell.held(now, min_ttl) {
                return Ok(held);
            }
            if let Some(trouble) = cell.trouble(now).or_else(|| cell.failing(now)) {
                return Err(trouble);
            }
            if self.is_draining() {
                return Err(gone("the daemon is stopping".to_owned()));
            }
            if let Some(hold) = self.queue_hold(cell.queue, Class::Renewal) {
                // Its renewal is held as everything else of the account is.
                let name = format!("{}/{}", cell.account, cell.name);
                return Err(Unavailable {
                    code: Code::Held,
                    retry_at: hold.until,
                    detail: format!("{name} waits for its account: {}", hold.detail),
                });
            }
            if *ends.borrow() > seen + 1 {
                return Err(gone(format!(
                    "{}/{} never lives as long as was asked for",
                    cell.account, cell.name
                )));
            }
            cell.hasten(generation);
            match self.wake_renewal(cell.queue, &cell.name).await {
                Ok(true) => {}
                Ok(false) => return Err(gone("its renewal job is missing".to_owned())),
                // Then it is renewed without its job.
                Err(_) if cell.is_urgent(now) || self.lifeline.is_busy(cell) => {}
                Err(error) => return Err(gone(error.to_string())),
            }
            // Woken again now and then: a renewal that was just ending may have missed the call.
            let _ = self.clock.timeout(LOOK_AGAIN, ends.changed()).await;
        }
    }

    /// Renews now, whatever the time; forgets refused logins.
    pub async fn renew(&self, account: &str, name: &str) -> Result<(), Refusal> {
        let cell = self.cell(account, name)?;
        self.forgive_logins(&cell).await?;
        cell.forgive(&*self.store).await?;
        self.wake_renewal(cell.queue, name).await?;
        Ok(())
    }

    pub fn cell(&self, account: &str, name: &str) -> Result<Arc<Cell>, Refusal> {
        let catalog = self.catalog();
        let found =
            catalog.account(account).and_then(|one| self.credentials.configured(one.queue, name));
        found.ok_or_else(|| {
            let known: Vec<String> = self
                .credentials
                .all()
                .iter()
                .map(|cell| format!("{}/{}", cell.account, cell.name))
                .collect();
            Refusal::Unknown {
                what: "credential",
                name: format!("{account}/{name}"),
                known: known.join(", "),
            }
        })
    }
}
