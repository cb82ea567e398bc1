//! A configuration taken on by the running daemon, or refused: the real binary, a real server.

use serde_json::{Value, json};

use crate::support::{
    acme::{DEFINITION, Server},
    daemon::Site,
    until,
};

fn text(site: &Site) -> String {
    std::fs::read_to_string(site.path("attendant.toml")).unwrap()
}

/// The configuration of an account of the same login.
fn account(server: &Server, site: &Site, name: &str) -> String {
    let folder = site.path("").display().to_string();
    format!(
        "[accounts.{name}]\nprovider = \"acme\"\nbase_url = \"{}\"\n\
         secrets.user = {{ file = \"{folder}user\" }}\nsecrets.pass = {{ file = \"{folder}pass\" }}\n",
        server.base_url
    )
}

fn completed(site: &Site, id: &str) -> bool {
    site.ok(&["jobs", "wait", id, "--timeout", "30s"]);
    site.job(id)["state"] == "completed"
}

fn waits(site: &Site, id: &str, words: &str) -> bool {
    let detail = &site.job(id)["waiting_for"]["detail"];
    detail.as_str().is_some_and(|detail| detail.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_come_and_go_and_jobs_wait_for_them() {
    let server = Server::start("right").await;
    let site = server.site(&["a"], "right");
    let alone = text(&site);
    let mut daemon = site.start();
    assert_eq!(site.ok(&["reload"]), "Reloaded: 1 account.");

    site.write("conf.d/b.toml", &account(&server, &site, "b"));
    assert_eq!(site.ok(&["reload"]), "Reloaded: 2 accounts.\nadded: b");
    let told = daemon.wait_for("added: b");
    assert!(told.contains("daemon.reloaded"), "{told}");
    let id = site.ok(&["enqueue", "acme.thing", "--account", "b"]);
    assert!(completed(&site, &id));

    site.ok(&["queues", "pause", "b"]);
    let id = site.ok(&["enqueue", "acme.thing", "--account", "b"]);
    std::fs::remove_file(site.path("conf.d/b.toml")).unwrap();
    let said = site.ok(&["reload"]);
    assert_eq!(said, "Reloaded: 1 account.\nremoved, their jobs wait: b");
    assert!(waits(&site, &id, "account `b` is not configured any more"), "{}", site.job(&id));
    site.fails(1, &["token", "b"]);
    assert_eq!(site.json(&["credentials"])["credentials"].as_array().unwrap().len(), 1);

    // Over a restart as well, and the account finds its credential as it was.
    let logins = server.asked("/login");
    daemon.stop();
    let _daemon = site.start();
    assert!(waits(&site, &id, "account `b` is not configured any more"));
    site.write("attendant.toml", &format!("{alone}{}", account(&server, &site, "b")));
    site.ok(&["reload"]);
    site.ok(&["queues", "resume", "b"]);
    assert!(completed(&site, &id));
    assert_eq!(server.asked("/login"), logins);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_refused_in_the_words_of_check() {
    let server = Server::start("right").await;
    let site = server.site(&["a"], "right");
    let mut daemon = site.start();
    site.write("conf.d/bad.toml", "[engine]\nlease = \"soon\"\n[accounts.x]\nprovider = \"x\"\n");
    let check = site.run(&["check"]);
    assert_eq!(check.status.code(), Some(2));
    let check = String::from_utf8(check.stdout).unwrap();
    let problems: Vec<&str> = check.lines().filter(|line| line.contains("bad.toml")).collect();
    assert!(!problems.is_empty(), "{check}");
    let said = site.fails(2, &["reload"]);
    assert!(problems.iter().all(|problem| said.contains(problem)), "{said}\n{check}");
    daemon.wait_for("daemon.reload_refused");
    let (status, problem) = site.http("POST", "/v1/reload", &Value::Null);
    assert_eq!((status, &problem["type"]), (422, &json!("urn:attendant:configuration")));

    // A file that is gone is no empty one.
    std::fs::remove_file(site.path("conf.d/bad.toml")).unwrap();
    let kept = text(&site);
    std::fs::remove_file(site.path("attendant.toml")).unwrap();
    let socket = site.path("attendant.sock").display().to_string();
    let (status, _) = site.http("POST", "/v1/reload", &Value::Null);
    assert_eq!(status, 422);
    site.write("attendant.toml", &kept);
    let id = site.ok(&["--socket", &socket, "enqueue", "acme.thing"]);
    assert!(completed(&site, &id));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_those_of_the_new_configuration_and_what_was_spent_counts() {
    let server = Server::start("right").await;
    let site = server.site(&["a"], "right");
    let unlimited = text(&site);
    let with = |limits: &str| {
        unlimited.replace("[accounts.a]", &format!("[accounts.a]\nlimits = {limits}"))
    };
    site.write("attendant.toml", &with("[\"100/1h\"]"));
    let _daemon = site.start();
    let first = site.ok(&["enqueue", "acme.thing"]);
    assert!(completed(&site, &first));
    // The login and the call: both count, and nothing is left.
    site.write("attendant.toml", &with("[\"2/1h\"]"));
    assert_eq!(site.ok(&["reload"]), "Reloaded: 1 account.\nchanged: a");
    let second = site.ok(&["enqueue", "acme.thing"]);
    until("it waits for the budget", || site.job(&second)["waiting_for"]["code"] == "budget").await;
    site.write("attendant.toml", &with("[\"50/1h\"]"));
    site.ok(&["reload"]);
    assert!(completed(&site, &second));
    let (status, queues) = site.http("GET", "/v1/queues", &Value::Null);
    let used = &queues["queues"][0]["budget"][0]["used"];
    assert_eq!((status, used), (200, &json!(3)), "{queues}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_kind_is_gone_wait_until_it_is_back() {
    let server = Server::start("right").await;
    let site = server.site(&["a"], "right");
    let mut daemon = site.start();
    site.ok(&["queues", "pause", "a"]);
    let id = site.ok(&["enqueue", "acme.thing"]);
    let (without, _) = DEFINITION.split_once("[jobs.thing]").unwrap();
    site.write("jobs.d/acme.toml", without);
    assert_eq!(site.ok(&["reload"]), "Reloaded: 1 account.\nother definitions: acme");
    site.ok(&["queues", "resume", "a"]);
    // It is looked at, and sent away.
    until("it was tried", || site.job(&id)["last_error"]["code"] == "definition").await;
    assert_eq!(site.job(&id)["state"], "queued");
    assert!(waits(&site, &id, "no definition has its kind"), "{}", site.job(&id));
    assert!(site.fails(2, &["enqueue", "acme.thing"]).contains("not a job kind"));
    site.write("jobs.d/acme.toml", DEFINITION);
    site.ok(&["reload"]);
    assert!(completed(&site, &id));
    assert_eq!(site.job(&id)["errors"], 0);
    daemon.wait_for("job.completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_ends_a_lockout() {
    let server = Server::start("right").await;
    let site = server.site(&["a"], "wrong");
    let mut daemon = site.start();
    daemon.wait_for("credential.locked_out");
    site.write("pass", "right");
    assert_eq!(site.ok(&["reload"]), "Reloaded: 1 account.\nchanged: a");
    let id = site.ok(&["enqueue", "acme.thing"]);
    assert!(completed(&site, &id));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_restart_is_said_each_time() {
    let server = Server::start("right").await;
    let site = server.site(&["a"], "right");
    let mut daemon = site.start();
    let changed = format!(
        "[engine]\nconcurrency = 3\n\n{}",
        text(&site).replace("/attendant.db", "/elsewhere.db")
    );
    site.write("attendant.toml", &changed);
    for _ in 0..2 {
        let done = site.json(&["reload"]);
        let keys: Vec<&Value> =
            done["needs_restart"].as_array().unwrap().iter().map(|one| &one["key"]).collect();
        assert_eq!(keys, ["database.url", "engine"], "{done}");
    }
    assert!(!site.path("elsewhere.db").exists());
    // SIGHUP does the same, and the log says what came of it.
    daemon.hang_up();
    let told = daemon.wait_for("\"actor\":\"SIGHUP\"");
    assert!(told.contains("daemon.reloaded") && told.contains("engine: has changed"), "{told}");
}
