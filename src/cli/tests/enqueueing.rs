//! `enqueue`: what is sent, and what is printed of the answers.

use serde_json::{Value, json};

use super::fake::Fake;

pub(super) const ID: &str = "0199c0de-0000-7000-8000-000000000001";

pub(super) fn job(id: &str, state: &str) -> Value {
    json!({
        "id": id, "kind": "certn.applicant", "account": "certn", "state": state,
        "created_at": "2026-09-21T14:13:20.000Z", "last_error": null, "children": [],
    })
}

fn kinds() -> Value {
    json!({"kinds": [
        {"name": "certn.users", "provider": "certn", "shape": "call", "args": []},
        {"name": "certn.applicant", "provider": "certn", "shape": "follow", "args": [
            {"name": "industry", "type": "enum", "enum": ["hr", "pm"]},
            {"name": "id", "type": "id"},
            {"name": "count", "type": "integer"},
            {"name": "order", "type": "object"},
        ]},
    ]})
}

#[test]
fn all_flags_arrive_with_their_types() {
    let fake =
        Fake::new().on("GET /v1/kinds", 200, &kinds()).on("POST /v1/jobs", 201, &job(ID, "queued"));
    std::fs::write(fake.path("order.json"), "{\"name\": \"A\"}\n").unwrap();
    let order = format!("order=@{}", fake.path("order.json"));
    let run = fake.run_with(
        &[
            "enqueue",
            "certn.applicant",
            "--account",
            "certn",
            "--args",
            "-",
            "--arg",
            "industry=hr",
            "--arg",
            "id=0042",
            "--arg",
            "count=3",
            "--arg",
            &order,
            "--key",
            "k1",
            "--at",
            "2026-12-31T23:59:59Z",
            "--priority",
            "2",
            "--tag",
            "a",
            "--tag",
            "b",
        ],
        r#"{"industry": "pm", "extra": [1]}"#,
    );
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, &*format!("{ID}\n"), ""));
    let asked = fake.asked();
    assert_eq!(
        asked[1].json(),
        json!({
            "kind": "certn.applicant", "account": "certn", "key": "k1", "priority": 2,
            "run_at": "2026-12-31T23:59:59.000Z", "tags": ["a", "b"],
            "args": {"industry": "hr", "id": "0042", "count": 3, "order": {"name": "A"},
                     "extra": [1]},
        })
    );
}

#[test]
fn what_is_not_given_is_not_sent() {
    let fake = Fake::new().on("POST /v1/jobs", 201, &job(ID, "queued"));
    assert_eq!(fake.run(&["enqueue", "certn.users"]).code, 0);
    assert_eq!(fake.asked()[0].json(), json!({"kind": "certn.users", "args": {}}));
    assert_eq!(fake.run(&["enqueue", "certn.users", "--unkeyed", "--in", "1h"]).code, 0);
    let body = fake.asked()[1].json();
    assert_eq!(body["unkeyed"], true);
    assert!(body["run_at"].is_string());
}

#[test]
fn bad_arguments_never_reach_the_queue() {
    let fake = Fake::new().on("GET /v1/kinds", 200, &kinds());
    let table: [(&[&str], &str); 7] = [
        (&["certn.applicant", "--arg", "colour=red"], "it takes: industry, id, count, order"),
        (&["certn.applicant", "--arg", "count=many"], "count: must be a whole number"),
        (&["certn.applicant", "--arg", "industry=it"], "must be one of hr, pm"),
        (&["certn.applicant", "--arg", "count"], "write NAME=VALUE"),
        (&["certn.none", "--arg", "a=b"], "there are: certn.users, certn.applicant"),
        (&["certn.users", "--args", "{"], "--args is not JSON"),
        (&["certn.users", "--args", "[]"], "must be a JSON object"),
    ];
    for (args, words) in table {
        let args: Vec<&str> = ["enqueue"].iter().chain(args).copied().collect();
        let run = fake.run(&args);
        assert_eq!(run.code, 2, "{args:?}");
        assert!(run.err.contains(words), "{args:?}: {}", run.err);
    }
    assert!(fake.lines().iter().all(|line| line == "GET /v1/kinds"));
}

#[test]
fn all_bad_arguments_are_named_at_once() {
    let fake = Fake::new().on("GET /v1/kinds", 200, &kinds());
    let args = ["enqueue", "certn.applicant", "--arg", "colour=red", "--arg", "count=many"];
    let more = ["--arg", "id=7", "--arg", "order=@/nonexistent"];
    let run = fake.run(&[&args[..], &more].concat());
    assert_eq!(run.code, 2);
    let lines: Vec<&str> = run.err.lines().collect();
    assert_eq!(lines[0], "attendant: 3 arguments are not valid");
    assert!(lines[1].starts_with("  --arg colour: certn.applicant has no such argument; it takes"));
    assert_eq!(lines[2], "  --arg count: must be a whole number");
    assert!(lines[3].starts_with("  --arg order: /nonexistent cannot be read"), "{}", lines[3]);
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_job_that_was_there_already_is_told() {
    let fake = Fake::new().on("POST /v1/jobs", 200, &job(ID, "completed"));
    let run = fake.run(&["enqueue", "certn.users", "--key", "k"]);
    assert_eq!((run.code, run.out), (0, format!("{ID}\n")));
    assert!(run.err.contains("asked for before"), "{}", run.err);
    let fake = Fake::new().on("POST /v1/jobs", 200, &json!({"id": ID, "pruned": true}));
    assert!(fake.run(&["enqueue", "k", "--key", "k"]).err.contains("only the job's id is left"));
}

#[test]
fn refusals_have_their_exit_codes_and_name_each_field() {
    let problem = json!({"type": "urn:x", "title": "Invalid", "status": 422, "detail": "bad",
        "errors": [{"field": "args.id", "message": "is missing"}]});
    let table = [(400, 2), (403, 4), (409, 1), (413, 2), (422, 2), (429, 1), (500, 1), (507, 1)];
    for (status, code) in table {
        let fake = Fake::new().on("POST /v1/jobs", status, &problem);
        let run = fake.run(&["enqueue", "certn.users"]);
        assert_eq!((run.code, run.out.as_str()), (code, ""), "{status}");
        assert_eq!(run.err, "attendant: bad\n  args.id: is missing\n", "{status}");
        let run = fake.run(&["enqueue", "certn.users", "--json"]);
        assert_eq!(serde_json::from_str::<Value>(&run.err).unwrap(), problem, "{status}");
    }
}

#[test]
fn json_is_printed_as_it_came() {
    let body = "{\"id\":\"0199c0de-0000-7000-8000-000000000001\",\"z\":1.50,\"a\":2}";
    let fake = Fake::new().on_text("POST /v1/jobs", 201, body);
    assert_eq!(fake.run(&["enqueue", "k", "--json"]).out, format!("{body}\n"));
}

#[test]
fn a_batch_gives_one_line_for_each() {
    let answer = format!(
        "{}\n{}\n",
        json!({"status": 201, "job": {"id": ID}}),
        json!({"status": 409, "problem": {"detail": "the key came with others"}})
    );
    let fake = Fake::new().on_text("POST /v1/jobs/batch", 200, &answer);
    let run = fake.run_with(&["enqueue", "--batch", "-"], "{\"kind\":\"a\"}\n\n{\"kind\":\"b\"}");
    assert_eq!(run.code, 1);
    assert_eq!(run.out, format!("{ID}\nerror: line 3: the key came with others\n"));
    assert_eq!(fake.asked()[0].body, "{\"kind\":\"a\"}\n{\"kind\":\"b\"}\n");

    std::fs::write(fake.path("b.ndjson"), "{\"kind\":\"a\"}\n{\"kind\":\"b\"}\n").unwrap();
    let run = fake.run(&["enqueue", "--json", "--batch", &fake.path("b.ndjson")]);
    assert_eq!((run.code, run.out), (1, answer));
    assert_eq!(fake.run(&["enqueue", "--batch", "/nonexistent"]).code, 2);
}

#[test]
fn a_batch_that_is_not_answered_whole_is_a_failure() {
    let fake = Fake::new().on("POST /v1/jobs/batch", 200, &json!({"status": 201, "job": {}}));
    let run = fake.run_with(&["enqueue", "--batch", "-"], "{}\n{}\n");
    assert_eq!(run.code, 1);
    assert!(run.err.contains("did not answer line 2"), "{}", run.err);
}
