//! Sealing everything with a new key while jobs run.
//!
//! 1. A new key is made in a file beside the old one; from then on it seals, and both open.
//! 2. What is sealed with the old one is sealed anew, page by page, each value only if it is still
//!    the one that was read.
//! 3. The store refuses what comes late, sealed with the old key; a last round finds what came in
//!    before that.
//! 4. The new key's file takes the place of the old one's.
//!
//! A crash at any point leaves both files, and the next start goes on with step 2.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use serde::Serialize;

use super::{Engine, actions::Refusal, erase::shorten_log};
use crate::{
    crash,
    credentials::{
        cell, changes,
        seal::HEADER,
        vault::{Part, RekeyError},
    },
    store::{Resealed, SealedAt, SealedColumn, SealedValue},
    telemetry::events::{Event, Name, emit},
    types::Generation,
};

/// What a rekey did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rekeyed {
    /// The public name of the new key.
    pub key: String,
    /// How many values were sealed anew, by what they are.
    pub resealed: BTreeMap<&'static str, u64>,
    /// Values that the old key did not open, and that nothing opens.
    pub unreadable: u64,
}

/// Gives the turn back, however it ends.
struct Turn<'a>(&'a Engine);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.rekeying.store(false, Ordering::Release);
    }
}

/// How many values of a column are in memory at once: files are large.
const fn page_of(column: SealedColumn) -> u32 {
    match column {
        SealedColumn::Artifact => 1,
        SealedColumn::Result => 16,
        _ => 256,
    }
}

impl Engine {
    /// Seals everything with a new key. It goes on if whoever asked goes away.
    pub async fn rekey(self: &Arc<Self>, who: &str) -> Result<Rekeyed, Refusal> {
        let (engine, who) = (Arc::clone(self), who.to_owned());
        let done = tokio::spawn(async move { engine.rekey_from_the_start(&who).await });
        done.await.unwrap_or(Err(Refusal::Draining))
    }

    async fn rekey_from_the_start(&self, who: &str) -> Result<Rekeyed, Refusal> {
        let _turn = self.turn()?;
        // One that failed halfway is gone on with: its new key seals already.
        if self.vault.retiring().is_none() {
            self.vault.begin_rekey()?;
        }
        crash::point("rekey.begun");
        self.reseal_all(Some(who)).await
    }

    /// Goes on with a rekey that was cut short.
    pub async fn resume_rekey(self: Arc<Self>) {
        if self.vault.retiring().is_none() {
            return;
        }
        let Ok(_turn) = self.turn() else { return };
        if let Err(error) = self.reseal_all(None).await {
            let words = "a rekey is not finished; the next start or `attendant rekey` goes on";
            tracing::error!(target: "attendant", "{words}: {error}");
        }
    }

    fn turn(&self) -> Result<Turn<'_>, RekeyError> {
        if self.rekeying.swap(true, Ordering::AcqRel) {
            return Err(RekeyError::UnderWay);
        }
        Ok(Turn(self))
    }

    async fn reseal_all(&self, who: Option<&str>) -> Result<Rekeyed, Refusal> {
        let Some(old) = self.vault.retiring() else { return Ok(Rekeyed::default()) };
        let event = |detail| Event { actor: who, detail: Some(detail), ..Event::default() };
        emit(Name::DaemonRekeying, &event("sealing everything with a new key"));
        let mut done = Rekeyed { key: self.vault.key_id().to_string(), ..Rekeyed::default() };
        self.round(&old, &mut done).await?;
        self.store.refuse(&old).await?;
        done.unreadable = 0;
        self.round(&old, &mut done).await?;
        self.vault.mark_anew(&*self.store).await?;
        crash::point("rekey.resealed");
        self.vault.finish_rekey()?;
        crash::point("rekey.renamed");
        self.store.all_cut().await?;
        shorten_log(&*self.store).await?;
        let words = done.words();
        emit(Name::DaemonRekeyed, &event(&words));
        Ok(done)
    }

    /// Everything that is still sealed with the old key.
    async fn round(&self, old: &[u8; HEADER], done: &mut Rekeyed) -> Result<(), Refusal> {
        for cell in self.credentials.held() {
            let count = cell.reseal(&*self.store, &self.vault, old).await?;
            *done.resealed.entry(SealedColumn::CredentialValue.name()).or_default() += count;
        }
        self.changes.reseal(&self.vault, old);
        for column in SealedColumn::ALL {
            let mut after: Option<SealedAt> = None;
            loop {
                if self.is_draining() {
                    return Err(Refusal::Draining);
                }
                let page = self.store.sealed(column, old, after, page_of(column)).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.at.clone());
                self.reseal_page(column, page, done).await?;
                crash::point("rekey.page");
            }
        }
        Ok(())
    }

    async fn reseal_page(
        &self,
        column: SealedColumn,
        page: Vec<SealedValue>,
        done: &mut Rekeyed,
    ) -> Result<(), Refusal> {
        let mut values = Vec::with_capacity(page.len());
        for value in page {
            match self.resealed(column, value) {
                Some(value) => values.push(value),
                None => done.unreadable += 1,
            }
        }
        let count = self.store.reseal(column, values).await?;
        let total = done.resealed.entry(column.name()).or_default();
        *total += count;
        tracing::debug!(target: "attendant", column = column.name(), total = *total, "resealed");
        Ok(())
    }

    fn resealed(&self, column: SealedColumn, value: SealedValue) -> Option<Resealed> {
        let chain = self.vault.chain(value.salt.as_ref()?);
        let SealedValue { at, sealed: was, job, .. } = value;
        let part = match column {
            SealedColumn::Args => Some(Part::Args),
            SealedColumn::Result => Some(Part::Result),
            SealedColumn::Error => Some(Part::Error),
            SealedColumn::Attempt => Some(Part::Attempt(Generation(at.n))),
            SealedColumn::Status => Some(Part::Status(at.n)),
            SealedColumn::Artifact => Some(Part::Artifact(&at.name)),
            SealedColumn::CredentialValue
            | SealedColumn::CredentialError
            | SealedColumn::SecretChange => None,
        };
        let aad = match part {
            Some(part) => part.aad(job?),
            None if column == SealedColumn::SecretChange => changes::aad(at.row, &at.name),
            None => cell::aad(at.row, &at.name),
        };
        let clear = chain.open(&aad, &was).ok()?;
        let sealed = chain.seal(&aad, &clear);
        Some(Resealed { at, was, sealed })
    }
}

impl Rekeyed {
    fn words(&self) -> String {
        let counts = self.resealed.iter().filter(|(_, count)| **count > 0);
        let counts: Vec<String> = counts.map(|(name, count)| format!("{name} {count}")).collect();
        let unreadable = match self.unreadable {
            0 => String::new(),
            count => format!("; {count} values opened with no key and are as they were"),
        };
        format!("sealed anew with key {}: {}{unreadable}", self.key, counts.join(", "))
    }
}
