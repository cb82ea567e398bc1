//! Putting a backup in place.
//!
//! A copy does not know what was done since it was made: whatever must not be repeated and was not
//! finished then may have been carried out meanwhile. So it is left to a person, every queue is
//! paused, and occurrences of schedules that passed since are not made up for.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
};

use nix::unistd::Uid;

use super::{
    BackupError, Manifest,
    key::{self, Key, with_end},
    unpack,
};
use crate::{
    config::{Account, Config, DatabaseUrl, Env},
    credentials::vault::UnlockError,
    definition::{Registry, Repeat},
    diagnostic::{Diagnostic, Diagnostics},
    engine::catalog::{LOCAL, ON_CHANGE},
    store::sqlite::{self, DatabaseLock, OpenError, Restored},
    types::Timestamp,
};

/// Why nothing was restored. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("{0}")]
    Configuration(#[from] Diagnostics),
    #[error("only SQLite databases are restored here: [database] url names another")]
    NotHere,
    #[error("{} {error}", path.display())]
    File { path: PathBuf, error: BackupError },
    #[error(
        "{} is there already, and is not overwritten: move it away together with its -wal, or set \
         another [database] url",
        .0.display()
    )]
    Exists(PathBuf),
    #[error(
        "this backup holds no key, and there is none at {place}: put there the sealing key that the \
         database had (a copy of attendant.key, or a backup made with --with-key), and restore again",
        place = place.display()
    )]
    NoKey { place: PathBuf },
    #[error(
        "the key at {place} is not the one that this backup was sealed with: {}",
        if *brought { "move it away, and the backup's own is put there" }
        else { "put that one there, and restore again" },
        place = place.display()
    )]
    OtherKey { place: PathBuf, brought: bool },
    #[error("the backup's own key does not open it: it is not as it was made")]
    KeyOfAnother,
    #[error("{0}")]
    Unlock(#[from] UnlockError),
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{path}: {error}", path = path.display())]
    Path { path: PathBuf, error: std::io::Error },
}

impl RestoreError {
    /// What was given is not what it should be, and not what a person configured.
    #[must_use]
    pub const fn is_of_the_data(&self) -> bool {
        matches!(self, Self::File { .. } | Self::KeyOfAnother | Self::Unlock(_))
    }
}

/// What was restored.
#[derive(Debug)]
pub struct Done {
    pub database: PathBuf,
    pub manifest: Manifest,
    /// Jobs that are left to a person.
    pub outcome_unknown: u64,
    /// Where the key was put that the backup held.
    pub key: Option<PathBuf>,
    /// The name of a key that is not visible here: whether it fits is found at the start.
    pub unseen_key: Option<String>,
}

/// Puts a backup where the configuration says that the database is.
pub async fn restore(
    file: &Path,
    config: &Config,
    env: &Env,
    now: Timestamp,
) -> Result<Done, RestoreError> {
    let registry = Registry::load(config.jobs_dir.as_deref())?;
    has_all_definitions(config, &registry)?;
    let DatabaseUrl::Sqlite(database) = &config.database.url else {
        return Err(RestoreError::NotHere);
    };
    if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(folder);
        made.map_err(|error| RestoreError::Path { path: folder.to_owned(), error })?;
    }
    // A daemon that runs holds it.
    let _lock = DatabaseLock::take(database)?;
    for there in [database.clone(), with_end(database, "-wal")] {
        if there.exists() {
            return Err(RestoreError::Exists(there));
        }
    }
    let staged = with_end(database, ".restoring");
    let done = prepare(file, &staged, config, env, &registry, now).await;
    let result = match done {
        Ok((manifest, key, restored)) => {
            let put = put(&staged, database, &key);
            if put.is_err() {
                key.drop_staged();
            }
            put.map(|()| Done {
                database: database.clone(),
                manifest,
                outcome_unknown: restored.outcome_unknown,
                key: match &key {
                    Key::Brought { place, .. } => Some(place.clone()),
                    _ => None,
                },
                unseen_key: match key {
                    Key::NotVisible(name) => Some(name),
                    _ => None,
                },
            })
        }
        Err(error) => Err(error),
    };
    if result.is_err() {
        for left in ["", "-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(with_end(&staged, left));
        }
    }
    result
}

/// Unpacks, looks through, finds the key, and marks what a copy must not do.
async fn prepare(
    file: &Path,
    staged: &Path,
    config: &Config,
    env: &Env,
    registry: &Registry,
    now: Timestamp,
) -> Result<(Manifest, Key, Restored), RestoreError> {
    let unpacked = unpack_to(file, staged)?;
    let broken = |found: String| RestoreError::File {
        path: file.to_owned(),
        error: BackupError::Damaged(found),
    };
    sqlite::look_through_all(staged).await?.map_err(broken)?;
    let key = key::find(config, env, staged, unpacked.key.as_ref().map(|key| key.as_str())).await?;
    let accounts = config.accounts.keys().cloned().collect();
    let copy = sqlite::Copied {
        accounts,
        own_queue: LOCAL,
        paused_by: format!("the restore of a backup from {}", unpacked.manifest.made_at),
        repeatable: repeatable(registry),
        now,
    };
    match sqlite::make_copy_harmless(staged, copy).await {
        Ok(restored) => Ok((unpacked.manifest, key, restored)),
        Err(error) => {
            key.drop_staged();
            Err(error.into())
        }
    }
}

fn unpack_to(file: &Path, staged: &Path) -> Result<super::Unpacked, RestoreError> {
    let path = |error| RestoreError::Path { path: staged.to_owned(), error };
    let mut options = OpenOptions::new();
    let to = options.write(true).create(true).truncate(true).mode(0o600).open(staged);
    let to = to.map_err(path)?;
    let unpacked =
        unpack(file, &to).map_err(|error| RestoreError::File { path: file.to_owned(), error })?;
    to.sync_all().map_err(path)?;
    Ok(unpacked)
}

fn put(staged: &Path, database: &Path, key: &Key) -> Result<(), RestoreError> {
    let wrap = |error| RestoreError::Path { path: database.to_owned(), error };
    File::open(staged).and_then(|file| file.sync_all()).map_err(wrap)?;
    key.put()?;
    fs::rename(staged, database).map_err(wrap)?;
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(wrap)?;
    let mut files = vec![database.to_owned(), with_end(database, ".lock")];
    if let Key::Brought { place, .. } = key {
        files.push(place.clone());
    }
    give_to_the_owner(&folder, &files).map_err(wrap)?;
    folder.sync_all().map_err(wrap)
}

/// What root restores into the folder of the daemon's user is to be that user's.
fn give_to_the_owner(folder: &File, files: &[PathBuf]) -> std::io::Result<()> {
    let owner = folder.metadata()?;
    for file in files {
        let known = file.metadata()?;
        if (known.uid(), known.gid()) != (owner.uid(), owner.gid()) && Uid::effective().is_root() {
            chown(file, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

/// Kinds whose jobs may be done again, and so may everything that comes of them. Of a kind that no
/// definition has nothing is known.
fn repeatable(registry: &Registry) -> BTreeSet<String> {
    let mut safe: BTreeSet<String> = registry
        .kinds()
        .filter(|(_, kind)| kind.repeat == Repeat::Safe)
        .map(|(_, kind)| kind.name.clone())
        .collect();
    loop {
        let before = safe.len();
        let known = safe.clone();
        safe.retain(|name| {
            let kind = registry.kind(name);
            kind.is_some_and(|(_, kind)| kind.then.iter().all(|then| known.contains(&then.kind)))
        });
        if safe.len() == before {
            break;
        }
    }
    safe.insert(ON_CHANGE.to_owned());
    safe
}

/// Without its definition nothing is known of an account's jobs, and all would be left to a person.
fn has_all_definitions(config: &Config, registry: &Registry) -> Result<(), Diagnostics> {
    let file = config.file.clone().unwrap_or_default();
    let lacking = config.accounts.values().filter(|one| registry.provider(&one.provider).is_none());
    let problem = |one: &Account| {
        let words = format!(
            "no definition of `{}` is there: put it into jobs_dir before you restore",
            one.provider
        );
        Diagnostic::new(&file, format!("accounts.{}.provider", one.name), words)
    };
    let problems: Vec<Diagnostic> = lacking.map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(Diagnostics(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_an_order_is_not_repeated_either() {
        let folder = tempfile::tempdir().unwrap();
        let definition = r#"
provider = "shop"
title = "Shop"
base_url = "http://127.0.0.1:9"
[jobs.order]
shape = "call"
repeat = "never"
request = { method = "POST", path = "/orders" }
[jobs.wish]
shape = "call"
request = { path = "/wish" }
[[jobs.wish.then]]
kind = "shop.look"
[jobs.look]
shape = "call"
request = { path = "/look" }
[[jobs.look.then]]
kind = "shop.order"
[jobs.ping]
shape = "call"
request = { path = "/ping" }
"#;
        fs::write(folder.path().join("shop.toml"), definition).unwrap();
        let registry = Registry::load(Some(folder.path())).unwrap();
        let safe = repeatable(&registry);
        let shop: Vec<&str> =
            safe.iter().map(String::as_str).filter(|one| one.starts_with("shop")).collect();
        assert_eq!(shop, ["shop.ping"]);
        assert!(safe.contains("certn.applicant") && !safe.contains("certn.application"));
    }
}
