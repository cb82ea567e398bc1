//! Erasing a chain: its key is cut out of the sealing key first, durably; then its data goes from
//! the database. What is cut short between the two is finished at the next start.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;

use super::{Engine, actions::Refusal};
use crate::{
    crash,
    credentials::vault::{Cut, Vault},
    store::{ChainRow, JobRow, Store, StoreResult},
    telemetry::events::{Event, Name, emit},
    types::{JobId, Timestamp},
};

/// How often a log is tried to be shortened that somebody reads.
const TRIES: usize = 5;

/// What an erasure did, or had done before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// Every job of the chain.
    pub jobs: Vec<JobId>,
    /// How many files were erased; 0 where it was done before.
    pub artifacts: u64,
    pub backups: Backups,
}

/// What can still be read in backups from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Backups {
    #[serde(rename = "unreadable")]
    Unreadable,
    /// The key's file could not be replaced.
    #[serde(rename = "readable with the key until rekey")]
    Readable,
}

impl Backups {
    const fn of(cut: bool) -> Self {
        if cut { Self::Unreadable } else { Self::Readable }
    }
}

impl Engine {
    /// Makes the data of a job's whole chain unreadable for good.
    pub async fn erase(&self, id: JobId, who: &str) -> Result<Erasure, Refusal> {
        let _alone = self.reviving.write().await;
        let row = self.find(id).await?;
        if self.is_renewal(&row) {
            return Err(Refusal::State(format!(
                "{} keeps a credential, and holds nothing of a person",
                row.kind
            )));
        }
        let chain = self.store.chain(row.root).await?;
        if let Some(live) = chain.iter().find(|job| !job.state.has_ended()) {
            return Err(Refusal::State(format!(
                "job {} of this chain is {}: `attendant jobs cancel {}` first, or wait for its end",
                live.id, live.state, live.id
            )));
        }
        let jobs = chain.iter().map(|job| job.id).collect();
        let Some(first) = chain.first() else { return Err(Refusal::UnknownJob(id)) };
        let (artifacts, cut) = match row.salt {
            Some(salt) => self.erase_chain(&row, first, salt, who).await?,
            None => (0, self.was_cut(first.id).await?),
        };
        Ok(Erasure { jobs, artifacts, backups: Backups::of(cut) })
    }

    async fn erase_chain(
        &self,
        row: &JobRow,
        first: &ChainRow,
        salt: [u8; 16],
        who: &str,
    ) -> Result<(u64, bool), Refusal> {
        let (vault, job) = (Arc::clone(&self.vault), first.id);
        let cut = tokio::task::spawn_blocking(move || vault.cut(salt, job)).await;
        let cut = cut.map_err(|_| Refusal::State("the key could not be cut".to_owned()))??;
        crash::point("erase.cut");
        let cut = cut == Cut::Gone;
        let erased = self.store.erase(first.seq, self.clock.wall(), cut).await?;
        crash::point("erase.stored");
        shorten_log(&*self.store).await?;
        Self::told(Name::JobErased, row, Some(who), None);
        Ok((erased.artifacts, cut))
    }

    async fn was_cut(&self, first: JobId) -> Result<bool, Refusal> {
        let erasures = self.store.erasures().await?;
        Ok(erasures.iter().any(|one| one.job == first && one.cut))
    }
}

/// Erases what was cut out of the key and is not erased here: a crash came between, or this is an
/// older copy of the database.
pub(super) async fn finish(store: &dyn Store, vault: &Vault, now: Timestamp) -> StoreResult<()> {
    let cut = vault.erased();
    if cut.is_empty() {
        return Ok(());
    }
    let known: HashMap<JobId, bool> =
        store.erasures().await?.into_iter().map(|one| (one.job, one.cut)).collect();
    let mut any = false;
    for erasure in cut.iter().filter(|one| known.get(&one.job) != Some(&true)) {
        let Some(row) = store.job(erasure.job).await? else { continue };
        store.erase(row.seq, now, true).await?;
        any = true;
        emit(
            Name::JobErased,
            &Event {
                job_id: Some(row.id),
                kind: Some(&row.kind),
                account: Some(&row.account),
                actor: Some("attendant"),
                detail: Some("erased before, as the key tells, and again in this database"),
                ..Event::default()
            },
        );
    }
    if any {
        shorten_log(store).await?;
    }
    Ok(())
}

/// What was overwritten may still stand in the database's log of changes.
pub(super) async fn shorten_log(store: &dyn Store) -> StoreResult<()> {
    for _ in 0..TRIES {
        if store.truncate_log().await? {
            return Ok(());
        }
    }
    tracing::warn!(
        target: "attendant",
        "somebody reads the database, so its log could not be shortened: what was erased may stand \
         there, tags in clear, until the daemon stops"
    );
    Ok(())
}
