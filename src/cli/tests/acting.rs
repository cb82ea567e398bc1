//! Commands that change something.

use serde_json::{Value, json};

use super::{
    enqueueing::{ID, job},
    fake::Fake,
};

const OTHER: &str = "0199c0de-0000-7000-8000-000000000002";

fn route(id: &str, action: &str) -> String {
    format!("POST /v1/jobs/{id}/{action}")
}

#[test]
fn cancelling_tells_when_it_takes_effect() {
    let fake = Fake::new().on(&route(ID, "cancel"), 200, &job(ID, "cancelled")).on(
        &route(OTHER, "cancel"),
        202,
        &job(OTHER, "running"),
    );
    let run = fake.run(&["jobs", "cancel", ID, OTHER]);
    assert_eq!(run.code, 0);
    let ends = "ends once its running request has ended";
    assert_eq!(run.out, format!("{ID} is cancelled\n{OTHER} {ends}\n"));
}

#[test]
fn erasing_tells_what_is_gone_and_what_a_backup_has() {
    let erased = |backups: &str, artifacts: u64| {
        let mut job = job(ID, "completed");
        job["erased"] = json!({"jobs": [ID, OTHER], "artifacts": artifacts, "backups": backups});
        job
    };
    let fake = Fake::new().on(&route(ID, "erase"), 200, &erased("unreadable", 1)).on(
        &route(OTHER, "erase"),
        409,
        &json!({"detail": "is running"}),
    );
    let run = fake.run(&["jobs", "erase", ID, OTHER]);
    let expected = format!(
        "{ID} is erased, with its chain of 2 jobs and 1 file; backups made before cannot be read \
         either\n"
    );
    assert_eq!((run.code, run.out), (1, expected));
    assert_eq!(run.err, "attendant: is running\n");
    let readable = erased("readable with the key until rekey", 0);
    let fake = Fake::new().on(&route(ID, "erase"), 200, &readable);
    let run = fake.run(&["jobs", "erase", ID]);
    assert!(run.code == 0 && run.out.contains("; but the daemon cannot change"), "{}", run.out);
}

#[test]
fn a_rekey_is_told_and_a_refused_one_too() {
    let done = json!({"key": "d7660aa4", "resealed": {"args": 2}, "unreadable": 0});
    let run = Fake::new().on("POST /v1/rekey", 200, &done).run(&["rekey"]);
    assert!(run.code == 0 && run.out.starts_with("Sealed anew with key d7660aa4: args 2.\n"));
    let run = Fake::new().on("POST /v1/rekey", 409, &json!({"detail": "no"})).run(&["rekey"]);
    assert_eq!((run.code, run.err.contains("attendant: no")), (1, true));
}

#[test]
fn one_refusal_does_not_keep_the_others() {
    let fake = Fake::new().on(&route(ID, "retry"), 409, &json!({"detail": "job is completed"})).on(
        &route(OTHER, "retry"),
        200,
        &job(OTHER, "queued"),
    );
    let run = fake.run(&["jobs", "retry", "--resend", ID, OTHER]);
    assert_eq!((run.code, run.out), (1, format!("{OTHER} will run again\n")));
    assert_eq!(run.err, "attendant: job is completed\n");
    assert_eq!(fake.asked()[0].json(), json!({"resend": true}));
}

#[test]
fn a_filter_retries_the_dead_and_a_dry_run_nothing() {
    let dead = json!({"jobs": [job(ID, "dead")], "cursor": null});
    let fake =
        Fake::new().on("GET /v1/jobs", 200, &dead).on(&route(ID, "retry"), 200, &job(ID, "queued"));
    let run = fake.run(&["jobs", "retry", "--code", "connect", "--dry-run"]);
    assert_eq!(run.code, 0);
    assert!(run.out.contains(ID) && run.err.contains("nothing was done"), "{}", run.err);
    assert_eq!(fake.lines(), ["GET /v1/jobs?state=dead&code=connect&limit=500"]);
    let run = fake.run(&["jobs", "retry", "--code", "connect"]);
    assert_eq!(run.out, format!("{ID} will run again\n"));
    assert_eq!(fake.asked()[2].json(), json!({}));
}

#[test]
fn a_dry_run_tells_apart_what_would_be_refused() {
    let mut unknown = job(OTHER, "dead");
    unknown["last_error"] = json!({"code": "outcome_unknown", "message": "timed out"});
    let dead = json!({"jobs": [job(ID, "dead"), unknown], "cursor": null});
    let fake = Fake::new().on("GET /v1/jobs", 200, &dead);
    let run = fake.run(&["jobs", "retry", "--account", "certn", "--dry-run"]);
    let row = |id| run.out.lines().find(|line: &&str| line.starts_with(id)).unwrap();
    assert!(row(OTHER).ends_with("  refused without --resend; outcome_unknown: timed out"));
    assert!(!row(ID).contains("refused"));
    assert_eq!(run.err, "1 job would run again, 1 would be refused; nothing was done.\n");
    let run = fake.run(&["jobs", "retry", "--account", "certn", "--dry-run", "--json"]);
    let told: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((&told["jobs"][0]["id"], &told["refused"][0]["id"]), (&json!(ID), &json!(OTHER)));
    let run = fake.run(&["jobs", "retry", "--account", "certn", "--dry-run", "--resend"]);
    assert_eq!(run.err, "2 jobs would run again; nothing was done.\n");
}

#[test]
fn named_jobs_and_filters_do_not_mix() {
    let fake = Fake::new();
    assert_eq!(fake.run(&["jobs", "retry", ID, "--code", "dns"]).code, 2);
    assert_eq!(fake.run(&["jobs", "--state", "dead", "show", ID]).code, 2);
    assert!(fake.asked().is_empty());
}

#[test]
fn resolving_says_what_happened() {
    let fake = Fake::new().on(&route(ID, "resolve"), 200, &job(ID, "completed"));
    let happened = ["jobs", "resolve", ID, "--happened", "--response", "-"];
    assert_eq!(fake.run_with(&happened, "{\"id\": 7}").out, format!("{ID} is completed\n"));
    assert_eq!(fake.run(&["jobs", "resolve", ID, "--not-sent"]).code, 0);
    let bodies: Vec<Value> = fake.asked().iter().map(super::fake::Asked::json).collect();
    assert_eq!(bodies, [json!({"happened": {"id": 7}}), json!({"not_sent": true})]);
    for args in [
        &["jobs", "resolve", ID][..],
        &["jobs", "resolve", ID, "--happened"],
        &["jobs", "resolve", ID, "--happened", "--not-sent", "--response", "1"],
        &["jobs", "resolve", ID, "--happened", "--response", "{"],
    ] {
        assert_eq!(fake.run(args).code, 2, "{args:?}");
    }
    assert_eq!(fake.asked().len(), 2);
}

#[test]
fn queues_are_paused_one_or_all() {
    let queues = json!({"queues": [{"account": "a"}, {"account": "b"}]});
    let fake = Fake::new()
        .on("GET /v1/queues", 200, &queues)
        .on("POST /v1/queues/a/pause", 200, &json!({"account": "a"}))
        .on("POST /v1/queues/a/resume", 200, &json!({"account": "a"}))
        .on("POST /v1/queues/b/resume", 200, &json!({"account": "b"}));
    assert_eq!(fake.run(&["queues", "pause", "a"]).out, "a is paused\n");
    assert_eq!(fake.run(&["queues", "resume", "--all"]).out, "a is open\nb is open\n");
    assert_eq!(fake.run(&["queues", "pause", "a", "--all"]).code, 2);
    assert_eq!(fake.run(&["queues", "pause", "none"]).code, 1);
}

#[test]
fn a_credential_is_renewed_by_its_full_name() {
    let route = "POST /v1/credentials/certn/access_token/renew";
    let fake = Fake::new().on(route, 202, &json!({"account": "certn", "name": "access_token"}));
    let run = fake.run(&["credentials", "renew", "certn/access_token"]);
    assert!(run.code == 0 && run.out.starts_with("certn/access_token is being renewed"));
    assert_eq!(fake.run(&["credentials", "renew", "certn"]).code, 2);
}

#[test]
fn a_withdrawal_says_whether_the_provider_knows() {
    let table = [
        ("told", "is withdrawn, and revoked at the provider"),
        ("pending", "could not be told yet"),
        ("cannot", "stays valid at the provider until it expires"),
        ("nothing", "had no value to withdraw"),
    ];
    for (provider, words) in table {
        let route = "POST /v1/credentials/gate/t/revoke";
        let fake = Fake::new().on(route, 200, &json!({"account": "gate", "provider": provider}));
        let run = fake.run(&["credentials", "revoke", "gate/t"]);
        assert!(run.code == 0 && run.out.contains(words), "{}", run.out);
    }
}
