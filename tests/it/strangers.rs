//! The socket is open to the daemon's own user and to root: other users are refused, by the file's
//! mode and by who they are.

use std::{
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Output},
};

use crate::support::daemon::Site;

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The command line as another user. It is copied to where that user can run it from.
fn as_nobody(site: &Site, args: &[&str]) -> Output {
    assert!(
        nix::unistd::geteuid().is_root(),
        "only root can become another user: run this test as root, as CI does"
    );
    let program = site.path("attendant");
    if !program.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_attendant"), &program).unwrap();
        mode(&program, 0o755);
        mode(site.folder.path(), 0o711);
    }
    Command::new(program)
        .args(args)
        .env_clear()
        .env("ATTENDANT_SOCKET", site.path("attendant.sock"))
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap()
}

#[test]
fn another_user_is_refused_by_the_file_and_by_the_daemon() {
    let site = Site::certn("http://127.0.0.1:9", "id", "secret");
    let mut daemon = site.start();
    let by_mode = as_nobody(&site, &["jobs"]);
    assert_eq!(by_mode.status.code(), Some(4), "{by_mode:?}");
    // Even where somebody opens the file to all, the daemon looks at who it is.
    mode(&site.path("attendant.sock"), 0o666);
    for args in [
        &["jobs"][..],
        &["token", "certn"],
        &["enqueue", "certn.users", "--args", "{}"],
        &["queues", "pause", "certn"],
    ] {
        let refused = as_nobody(&site, args);
        assert_eq!(refused.status.code(), Some(4), "{args:?}: {refused:?}");
        assert!(refused.stdout.is_empty());
    }
    let line = daemon.wait_for("access.refused");
    assert!(line.contains("65534") || line.contains("nobody"), "{line}");
    assert_eq!(site.json(&["queues"])["queues"][0]["state"], "open");
}
