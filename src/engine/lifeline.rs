//! Renewals while the store takes nothing: a disk is full for hours, and tokens live for one.
//!
//! A job cannot be claimed then. A credential that is about to lapse is renewed all the same, here
//! and in memory, by the same steps; its job finds it fresh once it can be claimed again. This
//! daemon holds the database's lock, so nobody else renews it meanwhile. Rotated credentials are
//! left out: a value that nobody recorded could not be revoked. Permits of such renewals are
//! stored when there is room; a crash before that forgets these few.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Engine, catalog::Account, gates::Admit, holds::RENEWALS, sender::Sender,
    shapes::exchange::Renewal,
};
use crate::{
    credentials::cell::Cell,
    definition::CredentialShape,
    store::{ClaimedJob, JobRow, KindId, QueueId, StoreResult},
};

/// The exchanges that are under way: one per credential, whether its job was claimed or not.
#[derive(Debug, Default)]
pub struct Lifeline {
    busy: Mutex<HashSet<(QueueId, String)>>,
}

/// The right to renew a credential.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Lifeline, (QueueId, String));

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl Lifeline {
    fn lock(&self) -> MutexGuard<'_, HashSet<(QueueId, String)>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` while somebody else renews it.
    pub(super) fn enter(&self, cell: &Cell) -> Option<Turn<'_>> {
        let key = (cell.queue, cell.name.clone());
        let free = self.lock().insert(key.clone());
        free.then(|| Turn(self, key))
    }

    pub(super) fn is_busy(&self, cell: &Cell) -> bool {
        self.lock().contains(&(cell.queue, cell.name.clone()))
    }
}

/// Between two tries that nothing else dates.
const PAUSE: Duration = Duration::from_secs(10);

/// Renews what is about to lapse, each on a task of its own.
pub(super) fn look(engine: &Arc<Engine>) {
    let now = engine.clock.wall();
    let catalog = engine.catalog();
    for cell in engine.credentials.all().into_iter().filter(|cell| cell.is_urgent(now)) {
        let Some(account) = catalog.account(&cell.account).cloned() else { continue };
        if engine.lifeline.is_busy(&cell) {
            continue;
        }
        // Where the breaker is open it may be the probe.
        if matches!(engine.gates.admit(cell.queue, now), Admit::Wait(_)) {
            continue;
        }
        cell.hold_off(now.plus(PAUSE));
        let engine = Arc::clone(engine);
        tokio::spawn(async move { renew(&engine, &account, &cell).await });
    }
}

async fn renew(engine: &Engine, account: &Arc<Account>, cell: &Cell) {
    let Some(spec) = account.provider.credentials.get(&cell.name) else { return };
    let CredentialShape::Exchange(exchange) = &spec.shape else { return };
    let job = engine.store.live_job(cell.queue, engine.renewal_key(&cell.name)).await;
    let Ok(Some(row)) = job else { return };
    let Some(kind) = engine.catalog().kind_id(&row.kind) else { return };
    let (stop, intent) = (CancellationToken::new(), AtomicBool::new(false));
    let job = unclaimed(row, cell.queue, kind);
    let sender = Sender {
        engine,
        account,
        job: &job,
        stop: &stop,
        permit: None,
        intent: &intent,
        sent: false,
        secret_args: vec![],
    };
    // What it comes to is told on the way; its job settles when it is next claimed.
    let _ = Renewal { sender, account, cell, exchange, timeout: spec.timeout }.attempt().await;
}

impl Engine {
    /// Stores what was put into use meanwhile.
    pub async fn save_held(&self) -> StoreResult<()> {
        for cell in self.credentials.held() {
            cell.save(&*self.store, &self.vault).await?;
        }
        Ok(())
    }
}

/// The renewal's job as an attempt sees it.
fn unclaimed(row: JobRow, queue: QueueId, kind: KindId) -> ClaimedJob {
    ClaimedJob {
        polled_at: None,
        status_at: None,
        seq: row.seq,
        id: row.id,
        queue,
        kind,
        priority: RENEWALS,
        generation: row.generation,
        attempt: row.attempt,
        errors: row.errors,
        max_errors: row.max_errors,
        polls: row.polls,
        run_at: row.run_at,
        created_at: row.created_at,
        created_by: 0,
        deadline: None,
        parent: None,
        root: row.root,
        salt: row.salt,
        args: row.args,
        args_rev: row.args_rev,
        observation: None,
        last_code: None,
        intent: false,
    }
}
