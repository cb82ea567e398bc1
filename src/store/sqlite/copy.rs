//! A copy of the database while it is in use.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use super::{error::from_sqlx, open::BUSY_TIMEOUT};
use crate::store::{StoreError, StoreResult};

/// A compact copy of everything that is committed, in a file that has no name: it is gone when it is
/// closed, whatever happens. It is read in one transaction of its own connection, so that nobody
/// waits for it; what was deleted, and the log of changes, are not in it.
pub async fn copy_of(database: &Path) -> StoreResult<File> {
    let copy = beside(database);
    let made = make(database, &copy).await;
    let opened = made.and_then(|()| File::open(&copy).map_err(|error| unavailable(&error)));
    // One that failed may be large.
    let _ = std::fs::remove_file(&copy);
    opened
}

fn unavailable(error: &std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// Removes what a crash in the midst of a copy left.
pub fn forget_copy(database: &Path) {
    let _ = std::fs::remove_file(beside(database));
}

/// One copy is made at a time, so that a crash leaves one file at most, which the next one takes.
fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".copy");
    name.into()
}

async fn make(database: &Path, copy: &Path) -> StoreResult<()> {
    // SQLite writes into an empty file, and this one is nobody else's to read.
    let mut empty = OpenOptions::new();
    empty.write(true).create(true).truncate(true).mode(0o600);
    empty.open(copy).map_err(|error| unavailable(&error))?;
    let options = SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(false)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| from_sqlx(&error))?;
    let copied = sqlx::query("VACUUM INTO ?")
        .bind(copy.to_string_lossy().into_owned())
        .execute(&mut connection)
        .await
        .map_err(|error| from_sqlx(&error));
    let _ = connection.close().await;
    copied.map(drop)
}
