//! The sealing key at a restore: the one in place, or the one that the backup holds.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::restore::RestoreError;
use crate::{
    config::{Config, Env, KeySource},
    credentials::vault::{KeyPlace, UnlockError, Vault},
};

/// How the restored database will be opened.
#[derive(Debug)]
pub(super) enum Key {
    /// The key in place opens it.
    InPlace,
    /// The backup's key does, and goes there.
    Brought { staged: PathBuf, place: PathBuf },
    /// Only the service sees the key.
    NotVisible(String),
}

/// Finds the key and has it open the database that was unpacked to `staged`.
pub(super) async fn find(
    config: &Config,
    env: &Env,
    staged: &Path,
    brought: Option<&str>,
) -> Result<Key, RestoreError> {
    let source = &config.seal_key;
    let Some(place) = source.path(env.get("CREDENTIALS_DIRECTORY").map(Path::new)) else {
        return Ok(Key::NotVisible(source.to_string()));
    };
    if place.exists() {
        return match unlock(staged, &place).await {
            Ok(()) => Ok(Key::InPlace),
            Err(UnlockError::Wrong { .. }) => {
                Err(RestoreError::OtherKey { place, brought: brought.is_some() })
            }
            Err(error) => Err(error.into()),
        };
    }
    let Some(brought) = brought else {
        return Err(RestoreError::NoKey { place });
    };
    if matches!(source, KeySource::Credential(_)) {
        return Err(RestoreError::NoKey { place });
    }
    let staged_key = with_end(&place, ".restoring");
    write(&staged_key, brought)
        .map_err(|error| RestoreError::Path { path: staged_key.clone(), error })?;
    match unlock(staged, &staged_key).await {
        Ok(()) => Ok(Key::Brought { staged: staged_key, place }),
        Err(error) => {
            let _ = fs::remove_file(&staged_key);
            Err(match error {
                UnlockError::Wrong { .. } => RestoreError::KeyOfAnother,
                other => other.into(),
            })
        }
    }
}

impl Key {
    /// Puts the backup's key where the configuration wants it. What is there stays.
    pub(super) fn put(&self) -> Result<(), RestoreError> {
        let Self::Brought { staged, place } = self else { return Ok(()) };
        let put = fs::hard_link(staged, place).and_then(|()| fs::remove_file(staged));
        put.map_err(|error| RestoreError::Path { path: place.clone(), error })
    }

    /// Nothing was put in place.
    pub(super) fn drop_staged(&self) {
        if let Self::Brought { staged, .. } = self {
            let _ = fs::remove_file(staged);
        }
    }
}

async fn unlock(database: &Path, key: &Path) -> Result<(), UnlockError> {
    // Read as one that is never written: nothing is to be tidied beside it.
    let place = KeyPlace { path: key.to_owned(), make: false, fixed: true };
    Vault::unlock(database, &place).await.map(drop)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
