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
    queues: Mutex<Cells>,
    /// Those that no configuration has any more: attempts that still run end with theirs, and an
    /// account that comes back finds them as they were left.
    parked: Mutex<Cells>,
}

type Cells = HashMap<QueueId, BTreeMap<String, Arc<Cell>>>;

impl Credentials {
    /// Opens what the store has.
    pub async fn load(
        store: &dyn Store,
        vault: &Vault,
        accounts: impl Iterator<Item = (QueueId, String, String)>,
    ) -> StoreResult<Self> {
        let all = Self::default();
        all.configure(store, vault, accounts).await?;
        Ok(all)
    }

    /// Takes on the credentials of a configuration: those that are known go on as they are.
    pub async fn configure(
        &self,
        store: &dyn Store,
        vault: &Vault,
        accounts: impl Iterator<Item = (QueueId, String, String)>,
    ) -> StoreResult<()> {
        let mut rows: HashMap<(QueueId, String), CredentialRow> = HashMap::new();
        for row in store.credentials().await? {
            rows.insert((row.queue, row.name.clone()), row);
        }
        let (mut queues, mut parked) = (self.queues(), self.parked());
        let mut wanted = Cells::new();
        for (queue, account, name) in accounts {
            let known = remove(&mut queues, queue, &name);
            let cell = known.or_else(|| remove(&mut parked, queue, &name)).unwrap_or_else(|| {
                let row = rows.remove(&(queue, name.clone()));
                Arc::new(Cell::restored(queue, account, name.clone(), row, vault))
            });
            wanted.entry(queue).or_default().insert(name, cell);
        }
        for (queue, cells) in std::mem::replace(&mut *queues, wanted) {
            parked.entry(queue).or_default().extend(cells);
        }
        Ok(())
    }

    fn queues(&self) -> MutexGuard<'_, Cells> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be locked after [`Self::queues`].
    fn parked(&self) -> MutexGuard<'_, Cells> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cell that an attempt works with, parked or not.
    #[must_use]
    pub fn cell(&self, queue: QueueId, name: &str) -> Option<Arc<Cell>> {
        let configured = self.configured(queue, name);
        configured.or_else(|| self.parked().get(&queue)?.get(name).cloned())
    }

    /// The cell of a credential that is configured.
    #[must_use]
    pub fn configured(&self, queue: QueueId, name: &str) -> Option<Arc<Cell>> {
        self.queues().get(&queue)?.get(name).cloned()
    }

    /// All that are held in memory, parked ones too.
    #[must_use]
    pub fn held(&self) -> Vec<Arc<Cell>> {
        let mut held = self.all();
        held.extend(self.parked().values().flat_map(BTreeMap::values).cloned());
        held
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

fn remove(cells: &mut Cells, queue: QueueId, name: &str) -> Option<Arc<Cell>> {
    cells.get_mut(&queue)?.remove(name)
}
