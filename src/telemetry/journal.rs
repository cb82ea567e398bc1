//! The journal's own protocol: a datagram of fields, or a sealed file in memory where they are too
//! many for one. See systemd.journal-fields(7) and "Native Journal Protocol" at systemd.io.
//!
//! Written here because the crates for it can neither give an event its `MESSAGE_ID` and priority
//! nor leave the names of fields to us.

use std::{
    ffi::CStr,
    fs::File,
    io::{self, IoSlice, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{fs::MetadataExt as _, net::UnixDatagram},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg},
    },
};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::record::Record;

/// Where journald listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

const IDENTIFIER: &str = "attendant";
const MEMORY_NAME: &CStr = c"attendant-log";

/// Writes each line to the journal; what the journal does not take goes to standard error.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Finds out whether anybody listens.
    pub fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        let journal = Self { socket, path: path.to_owned() };
        // An empty entry is ignored.
        journal.datagram(b"")?;
        Ok(journal)
    }

    pub fn write(&self, record: &Record) -> io::Result<()> {
        let entry = entry(record);
        match self.datagram(&entry) {
            Err(error) if is_too_large(&error) => self.in_memory(&entry),
            sent => sent,
        }
    }

    fn datagram(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send_to(bytes, &self.path).map(drop)
    }

    /// Hands over a file that nobody can change any more.
    fn in_memory(&self, bytes: &[u8]) -> io::Result<()> {
        let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
        let mut file: File = OwnedFd::from(memfd_create(MEMORY_NAME, flags)?).into();
        file.write_all(bytes)?;
        let seals = SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE
            | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let files = [file.as_raw_fd()];
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(b"")],
            &[ControlMessage::ScmRights(&files)],
            MsgFlags::empty(),
            Some(&UnixAddr::new(&self.path)?),
        )?;
        Ok(())
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let record = Record::of(event);
        if self.write(&record).is_err() {
            // As sd-daemon(3) has it: the priority first, should a journal read this yet.
            let (priority, line) = (record.priority as u8, record.sentence());
            let _ = writeln!(io::stderr().lock(), "<{priority}>{}", line.replace('\n', " "));
        }
    }
}

fn is_too_large(error: &io::Error) -> bool {
    let too_large = [Errno::EMSGSIZE, Errno::ENOBUFS];
    error.raw_os_error().is_some_and(|code| too_large.contains(&Errno::from_raw(code)))
}

/// Whether standard error is the journal, as systemd says by device and inode.
#[must_use]
pub fn is_stderr(journal_stream: Option<&str>) -> bool {
    let Some((device, inode)) = journal_stream.and_then(|text| text.split_once(':')) else {
        return false;
    };
    let Ok(found) = std::fs::metadata("/proc/self/fd/2") else { return false };
    device.parse() == Ok(found.dev()) && inode.parse() == Ok(found.ino())
}

/// A record as the journal takes it.
fn entry(record: &Record) -> Vec<u8> {
    let mut entry = vec![];
    put(&mut entry, "MESSAGE", &record.sentence());
    put(&mut entry, "PRIORITY", &(record.priority as u8).to_string());
    put(&mut entry, "SYSLOG_IDENTIFIER", IDENTIFIER);
    if let Some(name) = record.name {
        put(&mut entry, "MESSAGE_ID", name.about().message_id);
        put(&mut entry, "ATTENDANT_EVENT", name.text());
    } else {
        put(&mut entry, "ATTENDANT_TARGET", record.target);
    }
    for (field, value) in &record.fields {
        put(&mut entry, &field_name(field), value);
    }
    entry
}

/// Capital letters, digits and `_`, at most 64: others would have the journal drop the field.
fn field_name(field: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("ATTENDANT_{}", field.chars().map(upper).take(54).collect::<String>())
}

fn put(entry: &mut Vec<u8>, field: &str, value: &str) {
    entry.extend_from_slice(field.as_bytes());
    if value.contains('\n') {
        // The other form: its length tells where it ends.
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests;
