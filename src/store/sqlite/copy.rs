//! A copy of the database while it is in use.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path};

use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

/// Writes everything that is committed to `file`, which must be empty or not there. It reads in one
/// transaction of its own connection, so that nobody waits for it; what is deleted, and the log of
/// changes, are not in the copy.
pub(super) async fn copy(database: &Path, file: &Path) -> sqlx::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    let options = SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(false)
        .busy_timeout(super::open::BUSY_TIMEOUT)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let copied = sqlx::query("VACUUM INTO ?")
        .bind(file.to_string_lossy().into_owned())
        .execute(&mut connection)
        .await;
    connection.close().await?;
    copied.map(drop)
}
