//! What needs no daemon, and what is said when there is none.

use std::os::unix::net::UnixListener;

use super::fake::{Closed, Fake, run, run_into};

#[test]
fn help_and_version_are_answers() {
    let help = run(&["--help"], &[], "");
    assert_eq!(help.code, 0);
    assert!(help.out.contains("Exit codes:") && help.out.contains("enqueue"), "{}", help.out);
    assert_eq!(help.err, "");
    let version = run(&["--version"], &[], "");
    assert_eq!(version.out, concat!("attendant ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn misuse_is_told_on_standard_error() {
    let table: [&[&str]; 9] = [
        &[],
        &["nonsense"],
        &["enqueue"],
        &["enqueue", "k", "--priority", "4"],
        &["enqueue", "k", "--timeout", "5s"],
        &["enqueue", "k", "--key", "a", "--unkeyed"],
        &["jobs", "show", "not-an-id"],
        &["jobs", "retry"],
        &["queues", "pause"],
    ];
    for args in table {
        let misused = run(args, &[], "");
        assert_eq!(misused.code, 2, "{args:?}: {}", misused.err);
        assert_eq!(misused.out, "", "{args:?}");
        assert!(!misused.err.is_empty(), "{args:?}");
    }
}

#[test]
fn misuse_is_told_in_json_too() {
    let misused = run(&["jobs", "--state", "gone", "--json"], &[], "");
    let problem: serde_json::Value = serde_json::from_str(&misused.err).unwrap();
    assert_eq!(misused.code, 2);
    assert!(problem["detail"].as_str().unwrap().contains("is not a job state"), "{problem}");
}

#[test]
fn every_help_text_names_its_options() {
    for command in ["run", "check", "enqueue", "jobs", "credentials", "token", "queues", "status"] {
        let help = run(&[command, "--help"], &[], "");
        assert_eq!(help.code, 0, "{command}");
        assert!(help.out.contains("--socket"), "{command}");
    }
}

#[test]
fn completions_are_made_of_the_same_commands() {
    let script = run(&["completions", "bash"], &[], "");
    assert_eq!(script.code, 0);
    assert!(script.out.contains("enqueue") && script.out.contains("--min-ttl"));
    assert_eq!(run(&["completions", "cobol"], &[], "").code, 2);
}

#[test]
fn a_daemon_that_is_not_there_is_named_by_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.sock").display().to_string();
    let absent = run(&["--socket", &missing, "queues"], &[], "");
    assert_eq!(absent.code, 3);
    assert!(absent.err.starts_with(&format!("attendant: there is no socket {missing}:")));
    assert!(absent.err.contains("attendant run") && absent.err.contains("--socket"));

    let dead = folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    let dead = dead.display().to_string();
    let refused = run(&["queues", "--json"], &[("ATTENDANT_SOCKET", &dead)], "");
    assert_eq!(refused.code, 3);
    let problem: serde_json::Value = serde_json::from_str(&refused.err).unwrap();
    assert_eq!(problem["title"], "The daemon cannot be reached");
    assert!(problem["detail"].as_str().unwrap().starts_with("nothing listens on the socket"));
}

#[test]
fn a_configuration_that_cannot_be_read_is_a_usage_error() {
    let absent = run(&["--config", "/nonexistent/a.toml", "queues"], &[], "");
    assert_eq!(absent.code, 2);
    assert!(absent.err.contains("/nonexistent/a.toml"), "{}", absent.err);
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let mut err = vec![];
    let code = run_into(&["completions", "zsh"], &[], "", &mut Closed, &mut err);
    assert_eq!((code, err.as_slice()), (0, &b""[..]));
}

#[test]
fn man_prints_a_page_or_writes_all() {
    let page = run(&["man", "jobs", "show"], &[], "");
    assert_eq!(page.code, 0, "{}", page.err);
    assert!(page.out.contains(".TH attendant-jobs-show 1"), "{}", page.out);
    let wrong = run(&["man", "jobs", "shout"], &[], "");
    assert_eq!((wrong.code, wrong.out.as_str()), (2, ""));
    assert!(wrong.err.contains("there is: show, result, wait"), "{}", wrong.err);
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let written = run(&["man", "--dir", &pages.display().to_string()], &[], "");
    assert_eq!((written.code, written.out.as_str()), (0, ""));
    let page = std::fs::read_to_string(pages.join("attendant-queues-pause.1")).unwrap();
    assert!(page.contains("\\fBattendant\\-queues\\fR(1)"), "{page}");
}

#[test]
fn check_counts_what_is_valid_and_names_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml").display().to_string();
    let home = [("HOME", "/nonexistent")];
    let good = "[accounts.certn]\nprovider = \"certn\"\nbase_url = \"https://x.test\"\n\
                secrets.client_id = { credential = \"id\" }\n\
                secrets.client_secret = { credential = \"secret\" }\n";
    std::fs::write(&file, good).unwrap();
    let valid = run(&["check", "--config", &file], &home, "");
    assert_eq!(valid.code, 0, "{}", valid.out);
    assert!(valid.out.contains(":4: accounts.certn.secrets.client_id: warning: "), "{}", valid.out);
    assert!(valid.out.contains("configuration is valid: 1 account, "), "{}", valid.out);

    std::fs::write(&file, good.replace("base_url", "base_uri")).unwrap();
    let bad = run(&["check", "--config", &file], &home, "");
    assert_eq!(bad.code, 2);
    assert!(bad.out.starts_with(&format!("{file}:3: accounts.certn.base_uri: ")), "{}", bad.out);
    let json = run(&["check", "--json", "--config", &file], &home, "");
    let report: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &report["valid"]), (2, &serde_json::json!(false)));
    assert_eq!(report["problems"][0]["line"], 3);
}

#[test]
fn check_warns_of_secrets_that_end_soon() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml").display().to_string();
    let text = "[accounts.st]\nprovider = \"scantrust\"\nbase_url = \"https://x.test\"\n\
                secrets.uat = { credential = \"uat\", expires = \"2020-12-31\" }\n";
    for (expires, warned) in [("2020-12-31", true), ("9999-12-31", false)] {
        std::fs::write(&file, text.replace("2020-12-31", expires)).unwrap();
        let said = run(&["check", "--config", &file], &[("HOME", "/nonexistent")], "");
        assert_eq!(said.code, 0, "{}", said.out);
        let words = ":4: accounts.st.secrets.uat.expires: warning: the secret has expired (2020-12";
        assert_eq!(said.out.contains(words), warned, "{}", said.out);
    }
}

#[test]
fn check_reads_the_definitions_too() {
    let fake = Fake::new();
    std::fs::create_dir(fake.path("jobs.d")).unwrap();
    std::fs::write(fake.path("jobs.d/x.toml"), "provider = \"x\"\ncolour = 1\n").unwrap();
    std::fs::write(fake.path("a.toml"), "jobs_dir = \"jobs.d\"\n").unwrap();
    let bad = run(&["check", "--config", &fake.path("a.toml")], &[("HOME", "/nonexistent")], "");
    assert_eq!(bad.code, 2, "{}", bad.out);
    assert!(bad.out.contains("x.toml:2: colour: "), "{}", bad.out);
    assert!(fake.asked().is_empty());
}

#[test]
fn the_schema_of_definitions_is_the_one_that_is_kept() {
    let printed = run(&["definitions", "schema"], &[("ATTENDANT_CONFIG", "/nonexistent")], "");
    assert_eq!((printed.code, printed.err.as_str()), (0, ""));
    assert!(printed.out == include_str!("../../../jobs/schema.json"), "make jobs/schema.json anew");
}
