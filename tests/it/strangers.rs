//! Who may do what over the socket, with real other users: the daemon's own user and root may do
//! everything, others what [[api.allow]] gives them, and nobody else anything.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Output},
    time::Instant,
};

use serde_json::{Value, json};

use crate::support::daemon::{Daemon, PATIENCE, Site};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;
/// A user whom no database knows.
const NAMELESS: u32 = 54_321;
/// One of those that every Debian machine has, with a group of the same number.
const BIN: u32 = 2;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The command line as another user, in their group. It is copied to where they can run it from.
fn as_user(site: &Site, uid: u32, gid: u32, args: &[&str]) -> Output {
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
        .uid(uid)
        .gid(gid)
        .output()
        .unwrap()
}

/// What a command of this user printed, which must end so.
#[track_caller]
fn said(site: &Site, uid: u32, code: i32, args: &[&str]) -> String {
    let output = as_user(site, uid, uid, args);
    assert_eq!(output.status.code(), Some(code), "uid {uid}, {args:?}: {output:?}");
    if code == 4 {
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

const TWO_ACCOUNTS: &str = "
    [accounts.certn]\nprovider = \"certn\"\nbase_url = \"http://127.0.0.1:9\"\n\
    secrets.client_id = { env = \"HOME\" }\nsecrets.client_secret = { env = \"HOME\" }\n\
    [accounts.other]\nprovider = \"scantrust\"\nbase_url = \"http://127.0.0.1:9\"\n\
    secrets.uat = { env = \"HOME\" }\n";

/// A daemon with two accounts and these rules.
fn allowing(rules: &str) -> (Site, Daemon) {
    let site = Site::new();
    site.configure(&format!("{TWO_ACCOUNTS}{rules}"));
    let daemon = site.start();
    (site, daemon)
}

fn rule(who: &str, rest: &str) -> String {
    format!("[[api.allow]]\n{who}\n{rest}\n")
}

#[test]
fn another_user_is_refused_by_the_file_and_by_the_daemon() {
    let site = Site::certn("http://127.0.0.1:9", "id", "secret");
    let mut daemon = site.start();
    let by_mode = as_user(&site, NOBODY, NOBODY, &["jobs"]);
    assert_eq!(by_mode.status.code(), Some(4), "{by_mode:?}");
    // Even where somebody opens the file to all, the daemon looks at who it is.
    mode(&site.path("attendant.sock"), 0o666);
    for args in [
        &["jobs"][..],
        &["token", "certn"],
        &["enqueue", "certn.users", "--args", "{}"],
        &["queues", "pause", "certn"],
    ] {
        said(&site, NOBODY, 4, args);
    }
    let line = daemon.wait_for("access.refused");
    assert!(line.contains("65534") || line.contains("nobody"), "{line}");
    assert_eq!(site.json(&["queues"])["queues"][0]["state"], "open");
    // One line for all of them.
    assert_eq!(daemon.told("access.refused"), 1);
}

/// A command for each right, and whether it needs only that.
const RIGHTS: [(&str, &[&str]); 5] = [
    ("enqueue", &["enqueue", "certn.users"]),
    ("read", &["jobs"]),
    ("results", &["jobs", "result", "ID"]),
    // There is no value to be had, which is another answer than a refusal.
    ("credentials", &["token", "certn/access_token", "--timeout", "1s"]),
    ("operate", &["jobs", "cancel", "ID"]),
];

#[test]
fn each_right_is_granted_to_whom_it_is_given_and_to_nobody_else() {
    let users = [1, BIN, 3, NOBODY, NAMELESS];
    let rules: Vec<String> = RIGHTS
        .iter()
        .zip(users)
        .map(|((right, _), uid)| rule(&format!("uid = {uid}"), &format!("may = [\"{right}\"]")))
        .collect();
    let (site, mut daemon) = allowing(&rules.concat());
    // Everybody may connect, and is looked at.
    let metadata = std::fs::metadata(site.path("attendant.sock")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o666);
    for ((right, _), uid) in RIGHTS.iter().zip(users) {
        for (needed, args) in RIGHTS {
            // Results may be secrets, so that they may ask for one; this one is not there for them.
            if (*right, needed) == ("credentials", "results") {
                continue;
            }
            let id = site.ok(&["enqueue", "certn.users"]);
            let args: Vec<&str> =
                args.iter().map(|&arg| if arg == "ID" { id.as_str() } else { arg }).collect();
            let output = as_user(&site, uid, uid, &args);
            let refused = output.status.code() == Some(4);
            assert_eq!(refused, *right != needed, "{right} for {args:?}: {output:?}");
        }
    }
    // Root still may do everything, and a user without a rule nothing.
    site.ok(&["queues", "pause", "certn"]);
    said(&site, 4, 4, &["jobs"]);
    assert!(daemon.told("access.refused") >= 5, "{:#?}", daemon.log);
}

#[test]
fn groups_count_as_the_primary_one_and_as_the_database_lists_them() {
    let site = Site::new();
    let rules = rule("group = \"hr-sync\"", "may = [\"read\"]");
    site.configure(&format!("{TWO_ACCOUNTS}{rules}"));
    site.write("group", "root:x:0:\nbin:x:2:\nhr-sync:x:7777:bin\n");
    // Only the daemon sees this database of groups.
    let _daemon = site.start_with_groups("group");
    let jobs = |uid, gid| as_user(&site, uid, gid, &["jobs"]).status.code();
    assert_eq!(jobs(BIN, BIN), Some(0), "a member");
    assert_eq!(jobs(NAMELESS, 7777), Some(0), "by the primary group");
    assert_eq!(jobs(NAMELESS, NAMELESS), Some(4), "a stranger");
    assert_eq!(jobs(1, 1), Some(4), "a user that is no member");
}

#[test]
fn limits_to_accounts_and_kinds_hide_all_else() {
    let hr = "may = [\"enqueue\", \"read\", \"operate\", \"credentials\", \"results\"]\n\
              accounts = [\"certn\"]";
    let sync = "may = [\"enqueue\", \"read\"]\nkinds = [\"scantrust.me\"]";
    let rules = [rule(&format!("uid = {BIN}"), hr), rule("user = \"nobody\"", sync)].concat();
    let (site, _daemon) = allowing(&rules);
    let users = site.ok(&["enqueue", "certn.users"]);
    let me = site.ok(&["enqueue", "scantrust.me"]);
    let ids = |uid| {
        let list = said(&site, uid, 0, &["jobs", "--json"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let jobs = list["jobs"].as_array().unwrap().clone();
        jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(ids(BIN).contains(&users) && !ids(BIN).contains(&me));
    assert_eq!(ids(NOBODY), [me.as_str()]);
    // What they may not see is not there; what they name is refused.
    said(&site, BIN, 1, &["jobs", "show", &me]);
    said(&site, BIN, 1, &["jobs", "cancel", &me]);
    said(&site, NOBODY, 1, &["jobs", "show", &users]);
    said(&site, BIN, 4, &["credentials", "show", "other/token"]);
    said(&site, BIN, 4, &["queues", "pause", "other"]);
    said(&site, BIN, 4, &["enqueue", "scantrust.me"]);
    said(&site, NOBODY, 4, &["enqueue", "certn.users"]);
    said(&site, BIN, 4, &["rekey"]);
    let queues: Value = serde_json::from_str(&said(&site, BIN, 0, &["queues", "--json"])).unwrap();
    assert_eq!(queues["queues"].as_array().unwrap().len(), 1);
    let status = as_user(&site, BIN, BIN, &["status", "--json"]);
    assert!(!String::from_utf8(status.stdout).unwrap().contains("other"));
    // Of theirs they may do everything.
    said(&site, BIN, 0, &["queues", "pause", "certn"]);
    said(&site, BIN, 0, &["jobs", "cancel", &users]);
}

#[test]
fn a_reload_lets_in_and_keeps_out() {
    let (site, _daemon) = allowing("");
    let socket = site.path("attendant.sock");
    let allowed = |code: i32, mode: u32| {
        let began = Instant::now();
        loop {
            let permissions = std::fs::metadata(&socket).unwrap().permissions();
            let status = as_user(&site, BIN, BIN, &["jobs"]).status.code();
            if status == Some(code) && permissions.mode() & 0o777 == mode {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{status:?}, {permissions:?}");
        }
    };
    allowed(4, 0o600);
    let rules = rule("user = \"bin\"", "may = [\"read\"]");
    site.configure(&format!("{TWO_ACCOUNTS}{rules}"));
    site.ok(&["reload"]);
    allowed(0, 0o666);
    site.configure(TWO_ACCOUNTS);
    site.ok(&["reload"]);
    allowed(4, 0o600);
}

#[test]
fn on_tcp_only_tokens_count() {
    let token = "0123456789abcdef0123456789abcdef";
    let site = Site::new();
    let digest = sha256(token);
    let api = "[api]\n";
    site.configure(&format!(
        "{TWO_ACCOUNTS}[[api.tokens]]\nname = \"payroll\"\nsha256 = \"{digest}\"\n\
         may = [\"read\"]\n"
    ));
    let file = std::fs::read_to_string(site.path("attendant.toml")).unwrap();
    let open = file.replacen(api, &format!("{api}listen = \"127.0.0.1:0\"\n"), 1);
    site.write("attendant.toml", &open);
    let mut daemon = site.spawn(None);
    let line = daemon.wait_for("daemon.ready");
    let port = line.split("127.0.0.1:").nth(1).unwrap();
    let port: u16 =
        port.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
    let asked = |authorization: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let request = format!(
            "GET /v1/queues HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{authorization}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(asked("").starts_with("HTTP/1.1 401"));
    assert!(asked(&format!("authorization: Bearer {token}\r\n")).starts_with("HTTP/1.1 200"));
    drop(daemon);
    // Without tokens it does not start.
    let bare = open.split("[[api.tokens]]").next().unwrap().to_owned();
    site.write("attendant.toml", &bare);
    let said = site.fails(2, &["run"]);
    assert!(said.contains("needs at least one [[api.tokens]]"), "{said}");
}

/// As the documentation has people make it.
fn sha256(token: &str) -> String {
    let script = "printf %s \"$1\" | sha256sum";
    let output = Command::new("sh").args(["-c", script, "sh", token]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

#[test]
fn it_is_told_who_did_what() {
    let all = "may = [\"enqueue\", \"read\", \"operate\"]";
    let (site, mut daemon) = allowing(&rule("user = \"bin\"", all));
    said(&site, BIN, 0, &["queues", "pause", "certn"]);
    let id = said(&site, BIN, 0, &["enqueue", "certn.users"]);
    let job: Value =
        serde_json::from_str(&said(&site, BIN, 0, &["jobs", "show", &id, "--json"])).unwrap();
    assert_eq!(job["created_by"], json!({"uid": BIN, "user": "bin"}));
    said(&site, BIN, 0, &["jobs", "cancel", &id]);
    said(&site, BIN, 0, &["jobs", "retry", &id]);
    said(&site, BIN, 0, &["jobs", "cancel", &id]);
    said(&site, BIN, 0, &["jobs", "erase", &id]);
    said(&site, BIN, 0, &["credentials", "renew", "certn/access_token"]);
    said(&site, BIN, 0, &["queues", "resume", "certn"]);
    for event in [
        "queue.paused",
        "job.enqueued",
        "job.cancelled",
        "job.retry_scheduled",
        "job.erased",
        "credential.renewal_asked",
        "queue.resumed",
    ] {
        // Not the daemon's own: this is told of what the user did.
        let told = |line: &String| line.contains(event) && line.contains("\"bin\"");
        let mut seen = daemon.log.iter().any(told);
        while !seen {
            seen = told(&daemon.wait_for(event));
        }
    }
}
