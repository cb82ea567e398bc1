//! The Debian package under a real systemd: `tests/systemd/boot.sh` boots one as PID 1 of a
//! throw-away copy of this machine, and `tests/systemd/checks.sh` does there what an operator does.
//!
//! It takes root and namespaces. Where they are missing it fails and says so; only on a developer's
//! own machine, with `ATTENDANT_NO_SYSTEMD_TEST=1`, is it left out.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

/// A version that sorts before every other.
const BEFORE: &str = "0.0.1-1";

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// The package of the binary under test, and the same as a version before it.
fn packages(folder: &Path) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let new = folder.join("new.deb");
    let binary = env!("CARGO_BIN_EXE_attendant");
    run(Command::new(repository.join("scripts/deb")).arg(binary).arg(&new).stdout(Stdio::null()));
    let unpacked = folder.join("unpacked");
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(&new).arg(&unpacked));
    let control = unpacked.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control).unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix("Version: ") {
        Some(_) => format!("Version: {BEFORE}\n"),
        None => format!("{line}\n"),
    });
    std::fs::write(&control, lines.collect::<String>()).unwrap();
    let old = folder.join("old.deb");
    let mut pack = Command::new("dpkg-deb");
    run(pack.args(["-Znone", "--build"]).arg(&unpacked).arg(&old).stdout(Stdio::null()));
    std::fs::remove_dir_all(unpacked).unwrap();
}

#[test]
fn the_package_under_a_real_systemd() {
    if std::env::var_os("ATTENDANT_NO_SYSTEMD_TEST").is_some() && std::env::var_os("CI").is_none() {
        println!("LEFT OUT, as ATTENDANT_NO_SYSTEMD_TEST says: nothing of systemd was tested");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    packages(folder.path());
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd");
    let mut booted = Command::new(scripts.join("boot.sh"))
        .arg(scripts.join("checks.sh"))
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = String::new();
    for line in BufReader::new(booted.stdout.take().unwrap()).lines() {
        last = line.unwrap();
        println!("{last}");
    }
    let status = booted.wait().unwrap();
    assert!(status.success(), "{status}: what failed is above");
    // A script that ends early has not checked everything.
    let passed: u32 = last.split(' ').next().unwrap().parse().unwrap();
    assert!(passed >= 80, "only {passed} checks: {last}");
}
