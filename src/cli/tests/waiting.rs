//! `enqueue --wait`, `jobs wait` and `token`: what ends when.

use serde_json::{Value, json};

use super::{
    enqueueing::{ID, job},
    fake::{Fake, run},
};

const CHILD: &str = "0199c0de-0000-7000-8000-000000000002";

fn route(method: &str, rest: &str) -> String {
    format!("{method} /v1/jobs/{ID}{rest}")
}

/// A job whose chain has a child that ended so.
fn parent(state: &str, child: &str) -> Value {
    let mut parent = job(ID, state);
    parent["chain"] = json!({"state": child, "artifacts": [], "jobs": [
        {"id": ID, "state": state}, {"id": CHILD, "state": child},
    ]});
    parent
}

fn dead(id: &str) -> Value {
    let mut dead = job(id, "dead");
    dead["last_error"] = json!({"code": "http_400", "message": "no such applicant", "at": null});
    dead
}

#[test]
fn waiting_gives_the_id_and_then_the_result() {
    let fake = Fake::new()
        .on("POST /v1/jobs", 201, &job(ID, "queued"))
        .on_text(&route("GET", "/wait"), 204, "")
        .on(&route("GET", "/wait"), 200, &job(ID, "completed"))
        .on_text(&route("GET", "/result"), 200, "{\"b\":1,\"a\":2}");
    let run = fake.run(&["enqueue", "k", "--wait"]);
    assert_eq!((run.code, run.out.as_str()), (0, "{\"b\":1,\"a\":2}\n"));
    assert_eq!(run.err, format!("{ID}\n"));
    assert_eq!(fake.lines()[1], format!("GET /v1/jobs/{ID}/wait?scope=job&timeout=30s"));
}

#[test]
fn a_secret_result_is_not_printed_by_the_way() {
    let mut done = job(ID, "completed");
    done["result"] = "***".into();
    let fake = Fake::new().on("POST /v1/jobs", 201, &job(ID, "queued")).on(
        &route("GET", "/wait"),
        200,
        &done,
    );
    let run = fake.run(&["enqueue", "k", "--wait"]);
    assert_eq!((run.code, run.out.as_str()), (0, "\"***\"\n"));
    assert!(run.err.contains(&format!("`attendant jobs result {ID}`")), "{}", run.err);
    assert!(!fake.lines().iter().any(|line| line.ends_with("/result")));
}

#[test]
fn a_dead_job_is_exit_1_and_says_how_to_look() {
    let fake = Fake::new().on("POST /v1/jobs", 201, &job(ID, "queued")).on(
        &route("GET", "/wait"),
        200,
        &dead(ID),
    );
    let run = fake.run(&["enqueue", "k", "--wait", "--timeout", "10s"]);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    let words = format!(
        "{ID}\nattendant: job {ID} (certn.applicant) is dead (http_400: no such applicant): see \
         `attendant jobs show {ID}`\n"
    );
    assert_eq!(run.err, words);
}

#[test]
fn a_chain_prints_the_first_result_and_names_what_died() {
    let fake = Fake::new()
        .on("POST /v1/jobs", 201, &job(ID, "queued"))
        .on(&route("GET", "/wait"), 200, &parent("completed", "dead"))
        .on(&format!("GET /v1/jobs/{CHILD}"), 200, &dead(CHILD))
        .on(&route("GET", "/result"), 200, &json!({"id": 1}));
    let run = fake.run(&["enqueue", "k", "--wait=chain"]);
    assert_eq!((run.code, run.out.as_str()), (1, "{\"id\":1}\n"));
    assert!(run.err.contains(&format!("jobs show {CHILD}")), "{}", run.err);
    assert!(fake.lines()[1].contains("scope=chain"));
}

#[test]
fn a_chain_that_completed_is_done() {
    let fake = Fake::new()
        .on("POST /v1/jobs", 201, &job(ID, "queued"))
        .on(&route("GET", "/wait"), 200, &parent("completed", "completed"))
        .on(&route("GET", "/result"), 200, &json!(null));
    let run = fake.run(&["enqueue", "k", "--wait=chain", "--json"]);
    assert_eq!((run.code, run.out.as_str()), (0, "null\n"));
    assert_eq!(run.err, format!("{{\"id\":\"{ID}\"}}\n"));
}

#[test]
fn time_that_is_up_is_124_and_says_how_to_wait_on() {
    let fake = Fake::new().on(&route("GET", ""), 200, &job(ID, "running")).on_text(
        &route("GET", "/wait"),
        204,
        "",
    );
    let run = fake.run(&["jobs", "wait", ID, "--timeout", "100ms"]);
    assert_eq!(run.code, 124);
    assert!(run.err.contains(&format!("`attendant jobs wait --scope job {ID}`")), "{}", run.err);
}

#[test]
fn waiting_for_several_gives_the_gravest_end() {
    let fake = Fake::new()
        .on(&route("GET", ""), 200, &job(ID, "running"))
        .on(&format!("GET /v1/jobs/{CHILD}"), 200, &job(CHILD, "running"))
        .on(&route("GET", "/wait"), 200, &job(ID, "completed"))
        .on(&format!("GET /v1/jobs/{CHILD}/wait"), 200, &job(CHILD, "cancelled"));
    let run = fake.run(&["jobs", "wait", ID, CHILD]);
    assert_eq!(run.code, 1);
    assert_eq!(
        run.out,
        format!("{ID}  certn.applicant  completed\n{CHILD}  certn.applicant  cancelled\n")
    );
}

#[test]
fn a_daemon_that_restarts_meanwhile_is_waited_for() {
    let draining = json!({"detail": "the daemon is stopping"});
    let daemon = || {
        Fake::new()
            .on("POST /v1/jobs", 201, &job(ID, "queued"))
            .on(&route("GET", ""), 200, &job(ID, "queued"))
            .busy(&route("GET", "/wait"), 1, &draining)
            .on(&route("GET", "/wait"), 200, &job(ID, "completed"))
            .on(&route("GET", "/result"), 200, &json!(1))
    };
    assert_eq!(daemon().run(&["enqueue", "k", "--wait"]).code, 0);
    let run = daemon().run(&["jobs", "wait", ID]);
    assert_eq!((run.code, run.err.as_str()), (0, "The daemon is away; waiting for it.\n"));
}

#[test]
fn a_socket_that_was_there_is_waited_for_and_one_that_was_not_is_not() {
    let mut fake = Fake::new()
        .busy(&route("GET", "/wait"), 1, &json!({"type": "urn:attendant:draining"}))
        .on(&route("GET", "/wait"), 200, &job(ID, "completed"));
    let socket = fake.socket().display().to_string();
    let waits = {
        let socket = socket.clone();
        std::thread::spawn(move || run(&["--socket", &socket, "jobs", "wait", ID], &[], ""))
    };
    while fake.asked().is_empty() {
        std::thread::yield_now();
    }
    fake.stop();
    assert_eq!(run(&["--socket", &socket, "jobs", "wait", ID], &[], "").code, 3);
    let _fake = fake.started();
    let waited = waits.join().unwrap();
    assert_eq!((waited.code, waited.out), (0, format!("{ID}  certn.applicant  completed\n")));
    assert_eq!(waited.err, "The daemon is away; waiting for it.\n", "once");
}

#[test]
fn a_daemon_that_stays_away_is_waited_for_no_longer_than_asked() {
    let fake = Fake::new().on("POST /v1/jobs", 201, &job(ID, "queued")).busy(
        &route("GET", "/wait"),
        1,
        &json!({"type": "urn:attendant:draining"}),
    );
    assert_eq!(fake.run(&["jobs", "wait", ID, "--timeout", "100ms"]).code, 124);
    assert_eq!(fake.run(&["enqueue", "k", "--wait", "--timeout", "100ms"]).code, 124);
}

#[test]
fn a_token_is_the_value_alone() {
    let credentials = json!({"credentials": [{"account": "certn", "name": "access_token"}]});
    let value = json!({"value": "s3cret", "expires_at": null, "generation": 1});
    let fake = Fake::new().on("GET /v1/credentials", 200, &credentials).on(
        "GET /v1/credentials/certn/access_token/value",
        200,
        &value,
    );
    let run = fake.run(&["token", "certn", "--min-ttl", "5m"]);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "s3cret\n", ""));
    let line = &fake.lines()[1];
    assert!(line.contains("/value?min_ttl=5m&timeout="), "{line}");
    assert_eq!(fake.run(&["token", "certn", "--json"]).out, format!("{value}\n"));
    assert_eq!(fake.run(&["token", "gate"]).code, 1);
    assert_eq!(fake.run(&["token", "certn/"]).code, 2);
}

#[test]
fn a_token_that_comes_soon_is_waited_for() {
    let route = "GET /v1/credentials/certn/access_token/value";
    let fake = Fake::new().busy(route, 1, &json!({"code": "connect", "detail": "not yet"})).on(
        route,
        200,
        &json!({"value": "v"}),
    );
    assert_eq!(fake.run(&["token", "certn/access_token"]).out, "v\n");
}

#[test]
fn a_token_that_cannot_come_is_told_at_once() {
    let route = "GET /v1/credentials/certn/access_token/value";
    let locked = json!({"code": "lockout", "detail": "the login was refused"});
    let fake = Fake::new().busy(route, 1, &locked);
    let run = fake.run(&["token", "certn/access_token"]);
    assert_eq!((run.code, run.err.as_str()), (1, "attendant: the login was refused\n"));
    assert_eq!(fake.asked().len(), 1);
    let fake = Fake::new().busy(route, 3600, &json!({"code": "connect", "detail": "later"}));
    assert_eq!(fake.run(&["token", "certn/access_token", "--timeout", "2s"]).code, 1);
}
