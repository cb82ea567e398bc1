use std::{
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;

fn target(file: &Path) -> Target {
    Target { file: file.to_owned(), mode: 0o640, owner: None, group: None }
}

fn mode(file: &Path) -> u32 {
    file.metadata().unwrap().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_reader_never_sees_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let contents: Vec<Vec<u8>> = (0..5_u8).map(|n| vec![b'a' + n; 300_000]).collect();
    target(&file).write(&contents[0]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::Acquire) || seen == 0 {
                let read = std::fs::read(&file).unwrap();
                assert!(contents.contains(&read), "{} bytes", read.len());
                seen += 1;
            }
            seen
        });
        for n in 0..60 {
            target(&file).write(&contents[n % 5]).unwrap();
        }
        done.store(true, Ordering::Release);
        assert!(reader.join().unwrap() > 0);
    });
    assert_eq!(names(folder.path()), ["token"]);
}

#[test]
fn mode_owner_and_group_are_set_on_every_write() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "old").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let mut target = target(&file);
    // The numbers that every user may give: its own.
    target.owner = Some(geteuid().to_string());
    target.group = Some(nix::unistd::getegid().to_string());
    target.write(b"new").unwrap();
    assert_eq!((mode(&file), std::fs::read(&file).unwrap()), (0o640, b"new".to_vec()));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!target.holds(b"new").unwrap());
    target.write(b"new").unwrap();
    assert_eq!(mode(&file), 0o640);
    assert!(target.holds(b"new").unwrap());
    assert!(!target.holds(b"newer").unwrap());
    assert!(!target.holds(b"nex").unwrap());
}

#[test]
fn root_gives_files_away_and_others_are_told_that_they_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let target = Target {
        owner: Some("12345".to_owned()),
        group: Some("23456".to_owned()),
        ..target(&file)
    };
    let written = target.write(b"x");
    if geteuid().is_root() {
        written.unwrap();
        let found = file.metadata().unwrap();
        assert_eq!((found.uid(), found.gid(), mode(&file)), (12345, 23456, 0o640));
        assert!(target.holds(b"x").unwrap());
        let other = Target { group: Some("23457".to_owned()), ..target.clone() };
        assert!(!other.holds(b"x").unwrap());
    } else {
        let said = written.unwrap_err().to_string();
        assert!(said.contains("only root can give files away"), "{said}");
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn unknown_owners_and_groups_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let target = Target { group: Some("no-such-group".to_owned()), ..target(&file) };
    let said = target.write(b"x").unwrap_err().to_string();
    assert!(said.contains("there is no group `no-such-group`"), "{said}");
    let target = Target { owner: Some("no-such-user".to_owned()), group: None, ..target };
    let said = target.write(b"x").unwrap_err().to_string();
    assert!(said.contains("there is no user `no-such-user`"), "{said}");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn what_is_no_regular_file_is_refused_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("precious"), "theirs").unwrap();
    symlink(path("precious"), path("link")).unwrap();
    symlink(path("nowhere"), path("dangling")).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    for (name, what) in [("link", "a link"), ("dangling", "a link"), ("folder", "a folder")] {
        for done in [
            target(&path(name)).write(b"x"),
            target(&path(name)).holds(b"x").map(drop),
            target(&path(name)).remove().map(drop),
        ] {
            let said = done.unwrap_err().to_string();
            assert!(said.contains(&format!("{name} is {what}")), "{said}");
        }
    }
    assert_eq!(std::fs::read(path("precious")).unwrap(), b"theirs");
    assert!(path("link").is_symlink() && path("dangling").is_symlink());
    assert!(!path("nowhere").exists());
}

#[test]
fn a_link_in_place_of_the_folder_or_the_temporary_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("real")).unwrap();
    symlink(path("real"), path("alias")).unwrap();
    let said = target(&path("alias/token")).write(b"x").unwrap_err().to_string();
    assert!(said.contains("alias is a link or no folder"), "{said}");
    std::fs::write(path("precious"), "theirs").unwrap();
    symlink(path("precious"), path("real/.token.attendant")).unwrap();
    target(&path("real/token")).write(b"x").unwrap();
    assert_eq!(std::fs::read(path("precious")).unwrap(), b"theirs");
    assert_eq!(names(&path("real")), ["token"]);
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("not/here/token");
    let said = target(&file).write(b"x").unwrap_err().to_string();
    assert!(said.contains("not/here cannot be opened") && said.contains("make it"), "{said}");
    assert!(!target(&file).remove().unwrap());
}

#[test]
fn what_a_crash_left_is_removed_by_the_next_look() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let target = target(&file);
    let left = folder.path().join(".token.attendant");
    std::fs::write(&left, "half a val").unwrap();
    target.write(b"whole").unwrap();
    assert_eq!(names(folder.path()), ["token"]);
    std::fs::write(&left, "half a val").unwrap();
    assert!(target.holds(b"whole").unwrap());
    assert!(!left.exists());
    std::fs::write(&left, "half a val").unwrap();
    assert!(target.remove().unwrap());
    assert!(names(folder.path()).is_empty());
    assert!(!target.remove().unwrap());
}

#[test]
fn words_of_a_file_are_found_for_redaction() {
    use secrecy::ExposeSecret as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    std::fs::write(&file, "TOKEN=\"abcdefgh\"\npassword: hunter22\n").unwrap();
    let words = words_in(&file);
    for wanted in ["abcdefgh", "hunter22"] {
        assert!(words.iter().any(|word| word.expose_secret() == wanted), "{wanted}");
    }
    assert!(words_in(&folder.path().join("none")).is_empty());
}
