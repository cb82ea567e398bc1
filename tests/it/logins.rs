//! Logins: which way is gone, when a login is left alone, and secrets that jobs change.

use std::time::Duration;

use serde_json::json;

use crate::support::{acme::Server, daemon::Site, until};

/// The state of an account's token.
fn state(site: &Site, account: &str) -> String {
    let shown = site.json(&["credentials", "show", &format!("{account}/access_token")]);
    shown["state"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_with_one_login_share_its_tries() {
    let server = Server::start("right").await;
    let site = server.site(&["a", "b"], "wrong");
    let daemon = site.start();
    until("both locked out", || ["a", "b"].iter().all(|one| state(&site, one) == "locked_out"))
        .await;
    let tries = server.asked("/login");
    assert_eq!(tries, 2);
    // Neither a restart nor a request tries again.
    daemon.stop();
    let daemon = site.start();
    assert!(daemon.log.iter().any(|line| line.contains("credential.locked_out")));
    site.fails(1, &["token", "a", "--timeout", "1s"]);
    assert_eq!(server.asked("/login"), tries);
    let ready = site.run(&["status"]);
    let said = String::from_utf8_lossy(&ready.stdout).into_owned();
    assert_eq!(ready.status.code(), Some(1), "{said}");
    assert!(said.contains("attendant credentials renew"), "{said}");
    // The password is set right at the provider: somebody's word on one account frees both.
    server.set(|acme| acme.pass = "wrong".to_owned());
    site.ok(&["credentials", "renew", "a/access_token"]);
    until("both fresh", || ["a", "b"].iter().all(|one| state(&site, one) == "fresh")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_another_login_is_not_held_up() {
    let server = Server::start("right").await;
    let site = server.site(&["a", "b"], "wrong");
    let text = std::fs::read_to_string(site.path("attendant.toml")).unwrap();
    let (head, b) = text.split_once("[accounts.b]").unwrap();
    let b = b.replace("file = \"pass\"", "file = \"other\"");
    site.write("attendant.toml", &format!("{head}[accounts.b]{b}"));
    site.write("other", "right");
    let _daemon = site.start();
    until("a is locked out", || state(&site, "a") == "locked_out").await;
    let id = site.ok(&["enqueue", "acme.thing", "--account", "b"]);
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_refusal_gets_a_few_tries_more() {
    let server = Server::start("right").await;
    server.set(|acme| acme.masked = true);
    let site = server.site(&["a"], "wrong");
    // They are spread over most of a minute. A start that somebody waits for tries at once.
    let mut daemon = site.start();
    for tries in 2..=5 {
        daemon.wait_for("credential.renewal_failed");
        assert_ne!(state(&site, "a"), "locked_out");
        daemon.stop();
        daemon = site.start();
        site.fails(1, &["token", "a", "--timeout", "5s"]);
        assert_eq!(server.asked("/login"), tries);
    }
    let line = daemon.wait_for("credential.locked_out");
    assert!(line.contains("change the secrets"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_accounts_with_one_wrong_password_try_it_twice() {
    let server = Server::start("right").await;
    let names: Vec<String> = (0..8).map(|n| format!("a{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let site = server.site(&names, "wrong");
    let _daemon = site.start();
    until("all locked out", || names.iter().all(|one| state(&site, one) == "locked_out")).await;
    assert_eq!(server.asked("/login"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_were_refused_together_count_once() {
    let server = Server::start("right").await;
    server.set(|acme| acme.distrusts = true);
    let site = server.site(&["a"], "right");
    let mut daemon = site.start();
    let ids: Vec<String> = (0..4).map(|_| site.ok(&["enqueue", "acme.thing"])).collect();
    daemon.wait_for("a fresh credential");
    server.set(|acme| acme.distrusts = false);
    for id in ids {
        site.ok(&["jobs", "wait", &id, "--timeout", "60s"]);
        assert_eq!(site.job(&id)["state"], "completed");
    }
    let log = daemon.stop();
    assert!(!log.iter().any(|line| line.contains("credential.locked_out")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_host_or_another_secret_is_not_used() {
    let (first, second) = (Server::start("right").await, Server::start("right").await);
    let site = first.site(&["a"], "right");
    let daemon = site.start();
    site.ok(&["token", "a"]);
    daemon.stop();
    let text = std::fs::read_to_string(site.path("attendant.toml")).unwrap();
    let text = text.replace(&first.base_url, &second.base_url);
    site.write("attendant.toml", &text);
    let daemon = site.start();
    site.ok(&["token", "a"]);
    assert_eq!(second.asked("/login"), 1);
    assert_eq!(second.asked("/refresh"), 0, "nor is its refresh token");
    daemon.stop();
    site.write("attendant.toml", &format!("{text}secrets.given = {{ file = \"given\" }}\n"));
    for given in ["one", "two"] {
        site.write("given", given);
        let daemon = site.start();
        site.ok(&["credentials", "renew", "a/access_token"]);
        until("the given one", || site.ok(&["token", "a"]) == given).await;
        daemon.stop();
    }
    // Without anybody's word, too.
    site.write("given", "three");
    let _daemon = site.start();
    assert_eq!(site.ok(&["token", "a"]), "three");
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_tokens_that_are_refused_reach_the_guard_and_survive_restarts() {
    let server = Server::start("right").await;
    server.set(|acme| acme.distrusts = true);
    let site = server.site(&["a"], "right");
    let mut daemon = site.start();
    let id = site.ok(&["enqueue", "acme.thing"]);
    daemon.wait_for("a fresh credential");
    daemon.kill();
    let mut daemon = site.start();
    daemon.wait_for("credential.locked_out");
    let things = server.asked("/thing");
    assert!(things <= 8, "{things} requests with tokens that are refused");
    // The log is ahead of the job's own end.
    until("the job to wait", || site.job(&id)["state"] == "queued").await;
    server.set(|acme| acme.distrusts = false);
    site.ok(&["credentials", "renew", "a/access_token"]);
    site.ok(&["jobs", "retry", &id]);
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "completed");
    // A success clears what was held against it: later trouble starts anew.
    server.set(|acme| acme.distrusts = true);
    site.run(&["enqueue", "acme.thing"]);
    let line = daemon.wait_for("credential.renewal_failed");
    assert!(!line.contains("locked_out"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_token_that_is_refused_gives_way_to_the_password() {
    let server = Server::start("right").await;
    let site = server.site(&["a"], "right");
    let text = std::fs::read_to_string(site.path("attendant.toml")).unwrap();
    site.write("attendant.toml", &format!("{text}secrets.given = {{ file = \"given\" }}\n"));
    site.write("given", "stale");
    let _daemon = site.start();
    assert_eq!(site.ok(&["token", "a"]), "stale");
    let id = site.ok(&["enqueue", "acme.thing"]);
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "completed", "{:#}", site.job(&id));
    assert_eq!(server.asked("/login"), 1);
    assert!(server.asked("/thing") <= 5, "the given token is tried a few times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_used_while_it_lives_and_then_the_password() {
    let server = Server::start("right").await;
    server.set(|acme| acme.life = 2);
    let site = server.site(&["a"], "right");
    let daemon = site.start();
    until("it was used twice", || server.asked("/refresh") >= 2).await;
    assert_eq!(server.asked("/login"), 1);
    // The rotated one is durable before the token is used: a killed daemon goes on with it.
    server.set(|acme| acme.life = 3_600);
    until("a long-lived one", || site.run(&["token", "a", "--min-ttl", "1m"]).status.success())
        .await;
    daemon.kill();
    let asked = server.asked("/refresh");
    server.set(|acme| acme.life = 2);
    let _daemon = site.start();
    site.ok(&["credentials", "renew", "a/access_token"]);
    until("it is used again", || server.asked("/refresh") > asked).await;
    assert_eq!(server.asked("/login"), 1);
    server.forget_refresh_token();
    until("the password is used", || server.asked("/login") == 2).await;
    until("it is fresh", || state(&site, "a") == "fresh").await;
    assert_eq!(state(&site, "a"), "fresh");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_is_used_from_then_on() {
    let server = Server::start("right").await;
    let site = server.site(&["a"], "right");
    let mut daemon = site.start();
    let args = json!({"pass": "canary-password"}).to_string();
    site.ok(&["enqueue", "acme.password", "--args", &args, "--wait"]);
    let line = daemon.wait_for("credential.secret_changed");
    assert!(line.contains("secrets.pass") && !line.contains("canary-password"), "{line}");
    // Sessions are over, and the file still has the old password.
    let id = site.ok(&["enqueue", "acme.thing"]);
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "completed");
    daemon.stop();
    server.forget_tokens();
    server.forget_refresh_token();
    // It survives a restart, and is told.
    let daemon = site.start();
    assert!(daemon.log.iter().any(|line| line.contains("credential.secret_changed")));
    let id = site.ok(&["enqueue", "acme.thing"]);
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "completed");
    let shown = site.json(&["credentials", "show", "a/access_token"]);
    assert!(shown["notices"][0].as_str().unwrap().contains("secrets.pass"), "{shown:#}");
    daemon.stop();
    // Once the file has another, that one counts.
    server.set(|acme| acme.pass = "third".to_owned());
    server.forget_tokens();
    server.forget_refresh_token();
    site.write("pass", "third");
    let _daemon = site.start();
    let id = site.ok(&["enqueue", "acme.thing"]);
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "completed");
    let shown = site.json(&["credentials", "show", "a/access_token"]);
    assert_eq!(shown["notices"], json!([]), "{shown:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_to_a_new_password_locks_nobody_out() {
    let server = Server::start("right").await;
    let site = server.site(&["a"], "right");
    let daemon = site.start();
    server.set(|acme| acme.loses_reply = true);
    let id = site.ok(&["enqueue", "acme.password", "--args", r#"{"pass": "second"}"#]);
    until("it was asked", || server.asked("/password") == 1).await;
    // In the midst of it: nobody here knows that the password is another now.
    daemon.kill();
    server.set(|acme| acme.loses_reply = false);
    let mut daemon = site.start();
    daemon.wait_for("credential.secret_changed");
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "completed", "{:#}", site.job(&id));
    assert_eq!(state(&site, "a"), "fresh");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_new_password_changes_nothing() {
    let server = Server::start("right").await;
    server.set(|acme| acme.keeps_password = true);
    let site = server.site(&["a"], "right");
    let _daemon = site.start();
    let id = site.ok(&["enqueue", "acme.password", "--args", r#"{"pass": "x"}"#]);
    site.run(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "dead");
    server.forget_tokens();
    server.forget_refresh_token();
    let id = site.ok(&["enqueue", "acme.thing"]);
    site.ok(&["jobs", "wait", &id, "--timeout", "30s"]);
    assert_eq!(site.job(&id)["state"], "completed");
    let shown = site.json(&["credentials", "show", "a/access_token"]);
    assert_eq!(shown["notices"], json!([]), "{shown:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_accounts_with_credentials_of_credentials_do_not_block_each_other() {
    let server = Server::start("right").await;
    let names: Vec<String> = (0..12).map(|n| format!("a{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let site = server.site(&names, "right");
    let text = std::fs::read_to_string(site.path("jobs.d/acme.toml")).unwrap();
    let second = "[credentials.second]\nshape = \"exchange\"\n\
                  request = { path = \"/thing\", headers = { authorization = \"Bearer {{ credentials.access_token }}\" } }\n\
                  value = \"response.thing ~ 'x'\"\nttl = \"1h\"\n";
    site.write("jobs.d/acme.toml", &format!("{text}\n{second}"));
    let _daemon = site.start();
    let all = || {
        let shown = site.json(&["credentials"]);
        let credentials = shown["credentials"].as_array().unwrap().clone();
        credentials.len() == 24 && credentials.iter().all(|one| one["state"] == "fresh")
    };
    let begun = tokio::time::Instant::now();
    until("all are fresh", all).await;
    assert!(begun.elapsed() < Duration::from_secs(12), "not by the waits that are a safety net");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_may_lapse_is_told_once_and_ends_with_the_outage() {
    let server = Server::start("right").await;
    server.set(|acme| acme.life = 4);
    let site = server.site(&["a"], "right");
    let mut daemon = site.start();
    daemon.wait_for("credential.obtained");
    server.set(|acme| acme.down = true);
    let line = daemon.wait_for("credential.at_risk");
    assert!(line.contains("the value in use"), "{line}");
    until("some more tries", || server.asked("/refresh") > 8).await;
    server.set(|acme| acme.down = false);
    daemon.wait_for("credential.obtained");
    let told = daemon.log.iter().filter(|line| line.contains("credential.at_risk")).count();
    assert_eq!(told, 1);
}

#[test]
fn secrets_that_fit_no_way_are_a_problem_of_the_configuration() {
    let site = Site::new();
    site.write("name", "ada");
    site.configure(
        "[accounts.gate]\nprovider = \"controlbyweb\"\nparams.account_id = 1\n\
         secrets.username = { file = \"name\" }\n",
    );
    let output = site.run(&["check"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let wanted = "credential `access_token` cannot be obtained with the secrets that are given: \
                  give auth_token, or password and username";
    assert!(said.contains(wanted), "{said}");
}
