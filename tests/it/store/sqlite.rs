//! What is SQLite's alone.

mod batches;
mod opening;

use std::{path::Path, sync::Arc};

use attendant::store::{
    Store,
    sqlite::{DatabaseLock, SqliteStore, Synchronous, open},
};
use tempfile::TempDir;

use super::support::Keep;

/// An empty store in a folder of its own.
pub async fn empty() -> (Arc<dyn Store>, Keep) {
    let dir = TempDir::new().unwrap();
    let store = open_in(dir.path(), Synchronous::Full).await;
    (Arc::new(store), Box::new(dir))
}

pub async fn open_in(dir: &Path, synchronous: Synchronous) -> SqliteStore {
    let lock = DatabaseLock::take(&dir.join("attendant.db")).unwrap();
    open(lock, synchronous).await.unwrap()
}
