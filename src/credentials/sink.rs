//! Files through which other programs get a credential's value.
//!
//! A value is never seen half: it is written to a temporary file of the same folder (made anew,
//! readable by nobody else at first), gets its owner, group and mode, is synced, takes the file's
//! name, and the folder is synced. The temporary file has one fixed name, `.NAME.attendant`, so
//! that what a crash left is found and removed by the next look.
//!
//! What is checked against links: the folder that holds the file is opened once, without following
//! a link in its last part, and everything else is done relative to what was opened. A file that is
//! there must be a regular one: a link, a folder or a device is refused and left as it is. Links
//! further up in the path are followed: whoever may make those may do anything there.

pub mod template;

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat, renameat},
    sys::stat::{FileStat, Mode, SFlag, fstatat},
    unistd::{Gid, Group, Uid, UnlinkatFlags, User, geteuid, unlinkat},
};

pub use template::check_template;

use crate::config;

/// Why a file is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("{file} has no folder or no name")]
    NoName { file: String },
    #[error(
        "the folder {folder} cannot be opened: {error}; make it, and let the daemon's user write \
         there"
    )]
    Folder { folder: String, error: io::Error },
    #[error(
        "{folder} is a link or no folder: write the path of the folder itself in the \
         configuration"
    )]
    FolderLink { folder: String },
    #[error("{file} is {what}, which is never written through or replaced: remove it")]
    NotAFile { file: String, what: &'static str },
    #[error("there is no {what} `{name}` on this machine: make it, or mend the configuration")]
    Unknown { what: &'static str, name: String },
    #[error(
        "{file} cannot be given to owner {owner} and group {group}: {error}; only root can give \
         files away, others only to groups that they belong to"
    )]
    Chown { file: String, owner: String, group: String, error: io::Error },
    #[error("{file} cannot be {what}: {error}{hint}")]
    Io { file: String, what: &'static str, error: io::Error, hint: &'static str },
}

/// A file and how it should be.
#[derive(Debug, Clone)]
pub struct Target {
    pub file: PathBuf,
    pub mode: u32,
    /// Name or number; default: the user of this process.
    pub owner: Option<String>,
    /// Name or number; default: what the folder gives.
    pub group: Option<String>,
}

impl From<&config::Sink> for Target {
    fn from(sink: &config::Sink) -> Self {
        Self {
            file: sink.file.clone(),
            mode: sink.mode,
            owner: sink.owner.clone(),
            group: sink.group.clone(),
        }
    }
}

impl Target {
    /// Replaces the file by one with this content, mode, owner and group.
    pub fn write(&self, content: &[u8]) -> Result<(), SinkError> {
        let place = self.place()?;
        place.regular()?;
        let ids = self.ids()?;
        place.clean()?;
        let written = self.fill(&place, ids, content).and_then(|()| place.rename());
        if written.is_err() {
            // It may hold the value.
            let _ = place.clean();
        }
        written?;
        place.sync()
    }

    /// Whether the file is as [`Self::write`] would leave it. Also removes what a crash left.
    pub fn holds(&self, content: &[u8]) -> Result<bool, SinkError> {
        let place = self.place()?;
        place.clean()?;
        if place.regular()?.is_none() {
            return Ok(false);
        }
        let (owner, group) = self.ids()?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(place.folder.as_fd(), place.name.as_str(), flags, Mode::empty());
        let file = File::from(opened.map_err(|error| self.io("read", error.into()))?);
        let found = file.metadata().map_err(|error| self.io("read", error))?;
        if found.mode() & 0o7777 != self.mode
            || found.uid() != owner.unwrap_or_else(geteuid).as_raw()
            || group.is_some_and(|group| group.as_raw() != found.gid())
            || found.len() != content.len() as u64
        {
            return Ok(false);
        }
        let mut there = secrecy::zeroize::Zeroizing::new(Vec::with_capacity(content.len() + 1));
        let read = file.take(content.len() as u64 + 1).read_to_end(&mut there);
        read.map_err(|error| self.io("read", error))?;
        Ok(there.as_slice() == content)
    }

    /// Removes the file; whether there was one.
    pub fn remove(&self) -> Result<bool, SinkError> {
        let place = match self.place() {
            Err(SinkError::Folder { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(false);
            }
            place => place?,
        };
        place.clean()?;
        if place.regular()?.is_none() {
            return Ok(false);
        }
        unlinkat(place.folder.as_fd(), place.name.as_str(), UnlinkatFlags::NoRemoveDir)
            .map_err(|error| self.io("removed", error.into()))?;
        place.sync()?;
        Ok(true)
    }

    fn place(&self) -> Result<Place<'_>, SinkError> {
        let none = || SinkError::NoName { file: self.file.display().to_string() };
        let folder = self.file.parent().ok_or_else(none)?;
        let name = self.file.file_name().and_then(|name| name.to_str()).ok_or_else(none)?;
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let opened = nix::fcntl::open(folder, flags, Mode::empty());
        let opened = opened.map_err(|error| match error {
            Errno::ELOOP | Errno::ENOTDIR => {
                SinkError::FolderLink { folder: folder.display().to_string() }
            }
            error => {
                SinkError::Folder { folder: folder.display().to_string(), error: error.into() }
            }
        })?;
        Ok(Place {
            target: self,
            folder: opened,
            name: name.to_owned(),
            temporary: format!(".{name}.attendant"),
        })
    }

    /// The numbers of owner and group, looked up each time: both may be made after the daemon has
    /// started.
    fn ids(&self) -> Result<(Option<Uid>, Option<Gid>), SinkError> {
        let owner = self.owner.as_deref().map(owner_id).transpose()?;
        let group = self.group.as_deref().map(group_id).transpose()?;
        Ok((owner, group))
    }

    fn fill(
        &self,
        place: &Place<'_>,
        (owner, group): (Option<Uid>, Option<Gid>),
        content: &[u8],
    ) -> Result<(), SinkError> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let opened = openat(place.folder.as_fd(), place.temporary.as_str(), flags, mode);
        let mut file = File::from(opened.map_err(|error| self.io("written", error.into()))?);
        let wrap = |error| self.io("written", error);
        file.write_all(content).map_err(wrap)?;
        // A folder may have given it to the group already, and a sandbox may forbid the call.
        let made = file.metadata().map_err(wrap)?;
        let uid = owner.map(Uid::as_raw).filter(|uid| *uid != made.uid());
        let gid = group.map(Gid::as_raw).filter(|gid| *gid != made.gid());
        if uid.is_some() || gid.is_some() {
            fchown(&file, uid, gid).map_err(|error| SinkError::Chown {
                file: self.file.display().to_string(),
                owner: self.owner.clone().unwrap_or_else(|| "(as it is)".to_owned()),
                group: self.group.clone().unwrap_or_else(|| "(as it is)".to_owned()),
                error,
            })?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(self.mode)).map_err(wrap)?;
        file.sync_all().map_err(wrap)
    }

    fn io(&self, what: &'static str, error: io::Error) -> SinkError {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => "; let the daemon's user write in its folder",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some room there",
            io::ErrorKind::ReadOnlyFilesystem => {
                "; under systemd, name the folder in ReadWritePaths="
            }
            _ => "",
        };
        SinkError::Io { file: self.file.display().to_string(), what, error, hint }
    }
}

/// The folder of a target, opened, and the names in it.
#[derive(Debug)]
struct Place<'a> {
    target: &'a Target,
    folder: OwnedFd,
    name: String,
    temporary: String,
}

impl Place<'_> {
    /// The file as it is, if there is one; refuses all but a regular one.
    fn regular(&self) -> Result<Option<FileStat>, SinkError> {
        let found = fstatat(self.folder.as_fd(), self.name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        let found = match found {
            Ok(found) => found,
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(self.target.io("looked at", error.into())),
        };
        let what = match SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => return Ok(Some(found)),
            SFlag::S_IFLNK => "a link",
            SFlag::S_IFDIR => "a folder",
            _ => "a device, pipe or socket",
        };
        Err(SinkError::NotAFile { file: self.target.file.display().to_string(), what })
    }

    /// Removes a temporary file.
    fn clean(&self) -> Result<(), SinkError> {
        let folder = self.folder.as_fd();
        match unlinkat(folder, self.temporary.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(self.target.io("written", error.into())),
        }
    }

    fn rename(&self) -> Result<(), SinkError> {
        let folder = self.folder.as_fd();
        renameat(folder, self.temporary.as_str(), folder, self.name.as_str())
            .map_err(|error| self.target.io("written", error.into()))
    }

    fn sync(&self) -> Result<(), SinkError> {
        nix::unistd::fsync(self.folder.as_fd())
            .map_err(|error| self.target.io("synced", error.into()))
    }
}

/// The number of a user given by name or number.
pub fn owner_id(text: &str) -> Result<Uid, SinkError> {
    if let Ok(number) = text.parse() {
        return Ok(Uid::from_raw(number));
    }
    let found = User::from_name(text).ok().flatten().map(|user| user.uid);
    found.ok_or_else(|| SinkError::Unknown { what: "user", name: text.to_owned() })
}

/// The number of a group given by name or number.
pub fn group_id(text: &str) -> Result<Gid, SinkError> {
    if let Ok(number) = text.parse() {
        return Ok(Gid::from_raw(number));
    }
    let found = Group::from_name(text).ok().flatten().map(|group| group.gid);
    found.ok_or_else(|| SinkError::Unknown { what: "group", name: text.to_owned() })
}

/// Words of a file that may be (parts of) values that it was given before this process began: for
/// redaction only. Nothing where it cannot be read.
#[must_use]
pub fn words_in(file: &Path) -> Vec<secrecy::SecretString> {
    const LONGEST: u64 = 256 * 1024;
    const SHORTEST: usize = 6;
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let Ok(opened) = nix::fcntl::open(file, flags, Mode::empty()) else { return vec![] };
    let mut bytes = secrecy::zeroize::Zeroizing::new(vec![]);
    if File::from(opened).take(LONGEST).read_to_end(&mut bytes).is_err() {
        return vec![];
    }
    let text = secrecy::zeroize::Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    let quotes = |one: char| matches!(one, '"' | '\'' | ',' | ';');
    text.lines()
        .chain(text.split_whitespace())
        .flat_map(|part| [part, part.split_once(['=', ':']).map_or("", |(_, rest)| rest)])
        .map(|part| part.trim().trim_matches(quotes))
        .filter(|part| part.len() >= SHORTEST)
        .map(secrecy::SecretString::from)
        .collect()
}
