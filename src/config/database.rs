//! `[database]` and `[seal]`: where everything is kept, and the key that seals it.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{
    Env,
    check::Check,
    grammar::{self, words},
    places,
};

/// Which database.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// The file's path.
    Sqlite(PathBuf),
    /// The whole URL, which may hold a password.
    Postgres(SecretString),
}

impl PartialEq for DatabaseUrl {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(one), Self::Sqlite(other)) => one == other,
            (Self::Postgres(one), Self::Postgres(other)) => {
                one.expose_secret() == other.expose_secret()
            }
            _ => false,
        }
    }
}

impl DatabaseUrl {
    /// The database file of `SQLite`.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

/// Why a text is not a database's URL; never repeats it, since it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    #[error("is not a database: write sqlite:///absolute/path, or sqlite:relative/path")]
    Scheme,
    #[error("names no file: write sqlite:///absolute/path, or sqlite:relative/path")]
    NoFile,
    #[error("is in memory, where a queue would not last: name a file")]
    Memory,
    #[error("has parameters after `?`, which are not read: write only the path")]
    Parameters,
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.into()));
        }
        let path = text.strip_prefix("sqlite:").ok_or(DatabaseUrlError::Scheme)?;
        // Two slashes begin a host in any URL; what follows would be neither clearly a relative
        // path nor clearly not.
        let path = match path.strip_prefix("//") {
            Some(path) if path.starts_with('/') => path,
            Some(_) => return Err(DatabaseUrlError::NoFile),
            None => path,
        };
        match path {
            "" | "/" => Err(DatabaseUrlError::NoFile),
            ":memory:" => Err(DatabaseUrlError::Memory),
            _ if path.contains('?') => Err(DatabaseUrlError::Parameters),
            _ => Ok(Self::Sqlite(path.into())),
        }
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

words! {
    /// When a commit of `SQLite` is on the disk.
    Synchronous: "a way to synchronise" {
        /// Before it is answered: nothing acknowledged is lost at a power failure.
        Full = "full",
        /// At checkpoints: quicker; the last commits may be lost at a power failure.
        Normal = "normal",
    }
}

/// `[database]`.
#[derive(Debug, Clone)]
pub struct Database {
    pub url: DatabaseUrl,
    pub synchronous: Synchronous,
}

/// Where the sealing key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// A file that the operator made.
    File(PathBuf),
    /// `attendant.key` beside the database: made together with it and never again.
    BesideDatabase(PathBuf),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential `{name}`"),
            Self::File(path) | Self::BesideDatabase(path) => path.display().fmt(f),
        }
    }
}

impl KeySource {
    /// The file to read, or `None` for a credential outside the service.
    #[must_use]
    pub fn path(&self, credentials_dir: Option<&Path>) -> Option<PathBuf> {
        match self {
            Self::Credential(name) => credentials_dir.map(|dir| dir.join(name)),
            Self::File(path) | Self::BesideDatabase(path) => Some(path.clone()),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawDatabase {
    url: Option<DatabaseUrl>,
    synchronous: Option<Synchronous>,
}

/// `{ credential = … }`, `{ file = … }` or, for secrets, `{ env = … }`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSource {
    pub credential: Option<String>,
    pub file: Option<PathBuf>,
    pub env: Option<String>,
    pub expires: Option<String>,
}

/// What `[database]` and `[seal]` come to.
#[derive(Debug)]
pub(super) struct Storage {
    pub database: Database,
    pub artifacts_dir: PathBuf,
    pub key: KeySource,
}

pub(super) fn build(
    raw: &RawDatabase,
    key: Option<RawSource>,
    env: &Env,
    check: &mut Check,
) -> Option<Storage> {
    let written_key = key.map(|source| key_source(source, check));
    let file = sqlite_file(raw.url.as_ref(), env, check)?;
    let folder = grammar::folder(&file);
    let (artifacts_dir, default_key) = (folder.join("artifacts"), folder.join("attendant.key"));
    let synchronous = raw.synchronous.unwrap_or(Synchronous::Full);
    Some(Storage {
        database: Database { url: DatabaseUrl::Sqlite(file), synchronous },
        artifacts_dir,
        key: written_key.unwrap_or(Some(KeySource::BesideDatabase(default_key)))?,
    })
}

fn sqlite_file(url: Option<&DatabaseUrl>, env: &Env, check: &mut Check) -> Option<PathBuf> {
    const KEY: &str = "database.url";
    match url {
        Some(DatabaseUrl::Sqlite(path)) => Some(check.path(KEY, path)),
        Some(DatabaseUrl::Postgres(_)) => {
            check.wrong(KEY, "PostgreSQL is not built in yet; use sqlite://");
            None
        }
        None => {
            let file = places::state_dir(env).map(|folder| folder.join("attendant.db"));
            // A bad URL has been told already.
            if file.is_none() && !check.is_written(KEY) {
                check.wrong(
                    KEY,
                    "is not set, and there is no $STATE_DIRECTORY, $XDG_STATE_HOME or $HOME for a \
                     default: write url = \"sqlite:///absolute/path\"",
                );
            }
            file
        }
    }
}

fn key_source(source: RawSource, check: &mut Check) -> Option<KeySource> {
    const KEY: &str = "seal.key";
    match (source.credential, source.file) {
        (Some(name), None) => Some(KeySource::Credential(name)),
        (None, Some(path)) => Some(KeySource::File(check.path("seal.key.file", &path))),
        (None, None)
            if check.is_written("seal.key.credential") || check.is_written("seal.key.file") =>
        {
            None // the bad one has been told
        }
        _ => {
            check.wrong(KEY, "write exactly one of { credential = \"…\" } or { file = \"…\" }");
            None
        }
    }
}
