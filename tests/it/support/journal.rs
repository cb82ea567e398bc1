//! A journal that keeps what it is sent, and reads it as strictly as journald does.

use std::{
    collections::BTreeMap,
    io::IoSliceMut,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};

use tempfile::TempDir;

use super::daemon::PATIENCE;

/// One entry by its fields.
pub type Entry = BTreeMap<String, String>;

#[derive(Debug, Default)]
struct Kept {
    entries: Vec<Entry>,
    /// All that came, as it came.
    bytes: Vec<u8>,
}

type Shared = Arc<(Mutex<Kept>, Condvar)>;

#[derive(Debug)]
pub struct Journal {
    pub path: PathBuf,
    kept: Shared,
    _folder: TempDir,
}

impl Journal {
    pub fn listen() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let socket = UnixDatagram::bind(&path).unwrap();
        let kept = Shared::default();
        let theirs = Arc::clone(&kept);
        // It ends with the test's process.
        std::thread::spawn(move || {
            loop {
                let bytes = receive(&socket);
                if !bytes.is_empty() {
                    let mut kept = theirs.0.lock().unwrap();
                    kept.entries.push(read(&bytes));
                    kept.bytes.extend(bytes);
                    theirs.1.notify_all();
                }
            }
        });
        Self { path, kept, _folder: folder }
    }

    /// The first entry that is so, once it has come.
    pub fn wait_for(&self, what: &str, so: impl Fn(&Entry) -> bool) -> Entry {
        let kept = self.kept.0.lock().unwrap();
        let missing = |kept: &mut Kept| !kept.entries.iter().any(&so);
        let (kept, waited) = self.kept.1.wait_timeout_while(kept, PATIENCE, missing).unwrap();
        assert!(!waited.timed_out(), "no {what} in {:#?}", kept.entries);
        kept.entries.iter().find(|entry| so(entry)).unwrap().clone()
    }

    /// Waits until an event has come so many times.
    pub fn wait_for_count(&self, event: &str, count: usize) {
        let of = |kept: &Kept| {
            let events = kept.entries.iter().filter_map(|entry| entry.get("ATTENDANT_EVENT"));
            events.filter(|one| *one == event).count()
        };
        let kept = self.kept.0.lock().unwrap();
        let fewer = |kept: &mut Kept| of(kept) < count;
        let (kept, waited) = self.kept.1.wait_timeout_while(kept, PATIENCE, fewer).unwrap();
        assert!(!waited.timed_out(), "no {event} in {:#?}", kept.entries);
    }

    /// As `journalctl FIELD=VALUE` has it.
    pub fn of(&self, field: &str, value: &str) -> Vec<Entry> {
        let kept = self.kept.0.lock().unwrap();
        let entries = kept.entries.iter();
        entries.filter(|one| one.get(field).is_some_and(|is| is == value)).cloned().collect()
    }

    /// Everything so far, and from now on anew.
    pub fn take_bytes(&self) -> Vec<u8> {
        std::mem::take(&mut self.kept.0.lock().unwrap().bytes)
    }
}

fn receive(socket: &UnixDatagram) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 18];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let socket = socket.as_raw_fd();
    let message =
        recvmsg::<UnixAddr>(socket, &mut parts, Some(&mut space), MsgFlags::empty()).unwrap();
    let length = message.bytes;
    let file = message.cmsgs().unwrap().find_map(|part| match part {
        ControlMessageOwned::ScmRights(files) => files.first().copied(),
        _ => None,
    });
    if let Some(file) = file {
        let sent = std::fs::read(format!("/proc/self/fd/{file}")).unwrap();
        nix::unistd::close(file).unwrap();
        return sent;
    }
    bytes.truncate(length);
    bytes
}

/// Each field on a line, or behind its length.
fn read(mut rest: &[u8]) -> Entry {
    let mut entry = Entry::new();
    while !rest.is_empty() {
        let line = rest.iter().position(|byte| *byte == b'\n').expect("a line ends");
        let (field, value) = match rest[..line].iter().position(|byte| *byte == b'=') {
            Some(equals) => {
                let parts = (&rest[..equals], &rest[equals + 1..line]);
                rest = &rest[line + 1..];
                parts
            }
            None => {
                let (field, after) = (&rest[..line], &rest[line + 1..]);
                let (length, after) = after.split_at(8);
                let length = u64::from_le_bytes(length.try_into().unwrap());
                let (value, after) = after.split_at(usize::try_from(length).unwrap());
                rest = after.strip_prefix(b"\n").expect("a value ends");
                (field, value)
            }
        };
        let field = String::from_utf8(field.to_vec()).unwrap();
        let good = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        assert!(field.starts_with(|c: char| c.is_ascii_uppercase()) && field.chars().all(good));
        assert!(field.len() <= 64, "{field}");
        let twice = entry.insert(field, String::from_utf8(value.to_vec()).unwrap());
        assert_eq!(twice, None);
    }
    for field in ["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"] {
        assert!(entry.contains_key(field), "no {field} in {entry:?}");
    }
    entry
}
