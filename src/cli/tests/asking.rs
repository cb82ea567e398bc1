//! Commands that only look.

use serde_json::{Value, json};

use super::{
    enqueueing::{ID, job},
    fake::Fake,
};

const PAGE: usize = 500;

fn page(count: usize, cursor: &Value) -> Value {
    let jobs: Vec<Value> = (0..count).map(|_| job(ID, "dead")).collect();
    json!({"jobs": jobs, "cursor": cursor})
}

#[test]
fn a_list_is_asked_for_with_its_filters() {
    let fake = Fake::new().on("GET /v1/jobs", 200, &page(1, &Value::Null));
    let args = [
        "jobs",
        "--state",
        "dead",
        "--kind",
        "k",
        "--account",
        "a",
        "--tag",
        "t",
        "--code",
        "dns",
        "--since",
        "2026-01-01T00:00:00Z",
        "--limit",
        "7",
    ];
    let run = fake.run(&args);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.starts_with("ID "), "{}", run.out);
    assert_eq!(run.out.lines().count(), 2);
    assert_eq!(
        fake.lines()[0],
        "GET /v1/jobs?state=dead&kind=k&account=a&tag=t&code=dns&\
         since=2026-01-01T00%3A00%3A00.000Z&limit=7"
    );
}

#[test]
fn an_empty_list_tells_a_slip_of_the_pen() {
    let definitions = json!({"definitions": [{"provider": "c", "credentials": ["token"]}]});
    let fake = Fake::new()
        .on("GET /v1/jobs", 200, &page(0, &Value::Null))
        .on("GET /v1/kinds", 200, &json!({"kinds": [{"name": "c.users"}]}))
        .on("GET /v1/definitions", 200, &definitions)
        .on("GET /v1/queues", 200, &json!({"queues": [{"account": "certn"}]}));
    let known = ["jobs", "--kind", "c.users", "--account", "certn"];
    assert_eq!(fake.run(&known).code, 0);
    assert_eq!(fake.run(&["jobs", "--kind", "c.token"]).code, 0);
    let run = fake.run(&["jobs", "--kind", "nope", "--account", "none"]);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    let words = "attendant: there is no kind `nope`; there are: c.users, c.token; there is no \
                 account `none`; there is: certn\n";
    assert_eq!(run.err, words);
    assert_eq!(fake.run(&["jobs", "retry", "--account", "none"]).code, 1);
    assert_eq!(fake.run(&["jobs", "retry", "--account", "none", "--dry-run"]).code, 1);
}

#[test]
fn long_lists_are_read_page_by_page() {
    let fake = Fake::new().on("GET /v1/jobs", 200, &page(PAGE, &json!("c1"))).on(
        "GET /v1/jobs",
        200,
        &page(1, &json!("c2")),
    );
    let run = fake.run(&["jobs", "--limit", "501", "--json"]);
    let list: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(list["jobs"].as_array().unwrap().len(), 501);
    assert_eq!(list["cursor"], "c2");
    assert_eq!(fake.lines(), ["GET /v1/jobs?limit=500", "GET /v1/jobs?limit=1&cursor=c1"]);
    let run = fake.run(&["jobs", "--limit", "1"]);
    assert_eq!(run.err, "There are more: use --limit (now 1).\n");
}

#[test]
fn one_page_of_json_is_printed_as_it_came() {
    let body = "{\"jobs\":[{\"z\":1,\"id\":\"x\"}],\"cursor\":null}";
    let fake = Fake::new().on_text("GET /v1/jobs", 200, body);
    assert_eq!(fake.run(&["jobs", "--json"]).out, format!("{body}\n"));
    assert_eq!(fake.run(&["--json", "jobs"]).out, format!("{body}\n"));
}

#[test]
fn jobs_are_shown_and_unknown_ones_told() {
    let fake = Fake::new().on(&format!("GET /v1/jobs/{ID}"), 200, &job(ID, "completed"));
    let run = fake.run(&["jobs", "show", ID]);
    assert_eq!(run.code, 0);
    assert!(run.out.contains(&format!("id       {ID}\n")), "{}", run.out);
    let other = "0199c0de-0000-7000-8000-000000000009";
    let run = fake.run(&["jobs", "show", other, ID]);
    assert_eq!(run.code, 1);
    assert!(run.out.contains(ID), "the known one is shown all the same");
    assert!(run.err.starts_with("attendant: no GET"), "{}", run.err);
}

#[test]
fn a_result_that_is_not_there_is_exit_1() {
    let waits = json!({"detail": "job is queued: it has no result"});
    let fake = Fake::new().on(&format!("GET /v1/jobs/{ID}/result"), 409, &waits);
    let run = fake.run(&["jobs", "result", ID]);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert_eq!(run.err, "attendant: job is queued: it has no result\n");
}

#[test]
fn an_artifact_goes_to_its_file_or_nowhere() {
    let route = format!("GET /v1/jobs/{ID}/artifacts/report.pdf");
    let fake = Fake::new().on_text(&route, 200, "%PDF");
    let file = fake.path("r.pdf");
    assert_eq!(fake.run(&["jobs", "artifact", ID, "report.pdf"]).out, "%PDF");
    let run = fake.run(&["jobs", "artifact", ID, "report.pdf", "-o", &file]);
    assert_eq!((run.code, run.out.as_str()), (0, ""), "{}", run.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "%PDF");
    assert_eq!(fake.run(&["jobs", "artifact", ID, "none", "-o", &file]).code, 1);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "%PDF", "the earlier file is kept");
    let there = fake.run(&["jobs", "artifact", ID, "report.pdf", "-o", "/nonexistent/r.pdf"]);
    assert!(there.code == 1 && there.err.contains("/nonexistent/r.pdf"), "{}", there.err);
}

#[test]
fn kinds_can_be_narrowed() {
    let kinds = json!({"kinds": [
        {"name": "certn.users", "provider": "certn", "title": "Users", "shape": "call", "args": []},
        {"name": "gate.x", "provider": "gate", "title": "X", "shape": "call", "args": []},
    ]});
    let fake = Fake::new().on("GET /v1/kinds", 200, &kinds);
    assert_eq!(fake.run(&["kinds"]).out.matches("(call)").count(), 2);
    assert_eq!(fake.run(&["kinds", "gate"]).out, "gate.x\n  X (call)\n");
    let json: Value = serde_json::from_str(&fake.run(&["kinds", "gate.x", "--json"]).out).unwrap();
    assert_eq!(json["kinds"][0]["name"], "gate.x");
    assert_eq!(fake.run(&["kinds", "none"]).code, 1);
}

#[test]
fn a_definition_is_printed_as_it_is() {
    let toml = "# Certn\nprovider = \"certn\"\n";
    let list = json!({"definitions": [{"provider": "certn", "file": "f", "title": "T"}]});
    let fake = Fake::new().on("GET /v1/definitions", 200, &list).on_text(
        "GET /v1/definitions/certn",
        200,
        toml,
    );
    assert_eq!(fake.run(&["definitions", "show", "certn"]).out, toml);
    let expected = "PROVIDER  FILE  TITLE\ncertn     f     T\n";
    assert_eq!(fake.run(&["definitions", "list"]).out, expected);
    assert_eq!(fake.run(&["definitions", "show", "x"]).code, 1);
}

fn daemon(ready: &(u16, Value), queue: &Value, unknown: usize) -> Fake {
    let schedule = json!({
        "name": "nightly", "kind": "certn.users", "next_at": "2200-01-01T03:00:00.000Z",
    });
    let credential = json!({
        "account": "certn", "name": "t", "state": "fresh", "renew_at": "2200-01-01T01:00:00.000Z",
    });
    Fake::new()
        .on("GET /readyz", ready.0, &ready.1)
        .on("GET /v1/queues", 200, &json!({"queues": [queue]}))
        .on("GET /v1/credentials", 200, &json!({"credentials": [credential]}))
        .on("GET /v1/schedules", 200, &json!({"schedules": [schedule]}))
        .on("GET /v1/jobs", 200, &page(unknown, &Value::Null))
        .on("GET /v1/jobs", 200, &page(0, &Value::Null))
}

fn queue(state: &str) -> Value {
    json!({"account": "certn", "state": state, "running": 1, "due": 0, "waiting": 2,
           "waiting_for": null, "held_kinds": []})
}

#[test]
fn status_is_exit_1_only_if_a_person_is_needed() {
    let ready = || (200, json!({"status": "ready"}));
    let unready = |code: &str| {
        (503, json!({"status": "not_ready", "reasons": [{"code": code, "detail": "x"}]}))
    };
    let warning = json!({"code": "secret_expiring", "account": "certn", "detail": "x"});
    let warned = (200, json!({"status": "ready", "warnings": [warning]}));
    let table = [
        (ready(), "open", 0, 0, "ready; healthy"),
        (ready(), "gated", 0, 0, "ready; nothing waits for a person"),
        (unready("breaker_open"), "gated", 0, 0, "not ready; nothing waits for a person"),
        (unready("store"), "open", 0, 1, "not ready; something needs a person"),
        (ready(), "paused", 0, 1, "attendant queues resume certn"),
        (ready(), "open", 1, 1, "attendant jobs show"),
        (warned, "open", 0, 1, "ready; something needs a person"),
    ];
    for (ready, state, unknown, code, words) in table {
        let run = daemon(&ready, &queue(state), unknown).run(&["status"]);
        assert_eq!(run.code, code, "{}", run.out);
        assert!(run.out.contains(words), "{words}: {}", run.out);
    }
}

#[test]
fn status_in_json_has_the_same_facts() {
    let fake = daemon(&(200, json!({"status": "ready"})), &queue("paused"), 0);
    let status: Value = serde_json::from_str(&fake.run(&["status", "--json"]).out).unwrap();
    assert_eq!((&status["ready"], &status["needs_person"]), (&json!(true), &json!(true)));
    assert_eq!(status["concerns"][0]["code"], "paused");
    assert_eq!((&status["running"], &status["waiting"]), (&json!(1), &json!(2)));
    let next = |n: usize, name: &str| status["next"][n][name].clone();
    assert_eq!(next(0, "what"), "renewal of certn/t");
    assert_eq!(next(1, "what"), "schedule nightly: certn.users");
    assert_eq!(next(1, "at"), "2200-01-01T03:00:00.000Z");
    assert_eq!(next(2, "at"), Value::Null);
}
