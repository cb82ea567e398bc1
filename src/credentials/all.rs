//! The credentials of all accounts, by account and name.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    cell::{Cell, Unavailable},
    vault::Vault,
};
use crate::{
    store::{CredentialRow, QueueId, Store, StoreResult},
    types::Timestamp,
};

/// All of them.
#[derive(Debug, Default)]
pub struct Credentials {
    queues: Mutex<HashMap<QueueId, BTreeMap<String, Arc<Cell>>>>,
}

impl Credentials {
    /// Opens what the store has.
    pub async fn load(
        store: &dyn Store,
        vault: &Vault,
        accounts: impl Iterator<Item = (QueueId, String, String)>,
    ) -> StoreResult<Self> {
        let mut rows: HashMap<(QueueId, String), CredentialRow> = HashMap::new();
        for row in store.credentials().await? {
            rows.insert((row.queue, row.name.clone()), row);
        }
        let all = Self::default();
        for (queue, account, name) in accounts {
            let row = rows.remove(&(queue, name.clone()));
            let cell = Cell::restored(queue, account, name.clone(), row, vault);
            all.queues().entry(queue).or_default().insert(name, Arc::new(cell));
        }
        Ok(all)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<QueueId, BTreeMap<String, Arc<Cell>>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn cell(&self, queue: QueueId, name: &str) -> Option<Arc<Cell>> {
        self.queues().get(&queue)?.get(name).cloned()
    }

    /// Those of one account.
    #[must_use]
    pub fn of(&self, queue: QueueId) -> Vec<Arc<Cell>> {
        self.queues().get(&queue).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// By account and name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Cell>> {
        let mut all: Vec<Arc<Cell>> =
            self.queues().values().flat_map(BTreeMap::values).cloned().collect();
        all.sort_by(|a, b| (&a.account, &a.name).cmp(&(&b.account, &b.name)));
        all
    }

    /// What is wrong with the first of these credentials that is missing and was not to be had.
    #[must_use]
    pub fn blocked(
        &self,
        queue: QueueId,
        names: &BTreeSet<String>,
        now: Timestamp,
    ) -> Option<Unavailable> {
        let queues = self.queues();
        let cells = queues.get(&queue)?;
        names.iter().filter_map(|name| cells.get(name)).find_map(|cell| cell.trouble(now))
    }
}
