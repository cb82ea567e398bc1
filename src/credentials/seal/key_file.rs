//! The sealing key's file.
//!
//! A key as it was made is one line of base64: its root of 32 bytes. Once a chain was erased the
//! root must not be there any more, and the file has two lines: a heading, and in base64 the key's
//! id, the equality key's key, the number of erased chains, salt and first job of each, what is
//! left of the tree in the order of its paths (see `tree`), and a checksum.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::zeroize::Zeroizing;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Erasure, KeyId, SealingKey, Tree, path as path_of};
use crate::types::JobId;

pub(super) const HEADING: &str = "attendant-key-2";
const CHECKSUM: usize = 8;

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
    #[error(
        "the sealing key {} is damaged: bring back the last copy of it; what is sealed opens with \
         no other",
        .0.display()
    )]
    Damaged(PathBuf),
    #[error("{} exists and is not overwritten: what was sealed with it would be lost", .0.display())]
    Exists(PathBuf),
    #[error("the sealing key {} cannot be written: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
}

impl KeyError {
    /// Whether the file cannot be replaced where it is, however often it is tried.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
        let Self::Unwritable { source, .. } = self else { return false };
        matches!(
            source.kind(),
            PermissionDenied | ReadOnlyFilesystem | ResourceBusy | CrossesDevices
        )
    }
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
        write_new(path, self.text().as_bytes()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
            _ => KeyError::Unwritable { path: path.to_owned(), source },
        })
    }

    /// Puts this key in the place of the one in a file: a crash leaves one or the other whole.
    /// Durable when it returns; then the bytes of the old file are overwritten, as far as a file
    /// system does that.
    pub fn replace_file(&self, path: &Path) -> Result<(), KeyError> {
        let unwritable = |source| KeyError::Unwritable { path: path.to_owned(), source };
        // A link stays a link.
        let real = path.canonicalize().map_err(unwritable)?;
        let beside = with_end(&real, ".new");
        remove_if_there(&beside)
            .and_then(|()| write_durably(&beside, self.text().as_bytes()))
            .and_then(|()| rename_over(&beside, &real))
            .map_err(unwritable)
    }

    /// Reads a key's file.
    pub fn read_file(path: &Path) -> Result<KeyFile, KeyError> {
        let unreadable = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
            _ => KeyError::Unreadable { path: path.to_owned(), source },
        };
        let mode = std::fs::metadata(path).map_err(unreadable)?.mode() & 0o777;
        let text = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
        let warning = warning(path, mode);
        let text = text.trim_ascii();
        if let Some(body) = text.strip_prefix(HEADING.as_bytes()) {
            let decoded = STANDARD.decode(body.trim_ascii()).map(Zeroizing::new);
            let key = decoded.ok().and_then(|body| cut_key(&body));
            let key = key.ok_or_else(|| KeyError::Damaged(path.to_owned()))?;
            return Ok(KeyFile { key, warning });
        }
        let decoded = STANDARD.decode(text).map(Zeroizing::new);
        let decoded = decoded.map_err(|_| KeyError::NotBase64(path.to_owned()))?;
        let mut bytes = Zeroizing::new([0; 32]);
        if decoded.len() != bytes.len() {
            return Err(KeyError::WrongLength { path: path.to_owned(), length: decoded.len() });
        }
        bytes.copy_from_slice(&decoded);
        Ok(KeyFile { key: Self::from_bytes(bytes), warning })
    }

    /// What its file holds.
    pub(in crate::credentials) fn text(&self) -> Zeroizing<String> {
        if let Some(root) = &self.root {
            let mut line = Zeroizing::new(String::with_capacity(45));
            STANDARD.encode_string(root.as_slice(), &mut line);
            line.push('\n');
            return line;
        }
        let secrets = self.tree.secrets().count();
        let length = 4 + 32 + 4 + 32 * (self.erased.len() + secrets) + CHECKSUM;
        let mut body = Zeroizing::new(Vec::with_capacity(length));
        body.extend_from_slice(&self.id.0);
        body.extend_from_slice(self.equality.as_slice());
        body.extend_from_slice(&u32::try_from(self.erased.len()).unwrap_or(u32::MAX).to_be_bytes());
        for erasure in &self.erased {
            body.extend_from_slice(&erasure.salt);
            body.extend_from_slice(erasure.job.0.as_bytes());
        }
        self.tree.secrets().for_each(|secret| body.extend_from_slice(secret));
        let checksum = Sha256::digest(&*body);
        body.extend_from_slice(&checksum[..CHECKSUM]);
        let mut text = Zeroizing::new(String::with_capacity(HEADING.len() + 6 + length / 3 * 4));
        text.push_str(HEADING);
        text.push('\n');
        STANDARD.encode_string(&*body, &mut text);
        text.push('\n');
        text
    }
}

/// A key of which chains were cut out; `None` where these bytes are not what was written.
fn cut_key(body: &[u8]) -> Option<SealingKey> {
    let (body, checksum) = body.split_at_checked(body.len().checked_sub(CHECKSUM)?)?;
    if Sha256::digest(body)[..CHECKSUM] != *checksum {
        return None;
    }
    let (id, rest) = body.split_first_chunk::<4>()?;
    let (equality, rest) = rest.split_first_chunk::<32>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    let (erased, secrets) = rest.split_at_checked(count.checked_mul(32)?)?;
    let erased: Vec<Erasure> = erased.chunks_exact(32).filter_map(erasure).collect();
    if !secrets.len().is_multiple_of(32) {
        return None;
    }
    let secrets = secrets.as_chunks::<32>().0.iter().map(|one| Zeroizing::new(*one));
    let paths = erased.iter().map(|erasure| path_of(&erasure.salt)).collect();
    Some(SealingKey {
        id: KeyId(*id),
        root: None,
        equality: Zeroizing::new(*equality),
        tree: Tree::rebuilt(paths, secrets)?,
        erased,
    })
}

fn erasure(bytes: &[u8]) -> Option<Erasure> {
    let (salt, job) = bytes.split_first_chunk::<16>()?;
    Some(Erasure { salt: *salt, job: JobId(Uuid::from_slice(job).ok()?) })
}

/// Where a rekey keeps the new key until everything is sealed with it.
#[must_use]
pub fn next_path(path: &Path) -> PathBuf {
    with_end(path, ".next")
}

/// Removes what a crash in the midst of writing left beside a key: it may be a whole one, from
/// which nothing was cut out.
pub fn remove_remains(path: &Path) -> Result<(), KeyError> {
    let remains = [with_end(path, ".new"), with_end(&next_path(path), ".new")];
    // A place that cannot be written has none, and need not be.
    for beside in remains.into_iter().filter(|beside| beside.exists()) {
        remove_if_there(&beside).map_err(|source| KeyError::Unwritable { path: beside, source })?;
    }
    Ok(())
}

/// Puts the new key of a rekey in the place of the old one, as [`SealingKey::replace_file`] does.
pub fn finish_next(path: &Path) -> Result<(), KeyError> {
    let unwritable = |source| KeyError::Unwritable { path: path.to_owned(), source };
    let real = path.canonicalize().map_err(unwritable)?;
    rename_over(&next_path(path), &real).map_err(unwritable)
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

fn warning(path: &Path, mode: u32) -> Option<String> {
    let path = path.display();
    (mode & 0o077 != 0)
        .then(|| format!("the sealing key {path} is open to others ({mode:04o}): chmod 0600 it"))
}

/// Written beside and then linked, which never overwrites, so that a crash leaves either no key
/// or all of it.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = with_end(path, ".new");
    remove_if_there(&beside)?;
    let written = write_durably(&beside, content).and_then(|()| std::fs::hard_link(&beside, path));
    let removed = std::fs::remove_file(&beside);
    written.and(removed)?;
    sync_folder(path)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_folder(of: &Path) -> io::Result<()> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn rename_over(new: &Path, old: &Path) -> io::Result<()> {
    let before = OpenOptions::new().write(true).open(old);
    std::fs::rename(new, old)?;
    sync_folder(old)?;
    // The new key is in force; what is left of the old one is on its way out in any case.
    let _ = before.and_then(wipe);
    Ok(())
}

/// Overwrites a file that has no name any more.
fn wipe(mut file: File) -> io::Result<()> {
    let known = file.metadata()?;
    if known.nlink() > 0 {
        return Ok(());
    }
    io::copy(&mut io::repeat(0).take(known.len()), &mut file)?;
    file.sync_all()
}
