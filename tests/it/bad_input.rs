//! Bad input against the real binary: each gets a clear answer, and nothing is lost or half done.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::daemon::Site;

fn site() -> Site {
    // Nothing listens there: no job of these tests gets as far.
    Site::certn("http://127.0.0.1:9", "id", "secret")
}

/// The number of jobs that clients have stored.
fn stored(site: &Site) -> usize {
    let jobs = site.json(&["jobs", "--limit", "1000"]);
    let jobs = jobs["jobs"].as_array().unwrap().clone();
    jobs.iter().filter(|job| job["kind"] != "certn.access_token").count()
}

#[test]
fn refused_requests_say_why_and_store_nothing() {
    let site = site();
    let _daemon = site.start();
    let long = format!("{{\"industry\":\"hr\",\"id\":\"{}\"}}", "x".repeat(10 << 20));
    let file = site.path("long.json");
    std::fs::write(&file, &long).unwrap();
    let table: &[(&[&str], &str)] = &[
        (&["enqueue", "certn.applicant", "--args", "{\"industry\":"], "JSON"),
        (&["enqueue", "certn.unknown"], "certn.applicant"),
        (&["enqueue", "certn.applicant", "--arg", "industry=hr"], "id"),
        (&["enqueue", "certn.applicant", "--arg", "industry=xx", "--arg", "id=1"], "pm"),
        (&["enqueue", "certn.applicant", "--args", r#"{"industry":"hr","id":"1","x":1}"#], "x"),
        (&["enqueue", "certn.applicant", "--args", r#"{"industry":"hr","id":"a/b"}"#], "id"),
        (&["enqueue", "certn.applicant", "--args", r#"{"industry":"hr","id":".."}"#], "id"),
        (&["enqueue", "certn.applicant", "--args", r#"{"industry":"hr","id":""}"#], "id"),
        (
            &["enqueue", "certn.application", "--args", r#"{"industry":"hr","application":{}}"#],
            "key",
        ),
        (&["enqueue", "certn.users", "--account", "nobody"], "certn"),
        (&["enqueue", "certn.users", "--priority", "9"], "3"),
        (&["enqueue", "certn.users", "--in", "soon"], "soon"),
    ];
    for (args, expected) in table {
        let said = site.fails(2, args);
        assert!(said.contains(expected), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    let output = site.run(&["enqueue", "--batch", file.to_str().unwrap()]);
    assert!(!output.status.success());
    assert_eq!(stored(&site), 0);
}

#[test]
fn a_key_with_other_arguments_is_refused_and_the_first_job_stays() {
    let site = site();
    let _daemon = site.start();
    let enqueue = |id: &str| {
        let arg = format!("id={id}");
        site.run(&[
            "enqueue",
            "certn.applicant",
            "--key",
            "k",
            "--arg",
            "industry=hr",
            "--arg",
            &arg,
        ])
    };
    let first = enqueue("1");
    assert!(first.status.success());
    let again = enqueue("1");
    assert_eq!(first.stdout, again.stdout);
    let other = enqueue("2");
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    assert!(String::from_utf8_lossy(&other.stderr).contains("key"), "{other:?}");
    assert_eq!(stored(&site), 1);
}

#[test]
fn a_broken_configuration_is_named_by_file_line_and_key() {
    let table = [
        ("[acounts.certn]\nprovider = \"certn\"\n", "acounts"),
        ("[accounts.certn]\nprovider = \"cernt\"\n", "certn"),
        ("[accounts.certn]\nprovider = \"certn\"\nbase_url = \"demo\"\n", "base_url"),
        ("[engine]\nlease = \"soon\"\n", "lease"),
        ("[engine]\nlease = \n", "attendant.toml"),
    ];
    for (text, expected) in table {
        let site = site();
        site.configure(text);
        for command in ["check", "run"] {
            let output = site.run(&[command]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(2), "{command}: {said}");
            assert!(said.contains("attendant.toml:"), "{command}: {said}");
            assert!(said.contains(expected), "{command}: {said}");
        }
        assert!(!site.path("attendant.db").exists());
    }
}

#[test]
fn an_unreadable_secret_is_named_and_nothing_is_started() {
    let site = site();
    std::fs::remove_file(site.path("client_secret")).unwrap();
    for command in ["check", "run"] {
        let output = site.run(&[command]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        assert!(said.contains("client_secret") && said.contains("does not exist"), "{said}");
    }
    assert!(!site.path("attendant.db").exists());
}

#[test]
fn a_database_that_cannot_be_written_is_refused_with_words() {
    let site = site();
    let config = std::fs::read_to_string(site.path("attendant.toml")).unwrap();
    // Under a file, where root too can make no folder.
    site.write("in-the-way", "");
    let place = site.path("in-the-way/attendant.db");
    let old = site.path("attendant.db");
    site.write("attendant.toml", &config.replace(old.to_str().unwrap(), place.to_str().unwrap()));
    let said = site.fails(2, &["run"]);
    assert!(said.contains("in-the-way"), "{said}");
}

#[test]
fn a_second_daemon_on_the_same_database_is_refused_and_harms_nothing() {
    let site = site();
    let daemon = site.start();
    let id = site.ok(&["enqueue", "certn.users"]);
    let said = site.fails(2, &["run"]);
    assert!(said.contains("another attendant"), "{said}");
    assert_eq!(site.job(&id)["id"], id.as_str());
    daemon.stop();
    let _daemon = site.start();
    assert_eq!(site.job(&id)["id"], id.as_str());
}

#[test]
fn a_missing_or_wrong_key_is_refused_and_changes_nothing() {
    let site = site();
    site.start().stop();
    let database = std::fs::read(site.path("attendant.db")).unwrap();
    let key = std::fs::read(site.path("attendant.key")).unwrap();
    assert_eq!(
        std::fs::metadata(site.path("attendant.key")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    std::fs::remove_file(site.path("attendant.key")).unwrap();
    let said = site.fails(2, &["run"]);
    assert!(said.contains("attendant.key") && said.contains("nothing was changed"), "{said}");
    assert!(!site.path("attendant.key").exists(), "a key is made once");
    let other = Site::certn("http://127.0.0.1:9", "id", "secret");
    other.start().stop();
    std::fs::copy(other.path("attendant.key"), site.path("attendant.key")).unwrap();
    let said = site.fails(2, &["run"]);
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(std::fs::read(site.path("attendant.db")).unwrap(), database);
    std::fs::write(site.path("attendant.key"), key).unwrap();
    site.start().stop();
}

#[test]
fn without_a_daemon_commands_say_so() {
    let site = site();
    for args in [&["jobs"][..], &["status"], &["token", "certn"], &["enqueue", "certn.users"]] {
        let said = site.fails(3, args);
        assert!(said.contains("attendant.sock"), "{said}");
    }
}

#[test]
fn unknown_jobs_and_accounts_are_named() {
    let site = site();
    let _daemon = site.start();
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    for args in [
        &["jobs", "show", id][..],
        &["jobs", "result", id],
        &["jobs", "cancel", id],
        &["jobs", "retry", id],
        &["queues", "pause", "nobody"],
        &["credentials", "renew", "certn/nothing"],
    ] {
        let said = site.fails(1, args);
        assert!(!said.is_empty());
    }
    site.fails(2, &["jobs", "show", "../../etc/passwd"]);
}
