use nix::sys::socket::{ControlMessageOwned, recvmsg};

use super::*;
use crate::telemetry::events::{Name, Priority};

fn record(message: &str, fields: Vec<(&'static str, String)>) -> Record {
    Record {
        name: Some(Name::JobDead),
        priority: Priority::Warning,
        target: "attendant",
        message: message.to_owned(),
        fields,
    }
}

#[test]
fn an_entry_has_its_id_priority_and_fields() {
    let fields = vec![("job_id", "0199".to_owned()), ("error_code", "http_404".to_owned())];
    let text = String::from_utf8(entry(&record("gone", fields))).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let id = format!("MESSAGE_ID={}", Name::JobDead.about().message_id);
    assert_eq!(
        lines,
        [
            "MESSAGE=job 0199: dead (http_404): gone",
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=attendant",
            &id,
            "ATTENDANT_EVENT=job.dead",
            "ATTENDANT_JOB_ID=0199",
            "ATTENDANT_ERROR_CODE=http_404",
        ]
    );
}

#[test]
fn values_of_several_lines_cannot_forge_fields() {
    let forged = "a\nPRIORITY=0\nMESSAGE_ID=00";
    let bytes = entry(&record("x", vec![("account", forged.to_owned())]));
    let name = b"ATTENDANT_ACCOUNT\n";
    let place = bytes.windows(name.len()).position(|part| part == name).unwrap() + name.len();
    let (length, rest) = bytes[place..].split_at(8);
    assert_eq!(u64::from_le_bytes(length.try_into().unwrap()), forged.len() as u64);
    assert_eq!(rest, [forged.as_bytes(), b"\n"].concat());
}

/// What the next entry is: its bytes, and whether they came in a file.
fn receive(socket: &UnixDatagram) -> (Vec<u8>, bool) {
    let mut bytes = vec![0; 1 << 20];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut parts = [io::IoSliceMut::new(&mut bytes)];
    let message =
        recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty());
    let message = message.unwrap();
    let file = message.cmsgs().unwrap().find_map(|part| match part {
        ControlMessageOwned::ScmRights(files) => files.first().copied(),
        _ => None,
    });
    let length = message.bytes;
    let Some(file) = file else { return (bytes[..length].to_vec(), false) };
    let seals = fcntl_seals(file);
    assert!(seals.contains(SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK), "{seals:?}");
    (std::fs::read(format!("/proc/self/fd/{file}")).unwrap(), true)
}

fn fcntl_seals(file: std::os::fd::RawFd) -> SealFlag {
    let opened = File::open(format!("/proc/self/fd/{file}")).unwrap();
    SealFlag::from_bits_truncate(fcntl(&opened, FcntlArg::F_GET_SEALS).unwrap())
}

#[test]
fn large_entries_go_in_a_sealed_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    assert!(Journal::open(&path).is_err(), "nobody listens");
    let socket = UnixDatagram::bind(&path).unwrap();
    let journal = Journal::open(&path).unwrap();
    assert_eq!(receive(&socket), (vec![], false));
    for (size, in_file) in [(10, false), (3 << 20, true)] {
        let record = record(&"x".repeat(size), vec![]);
        journal.write(&record).unwrap();
        assert_eq!(receive(&socket), (entry(&record), in_file));
    }
}

#[test]
fn the_journal_is_told_by_device_and_inode() {
    let stderr = std::fs::metadata("/proc/self/fd/2").unwrap();
    let (device, inode) = (stderr.dev(), stderr.ino());
    assert!(is_stderr(Some(&format!("{device}:{inode}"))));
    assert!(!is_stderr(Some(&format!("{device}:{}", inode + 1))));
    assert!(!is_stderr(Some("")) && !is_stderr(None));
}
