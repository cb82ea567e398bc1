//! Opening the database: one daemon at a time, the right settings, the schema.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Row as _,
    migrate::{MigrateError, Migrator},
    sqlite::{
        SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions,
        SqliteSynchronous,
    },
};

use super::{
    SqliteStore, error,
    flush::{Connection, Refused},
};
use crate::store::{StoreError, batch::Writer, health::Health};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a statement waits for another program's lock before it says so.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// On the disk: survives a power cut. The default.
    #[default]
    Full,
    /// In the log: survives a crash of the program; a power cut may lose the last moments.
    Normal,
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: {error}; create the folder, or give this user the right to write there")]
    Path { path: PathBuf, error: std::io::Error },
    #[error(
        "another attendant uses {path}: one daemon per database; stop it first, or set another \
         [database] url"
    )]
    InUse { path: PathBuf },
    #[error(
        "{path} has schema {found}, this program knows up to {known}: it was written by a newer \
         attendant; install that one, or restore a backup. Nothing was changed"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error(
        "{path} is the database of another program; set another [database] url. Nothing was changed"
    )]
    Foreign { path: PathBuf },
    #[error(
        "{path} is damaged: {found}. Restore a backup, or copy the file and its -wal away together \
         and have `sqlite3 {path} .recover` save what can be; nothing was changed"
    )]
    Damaged { path: PathBuf, found: String },
    #[error(
        "{path} is no database: set another [database] url, or restore a backup where it was one. \
         Nothing was changed"
    )]
    NoDatabase { path: PathBuf },
    #[error("{path}: {error}")]
    Store { path: PathBuf, error: StoreError },
    #[error("{path}: the schema could not be brought up to date: {error}")]
    Migrate { path: PathBuf, error: MigrateError },
}

impl OpenError {
    /// The database is at fault, and not what a person configured.
    #[must_use]
    pub const fn is_of_the_data(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::Store { .. } | Self::Migrate { .. } | Self::Newer { .. }
        )
    }
}

/// The right to use a database, held until it is dropped.
#[derive(Debug)]
pub struct DatabaseLock {
    path: PathBuf,
    file: File,
}

impl DatabaseLock {
    /// Takes the lock beside the database. Nothing else of the database is touched.
    pub fn take(database: &Path) -> Result<Self, OpenError> {
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock)
            .map_err(|error| OpenError::Path { path: lock, error })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: database.to_owned(), file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: database.to_owned() }),
            Err(TryLockError::Error(error)) => {
                Err(OpenError::Path { path: database.to_owned(), error })
            }
        }
    }

    /// Notes that there is a database, so that an empty file is not taken for a new one.
    fn mark(&self) -> std::io::Result<()> {
        if self.file.metadata()?.len() == 0 {
            (&self.file).write_all(b"a database of attendant is beside this file\n")?;
        }
        Ok(())
    }

    #[must_use]
    pub fn database(&self) -> &Path {
        &self.path
    }
}

fn options(path: &Path, synchronous: Synchronous) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
        })
        .busy_timeout(BUSY_TIMEOUT)
        // Only rows and sealed bytes: nothing here may call out to the file system.
        .pragma("trusted_schema", "OFF")
        // What is deleted or moved is overwritten with zeros: tags stand there in clear.
        .pragma("secure_delete", "ON")
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", "-8192")
        .pragma("mmap_size", "268435456")
        .pragma("journal_size_limit", "67108864")
        .statement_cache_capacity(256)
        .row_buffer_size(1024)
        .disable_statement_logging()
}

/// Up to this size the whole file is looked through before it is used: a fraction of a second.
const LOOKED_THROUGH: u64 = 64 << 20;

/// What cannot be an intact database is refused before SQLite sees it, which takes an empty file
/// for a new database, and drops a log that it cannot read.
fn examine(path: &Path) -> Result<(), OpenError> {
    let damaged =
        |found: &str| OpenError::Damaged { path: path.to_owned(), found: found.to_owned() };
    let log = beside(path, "-wal");
    let logged = log.metadata().map_or(0, |log| log.len());
    let size = path.metadata().map(|file| file.len()).ok();
    if logged > 0 && size.unwrap_or(0) == 0 {
        return Err(damaged("its log of changes is there, but the file itself is gone or empty"));
    }
    if size == Some(0) && was_ours(path) {
        return Err(damaged("it is empty, and there was a database in it before"));
    }
    if logged >= 32 && !log_head(&log).is_ok_and(|head| could_be_log(&head)) {
        return Err(damaged(
            "its log of changes (-wal) is overwritten, and what was stored last is there",
        ));
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether this program had a database there: the mark in its lock says so.
fn was_ours(path: &Path) -> bool {
    beside(path, ".lock").metadata().is_ok_and(|lock| lock.len() > 0)
}

fn log_head(log: &Path) -> std::io::Result<[u8; 32]> {
    let mut head = [0; 32];
    File::open(log)?.read_exact(&mut head)?;
    Ok(head)
}

/// <https://sqlite.org/fileformat2.html#the_write_ahead_log>. One of zeros was never synced, so
/// that nothing was ever promised with it.
fn could_be_log(head: &[u8; 32]) -> bool {
    head.iter().all(|byte| *byte == 0) || matches!(head[..4], [0x37, 0x7f, 0x06, 0x82 | 0x83])
}

/// Looks through a file that is not too large for that.
async fn look_through(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    if path.metadata().map_or(0, |file| file.len()) > LOOKED_THROUGH {
        return Ok(());
    }
    let damaged = |found: String| OpenError::Damaged { path: path.to_owned(), found };
    let rows = sqlx::query("PRAGMA quick_check(3)").fetch_all(connection).await;
    let rows = rows.map_err(|error| wrapped(path, &error))?;
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if found == ["ok"] { Ok(()) } else { Err(damaged(found.join("; "))) }
}

pub(super) fn wrapped(path: &Path, error: &sqlx::Error) -> OpenError {
    let path = path.to_owned();
    match error::from_sqlx(error) {
        StoreError::Corrupt(found) if found.contains("not a database") && !was_ours(&path) => {
            OpenError::NoDatabase { path }
        }
        StoreError::Corrupt(found) => OpenError::Damaged { path, found },
        error => OpenError::Store { path, error },
    }
}

/// A value of `meta` in a database that may be of any age, read before anything is changed.
/// `None` where the file, the table or the value is missing.
pub async fn peek_meta(path: &Path, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
    let wrap = |error: sqlx::Error| wrapped(path, &error);
    examine(path)?;
    if !path.metadata().is_ok_and(|file| file.len() > 0) {
        return Ok(None);
    }
    // As it is: no journal mode is set, nothing is written.
    let as_it_is = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = as_it_is.connect().await.map_err(wrap)?;
    let tables = sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .fetch_all(&mut connection)
        .await
        .map_err(wrap)?;
    let has = |name: &str| tables.iter().any(|row| row.get::<&str, _>(0) == name);
    if !tables.is_empty() && !has("_sqlx_migrations") {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    look_through(path, &mut connection).await?;
    if !has("meta") {
        return Ok(None);
    }
    let row = sqlx::query("SELECT value FROM meta WHERE name = ?")
        .bind(name)
        .fetch_optional(&mut connection)
        .await
        .map_err(wrap)?;
    Ok(row.map(|row| row.get(0)))
}

/// The last migration that this program knows.
#[must_use]
pub fn known_schema() -> i64 {
    MIGRATIONS.iter().map(|one| one.version).max().unwrap_or(0)
}

/// The last migration that a database has; `None` where there is no database yet.
pub async fn schema_of(path: &Path) -> Result<Option<i64>, OpenError> {
    let wrap = |error: sqlx::Error| wrapped(path, &error);
    if !path.metadata().is_ok_and(|file| file.len() > 0) {
        return Ok(None);
    }
    let as_it_is = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = as_it_is.connect().await.map_err(wrap)?;
    let has = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    let has = sqlx::query(has).fetch_one(&mut connection).await.map_err(wrap)?;
    if has.get::<i64, _>(0) == 0 {
        return Ok(None);
    }
    let last = "SELECT max(version) FROM _sqlx_migrations";
    let last = sqlx::query(last).fetch_one(&mut connection).await.map_err(wrap)?;
    Ok(last.get(0))
}

/// Brings the schema up to date.
pub(super) async fn migrate(
    path: &Path,
    migrations: &Migrator,
    sqlite: &mut SqliteConnection,
) -> Result<(), OpenError> {
    migrations.run(sqlite).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => {
            OpenError::Newer { path: path.to_owned(), found, known: known_schema() }
        }
        error => OpenError::Migrate { path: path.to_owned(), error },
    })
}

/// Opens the database that `lock` stands for, makes or migrates it, and starts the writer.
pub async fn open(lock: DatabaseLock, synchronous: Synchronous) -> Result<SqliteStore, OpenError> {
    let path = lock.database().to_owned();
    let wrap = |error: sqlx::Error| wrapped(&path, &error);
    examine(&path)?;
    let options = options(&path, synchronous).create_if_missing(true);
    let mut sqlite = options.connect().await.map_err(wrap)?;
    restrict(&path)?;
    migrate(&path, &MIGRATIONS, &mut sqlite).await?;
    lock.mark().map_err(|error| OpenError::Path { path: path.clone(), error })?;
    let readers = SqlitePoolOptions::new()
        .max_connections(4)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(options.create_if_missing(false).pragma("query_only", "ON"))
        .await
        .map_err(wrap)?;
    let refused = Refused::default();
    let health = Arc::new(Health::default());
    let connection = Connection { sqlite, refused: refused.clone() };
    let writer = Writer::start(connection, Arc::clone(&health));
    Ok(SqliteStore::new(writer, readers, lock, refused, health))
}

/// The file holds sealed values and names of people's jobs: for this user only.
fn restrict(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| OpenError::Path { path: path.to_owned(), error })
}
