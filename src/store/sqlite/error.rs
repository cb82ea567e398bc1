//! What SQLite's result codes mean for a caller.

use crate::store::StoreError;

/// Primary result codes: <https://sqlite.org/rescode.html>.
const BUSY: i64 = 5;
const LOCKED: i64 = 6;
const NOMEM: i64 = 7;
const READONLY: i64 = 8;
const IOERR: i64 = 10;
const CORRUPT: i64 = 11;
const FULL: i64 = 13;
const CANTOPEN: i64 = 14;
const NOTADB: i64 = 26;

pub(super) fn from_sqlx(error: &sqlx::Error) -> StoreError {
    let sqlx::Error::Database(database) = error else {
        return match error {
            sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => StoreError::Full,
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => {
                StoreError::Unavailable(error.to_string())
            }
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => StoreError::Closed,
            other => StoreError::Unexpected(other.to_string()),
        };
    };
    let code = database.code().and_then(|code| code.parse::<i64>().ok()).unwrap_or(0);
    let words = database.message().to_owned();
    match code & 0xff {
        FULL => StoreError::Full,
        CORRUPT | NOTADB => StoreError::Corrupt(words),
        BUSY | LOCKED | NOMEM | READONLY | IOERR | CANTOPEN => StoreError::Unavailable(words),
        _ => StoreError::Unexpected(words),
    }
}
