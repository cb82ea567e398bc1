//! Backups: one file that holds everything, and is checked before it is believed.
//!
//! It is a plain tar: `manifest.json` first, then `attendant.db` (a compact copy of the database,
//! files of jobs included, everything in it sealed as ever) and, only where asked for,
//! `attendant.key`. The manifest has the size and SHA-256 of each. [`restore`] puts one in place;
//! [`migration`] makes one before a schema is changed.

mod key;
pub mod migration;
pub mod restore;

use std::{
    fs::File,
    io::{self, Read, Seek as _, Write},
    path::Path,
};

use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::types::Timestamp;

const FORMAT: &str = "attendant-backup";
const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
const DATABASE: &str = "attendant.db";
const KEY: &str = "attendant.key";
/// A manifest names two files; a key has a line for each erased chain.
const LONGEST_MANIFEST: u64 = 64 << 10;
const LONGEST_KEY: u64 = 1 << 30;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    version: u32,
    pub made_at: Timestamp,
    /// The program that made it.
    pub attendant: String,
    /// The last migration of its database.
    pub schema: i64,
    files: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    name: String,
    size: u64,
    sha256: String,
}

/// Why a file cannot be used as a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is no backup of attendant")]
    Foreign,
    #[error("was made by a newer attendant ({0}): install that one to restore it")]
    Newer(String),
    #[error("is cut short or damaged: {0}; nothing of it was used")]
    Damaged(String),
    #[error("cannot be unpacked: {0}")]
    Unwritable(io::Error),
}

/// A backup on its way into a file.
#[derive(Debug)]
pub struct Content {
    pub manifest: Manifest,
    database: File,
    key: Option<Zeroizing<String>>,
}

impl Content {
    /// Takes in a copy of the database, which it reads once. Not for a thread that must not wait.
    pub fn of(
        mut database: File,
        schema: i64,
        key: Option<Zeroizing<String>>,
        made_at: Timestamp,
    ) -> io::Result<Self> {
        let mut hashing = Hashing::new(io::sink());
        database.rewind()?;
        io::copy(&mut database, &mut hashing)?;
        database.rewind()?;
        let mut files = vec![hashing.member(DATABASE)];
        if let Some(key) = &key {
            let mut hashing = Hashing::new(io::sink());
            hashing.write_all(key.as_bytes())?;
            files.push(hashing.member(KEY));
        }
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            made_at,
            attendant: env!("CARGO_PKG_VERSION").to_owned(),
            schema,
            files,
        };
        Ok(Self { manifest, database, key })
    }

    /// Writes all of it. Not for a thread that must not wait.
    pub fn write(mut self, to: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(to);
        let made_at = u64::try_from(self.manifest.made_at.0 / 1_000).unwrap_or(0);
        let mut add = |name: &str, size: u64, data: &mut dyn Read| {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o600);
            header.set_size(size);
            header.set_mtime(made_at);
            header.set_entry_type(tar::EntryType::Regular);
            tar.append_data(&mut header, name, data)
        };
        let manifest = serde_json::to_vec_pretty(&self.manifest)?;
        add(MANIFEST, manifest.len() as u64, &mut manifest.as_slice())?;
        let size = self.manifest.files.first().map_or(0, |file| file.size);
        add(DATABASE, size, &mut self.database)?;
        if let Some(key) = &self.key {
            add(KEY, key.len() as u64, &mut key.as_bytes())?;
        }
        tar.into_inner()?.flush()
    }
}

/// What a backup held.
#[derive(Debug)]
pub struct Unpacked {
    pub manifest: Manifest,
    pub key: Option<Zeroizing<String>>,
}

/// Reads a backup through and compares everything with what its manifest says.
pub fn verify(file: &Path) -> Result<Manifest, BackupError> {
    unpack(file, io::sink()).map(|unpacked| unpacked.manifest)
}

/// The same, and its database goes to `database`.
pub fn unpack(file: &Path, database: impl Write) -> Result<Unpacked, BackupError> {
    let file = File::open(file).map_err(BackupError::Unreadable)?;
    let mut tar = tar::Archive::new(io::BufReader::new(file));
    let mut entries = tar.entries().map_err(BackupError::Unreadable)?;
    let mut database = Some(database);
    let manifest = match entries.next() {
        Some(Ok(mut entry)) if is(&entry, MANIFEST) => manifest(&mut entry)?,
        Some(Err(error)) if is_of_the_disk(&error) => return Err(BackupError::Unreadable(error)),
        _ => return Err(BackupError::Foreign),
    };
    let mut key = None;
    for member in &manifest.files {
        let missing = || BackupError::Damaged(format!("{} is missing", member.name));
        let mut entry = entries.next().ok_or_else(missing)?.map_err(damaged)?;
        if !is(&entry, &member.name) {
            return Err(missing());
        }
        match (member.name.as_str(), database.take()) {
            (DATABASE, Some(to)) => member.check(&mut entry, to)?,
            (KEY, _) => key = Some(member.key(&mut entry)?),
            (other, _) => {
                return Err(BackupError::Damaged(format!("{other} is not known, or there twice")));
            }
        }
    }
    if database.is_some() {
        return Err(BackupError::Damaged(format!("{DATABASE} is missing")));
    }
    Ok(Unpacked { manifest, key })
}

fn is<R: Read>(entry: &tar::Entry<'_, R>, name: &str) -> bool {
    entry.header().entry_type().is_file() && &*entry.path_bytes() == name.as_bytes()
}

fn is_of_the_disk(error: &io::Error) -> bool {
    error.raw_os_error().is_some()
}

fn damaged(error: io::Error) -> BackupError {
    if is_of_the_disk(&error) {
        return BackupError::Unreadable(error);
    }
    BackupError::Damaged(error.to_string())
}

fn manifest(entry: &mut impl Read) -> Result<Manifest, BackupError> {
    let mut text = vec![];
    entry.take(LONGEST_MANIFEST).read_to_end(&mut text).map_err(damaged)?;
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text) else {
        return Err(BackupError::Foreign);
    };
    if value["format"] != FORMAT {
        return Err(BackupError::Foreign);
    }
    if value["version"] != VERSION {
        let by = value["attendant"].as_str().unwrap_or("unknown").to_owned();
        return Err(BackupError::Newer(by));
    }
    serde_json::from_value(value).map_err(|error| BackupError::Damaged(error.to_string()))
}

impl Member {
    fn check(&self, from: &mut impl Read, to: impl Write) -> Result<(), BackupError> {
        let mut hashing = Hashing::new(to);
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = from.read(&mut buffer).map_err(damaged)?;
            if read == 0 {
                break;
            }
            hashing.write_all(&buffer[..read]).map_err(BackupError::Unwritable)?;
        }
        hashing.flush().map_err(BackupError::Unwritable)?;
        if hashing.member(&self.name) == *self {
            return Ok(());
        }
        Err(BackupError::Damaged(format!("{} is not what was written", self.name)))
    }

    fn key(&self, from: &mut impl Read) -> Result<Zeroizing<String>, BackupError> {
        let size = usize::try_from(self.size.min(LONGEST_KEY)).unwrap_or(0);
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        self.check(from, &mut *bytes)?;
        let text = std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned()));
        text.map_err(|_| BackupError::Damaged(format!("{KEY} is no text")))
    }
}

/// Counts and hashes what goes through.
struct Hashing<W> {
    to: W,
    size: u64,
    sha256: Sha256,
}

impl<W: Write> Hashing<W> {
    fn new(to: W) -> Self {
        Self { to, size: 0, sha256: Sha256::new() }
    }

    fn member(self, name: &str) -> Member {
        use std::fmt::Write as _;
        let sha256 = self.sha256.finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        Member { name: name.to_owned(), size: self.size, sha256 }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn backup(folder: &Path, key: Option<&str>) -> PathBuf {
        let database = folder.join("copy");
        std::fs::write(&database, vec![7; 300_000]).unwrap();
        let key = key.map(|key| Zeroizing::new(key.to_owned()));
        let content =
            Content::of(File::open(database).unwrap(), 10, key, Timestamp(5_000)).unwrap();
        let file = folder.join("backup");
        content.write(File::create(&file).unwrap()).unwrap();
        file
    }

    #[test]
    fn what_goes_in_comes_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = backup(folder.path(), Some("the key"));
        let mut database = vec![];
        let unpacked = unpack(&file, &mut database).unwrap();
        assert_eq!((database, unpacked.manifest.schema), (vec![7; 300_000], 10));
        assert_eq!(unpacked.key.unwrap().as_str(), "the key");
        let without = backup(folder.path(), None);
        assert!(unpack(&without, io::sink()).unwrap().key.is_none());
        let bytes = std::fs::read(without).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"the key"));
    }

    #[test]
    fn what_is_cut_short_or_changed_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let file = backup(folder.path(), None);
        let whole = std::fs::read(&file).unwrap();
        let said = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            verify(&file).unwrap_err().to_string()
        };
        for length in [0, 1, 511] {
            assert_eq!(said(&whole[..length]), "is no backup of attendant", "{length}");
        }
        for length in [1_200, 100_000, 300_000] {
            let words = said(&whole[..length]);
            assert!(words.starts_with("is cut short or damaged"), "{length}: {words}");
        }
        let mut changed = whole.clone();
        changed[150_000] ^= 1;
        let words = said(&changed);
        assert!(words.contains("attendant.db is not what was written"), "{words}");
        assert_eq!(said(b"SQLite format 3\0 and more of it"), "is no backup of attendant");
        assert_eq!(said(&[0; 4_096]), "is no backup of attendant");
        let newer = String::from_utf8_lossy(&whole).replace("\"version\": 1", "\"version\": 2");
        let words = said(newer.as_bytes());
        assert!(words.starts_with("was made by a newer attendant"), "{words}");
        std::fs::write(&file, &whole).unwrap();
        verify(&file).unwrap();
    }
}
