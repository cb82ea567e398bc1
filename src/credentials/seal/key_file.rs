//! The sealing key's file: one line of base64.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::zeroize::Zeroizing;

use super::SealingKey;

/// A key that was read, and what should be looked at.
#[derive(Debug)]
pub struct KeyFile {
    pub key: SealingKey,
    pub warning: Option<String>,
}

/// Why a key's file cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "the sealing key {} does not exist: bring it back from where it is kept (`attendant backup \
         --with-key` keeps one); what was sealed with it opens with no other",
        .0.display()
    )]
    Missing(PathBuf),
    #[error("the sealing key {} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "the sealing key {} is not base64: it must hold one line of 44 characters, as it was made",
        .0.display()
    )]
    NotBase64(PathBuf),
    #[error("the sealing key {} has {length} bytes, not 32: it must be the file as it was made", path.display())]
    WrongLength { path: PathBuf, length: usize },
    #[error("{} exists and is not overwritten: what was sealed with it would be lost", .0.display())]
    Exists(PathBuf),
    #[error("the sealing key {} cannot be written: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
}

impl SealingKey {
    /// Makes a new key in a new file with mode 0600; durable, the folder's entry too, when this
    /// returns.
    ///
    /// # Errors
    /// [`KeyError::Exists`] where there is such a file, which stays as it is.
    pub fn create_file(path: &Path) -> Result<Self, KeyError> {
        let key = Self::generate();
        key.write_file(path)?;
        Ok(key)
    }

    /// Writes this key to a new file, as [`create_file`](Self::create_file) does.
    pub fn write_file(&self, path: &Path) -> Result<(), KeyError> {
        let mut line = Zeroizing::new(String::with_capacity(45));
        STANDARD.encode_string(self.bytes.as_slice(), &mut line);
        line.push('\n');
        write_new(path, line.as_bytes()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
            _ => KeyError::Unwritable { path: path.to_owned(), source },
        })
    }

    /// Reads a key's file.
    pub fn read_file(path: &Path) -> Result<KeyFile, KeyError> {
        let unreadable = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
            _ => KeyError::Unreadable { path: path.to_owned(), source },
        };
        let mode = std::fs::metadata(path).map_err(unreadable)?.mode() & 0o777;
        let text = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
        let decoded = STANDARD.decode(text.trim_ascii()).map(Zeroizing::new);
        let decoded = decoded.map_err(|_| KeyError::NotBase64(path.to_owned()))?;
        let mut bytes = Zeroizing::new([0; 32]);
        if decoded.len() != bytes.len() {
            return Err(KeyError::WrongLength { path: path.to_owned(), length: decoded.len() });
        }
        bytes.copy_from_slice(&decoded);
        Ok(KeyFile { key: Self::from_bytes(bytes), warning: warning(path, mode) })
    }
}

fn warning(path: &Path, mode: u32) -> Option<String> {
    let path = path.display();
    (mode & 0o077 != 0)
        .then(|| format!("the sealing key {path} is open to others ({mode:04o}): chmod 0600 it"))
}

/// Written beside and then linked, which never overwrites, so that a crash leaves either no key
/// or all of it.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = OsString::from(path);
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_durably(&beside, content).and_then(|()| std::fs::hard_link(&beside, path));
    let removed = std::fs::remove_file(&beside);
    written.and(removed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
