//! A backup beside the database before its schema is changed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::Content;
use crate::{
    store::{
        StoreError,
        sqlite::{self, OpenError},
    },
    telemetry::events::{Event, Name, emit},
    types::Timestamp,
};

/// How many such backups are kept.
const KEPT: usize = 3;

/// Why the schema must not be changed.
#[derive(Debug, thiserror::Error)]
pub enum BeforeMigration {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error(
        "{database} has schema {from} and is to be brought to {to}, but no backup of it could be \
         made first: {error}. Give {folder} room for a copy of the database, and start again; \
         nothing was changed",
        database = database.display(), folder = folder.display()
    )]
    NoBackup { database: PathBuf, folder: PathBuf, from: i64, to: i64, error: String },
}

/// Makes a backup if the database has migrations to come. Nobody else uses it: its lock is held.
pub async fn backup_before(database: &Path, now: Timestamp) -> Result<(), BeforeMigration> {
    sqlite::forget_copy(database);
    let to = sqlite::known_schema();
    let Some(from) = sqlite::schema_of(database).await?.filter(|from| *from < to) else {
        return Ok(());
    };
    let file = beside(database, &format!(".before-schema-{to}.backup"));
    match make(database, &file, from, now).await {
        Ok(()) => {
            let words = format!(
                "the schema goes from {from} to {to}; a backup from before is in {}",
                file.display()
            );
            emit(Name::DaemonBackedUp, &Event { detail: Some(&words), ..Event::default() });
            forget_older(database);
            Ok(())
        }
        Err(error) => {
            let folder = database.parent().unwrap_or(Path::new(".")).to_owned();
            Err(BeforeMigration::NoBackup {
                database: database.to_owned(),
                folder,
                from,
                to,
                error,
            })
        }
    }
}

fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    name.into()
}

async fn make(database: &Path, file: &Path, schema: i64, now: Timestamp) -> Result<(), String> {
    let copy = sqlite::copy_of(database).await.map_err(|error| match error {
        StoreError::Full => "there is no room on the disk".to_owned(),
        other => other.to_string(),
    })?;
    let file = file.to_owned();
    let written = tokio::task::spawn_blocking(move || write(copy, &file, schema, now)).await;
    written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

fn write(copy: File, file: &Path, schema: i64, now: Timestamp) -> io::Result<()> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = write_durably(copy, &part, schema, now).and_then(|()| {
        fs::rename(&part, file)?;
        File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
    });
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

fn write_durably(copy: File, part: &Path, schema: i64, now: Timestamp) -> io::Result<()> {
    let content = Content::of(copy, schema, None, now)?;
    let mut options = OpenOptions::new();
    let to = options.write(true).create(true).truncate(true).mode(0o600).open(part)?;
    content.write(io::BufWriter::with_capacity(256 << 10, &to))?;
    to.sync_all()
}

/// The newest stay. What cannot be removed is no reason to stop.
fn forget_older(database: &Path) {
    let Some(name) = database.file_name().and_then(|name| name.to_str()) else { return };
    let begin = format!("{name}.before-schema-");
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else { return };
    let mut found: Vec<(i64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let rest = path.file_name()?.to_str()?.strip_prefix(&begin)?;
            let schema = rest.strip_suffix(".backup")?.parse().ok()?;
            Some((schema, path))
        })
        .collect();
    found.sort_by_key(|(schema, _)| std::cmp::Reverse(*schema));
    for (_, path) in found.into_iter().skip(KEPT) {
        let _ = fs::remove_file(path);
    }
}
