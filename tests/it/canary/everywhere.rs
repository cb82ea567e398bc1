//! Secrets of every kind through everything that can happen to them.

use attendant::sandbox::{Fault, FaultKind};
use serde_json::{Value, json};

use super::{
    forms::Canaries,
    world::{CONFIGURED, NAMES, SUBJECT, World},
};
use crate::support::{daemon::order, until};

/// Given as arguments.
const ARGUMENTS: [&str; 8] = [
    "canary-new/user pass&1",
    "canary-own-pass-\"2\"",
    "canary-client-secret+3",
    "canary-own-client'4",
    "canary-nested-5-é",
    "canary-joined~6/x",
    "canary-token-7.e30.e30",
    "4815162342108",
];
const PEOPLE: [&str; 3] = ["Canarina", "Zyxwvutsr", "canary-key-77"];

const CREDENTIALS: [&str; 8] = [
    "certn/access_token",
    "controlbyweb/access_token",
    "controlbyweb/certificate_request_token",
    "scantrust/token",
    "certiscan/work_token",
    "ipseity/access_token",
    "ipseity/refresh_token",
    "ipseity/password_token",
];

/// Kinds with arguments that hold canaries, and where each request goes.
fn calls() -> [(&'static str, Value, &'static str); 10] {
    let [user, own, client, own_client, _, _, token, _] = ARGUMENTS;
    [
        ("certn.users", json!({}), "GET /api/v1/users"),
        ("controlbyweb.tokens", json!({}), "GET /api/v1/accounts"),
        ("controlbyweb.token_delete", json!({ "token": token }), "DELETE /api/v1/accounts"),
        ("scantrust.me", json!({}), "GET /api/v2/me"),
        (
            "certiscan.client_create",
            json!({ "subject": "another", "name": "n", "secret": client }),
            "POST /api/v1/account/worktoken",
        ),
        (
            "certiscan.client_update",
            json!({ "subject": SUBJECT, "name": "n", "secret": own_client }),
            "PUT /api/v1/account/worktoken",
        ),
        ("ipseity.check", json!({ "token": token }), "GET /check"),
        ("ipseity.user_create", json!({ "user": "new", "pass": user }), "POST /user"),
        ("ipseity.user_password", json!({ "pass": own }), "PATCH /user"),
        ("ipseity.refresh_token_delete", json!({ "token": token }), "DELETE /refresh_token"),
    ]
}

/// What each credential is obtained with.
const EXCHANGES: [(&str, &str); 7] = [
    ("certn/access_token", "POST /token/"),
    ("controlbyweb/access_token", "POST /api/v1/auth/token"),
    ("controlbyweb/certificate_request_token", "POST /api/v1/accounts"),
    ("scantrust/token", "POST /api/v2/auth/jwt"),
    ("certiscan/work_token", "GET /api/v1/account/worktoken"),
    ("ipseity/access_token", "GET /token"),
    ("ipseity/refresh_token", "GET /refresh_token"),
];

fn provider(name: &str) -> &str {
    name.split(['.', '/']).next().unwrap()
}

/// Requests that are refused, with secrets in what is wrong with them.
fn bad_requests(world: &mut World) {
    let [user, own, ..] = ARGUMENTS;
    let bodies = [
        json!({ "kind": "ipseity.user_create", "args": user }),
        json!({ "kind": "ipseity.user_create", "args": { "user": "u", "pass": { "a": user } } }),
        json!({ "kind": "ipseity.user_create", "args": { "user": "u", "pass": [own] } }),
        json!({ "kind": "controlbyweb.token_delete", "args": { "token": user } }),
        json!({ "kind": "controlbyweb.token_delete", "args": { "token": [user] } }),
        json!({ "kind": "nest.watch", "args": { "id": "a", "box": user } }),
        json!({ "kind": "ipseity.user_create", "args": { "user": "u", "pass": user }, "run_at": 1 }),
    ];
    for body in bodies {
        let text = body.to_string();
        let answer = world.ask("POST", "/v1/jobs", &text);
        assert!(answer.starts_with("HTTP/1.1 4"), "{body}: {answer}");
        world.ask("POST", "/v1/jobs/batch", &text);
        world.ask("POST", "/v1/jobs", &text[..text.len() - 3]);
        let kind = body["kind"].as_str().unwrap();
        world.run(&["enqueue", kind, "--args", &body["args"].to_string()]);
        world.run(&["enqueue", kind, "--args", &text[..text.len() - 3]]);
    }
    world.run(&["enqueue", "ipseity.user_create", "--arg", &format!("pass={own}")]);
    let same_key = |pass| json!({ "kind": "ipseity.user_create", "key": "k", "args": { "user": "u", "pass": pass } });
    world.ask("POST", "/v1/jobs", &same_key(user).to_string());
    let answer = world.ask("POST", "/v1/jobs", &same_key(own).to_string());
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
}

/// Everything that can be read, in each way.
fn read_all(world: &mut World) {
    for command in [
        &["credentials"][..],
        &["queues"],
        &["status"],
        &["kinds"],
        &["jobs", "--limit", "500"],
        &["definitions", "list"],
        &["check"],
    ] {
        world.show(command);
    }
    for target in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/v1/kinds",
        "/v1/definitions",
        "/v1/definitions/ipseity",
        "/v1/schedules",
        "/v1/credentials",
        "/v1/queues",
        "/v1/jobs?limit=500",
        "/nowhere",
    ] {
        world.ask("GET", target, "");
    }
    for name in CREDENTIALS {
        world.ask("GET", &format!("/v1/credentials/{name}"), "");
    }
    let jobs = world.site.json(&["jobs", "--limit", "500"]);
    for job in jobs["jobs"].as_array().unwrap() {
        let id = job["id"].as_str().unwrap();
        world.ask("GET", &format!("/v1/jobs/{id}"), "");
        world.ask("GET", &format!("/v1/jobs/{id}/wait?timeout=0s"), "");
    }
    world.run(&["jobs", "show", jobs["jobs"][0]["id"].as_str().unwrap()]);
}

/// What works, with secrets in it.
async fn work(world: &mut World) {
    let [first, last, key] = PEOPLE;
    for name in CREDENTIALS {
        world.site.ok(&["token", name, "--min-ttl", "0s", "--timeout", "20s"]);
    }
    let order = order(first, last);
    let id = world.site.ok(&["enqueue", "certn.application", "--key", key, "--args", &order]);
    world.attempt("controlbyweb.token_create", &json!({})).await;
    for (kind, args, _) in calls() {
        world.attempt(kind, &args).await;
    }
    for kind in ["controlbyweb.tokens", "scantrust.me"] {
        world.run(&["enqueue", kind, "--wait", "--timeout", "20s"]);
    }
    for secret in [ARGUMENTS[4], ARGUMENTS[5]] {
        let boxed = json!({ "deep": [{ "er": secret }], "number": 4_815_162_342_108_u64 });
        world.enqueue("nest.watch", &json!({ "id": "one", "box": boxed }));
    }
    world.site.wait_chain(&id);
    world.run(&["jobs", "erase", &id]);
}

/// Providers whose errors show what they were asked. A refusal is an answer: between the others it
/// keeps the breaker shut.
async fn echoes(world: &mut World) {
    for (kind, args, target) in calls() {
        for code in [500, 400, 302] {
            world.echo(provider(kind), target, code, 1);
            world.attempt(kind, &args).await;
            world.calm();
        }
    }
    for code in [500, 400, 200] {
        world.echo("ipseity", "POST /version", code, 2);
        let boxed = json!({ "deep": [{ "er": ARGUMENTS[4] }] });
        let args = json!({ "id": format!("x{code}"), "box": boxed });
        let id = world.attempt("nest.watch", &args).await;
        world.run(&["jobs", "cancel", &id]);
        world.calm();
    }
}

/// The same of those that hand out credentials, and answers that are lost or no answers.
async fn exchanges(world: &mut World) {
    for name in CREDENTIALS {
        world.site.run(&["token", name, "--min-ttl", "0s", "--timeout", "20s"]);
    }
    for kind in [FaultKind::Echo(500), FaultKind::Garbage, FaultKind::Echo(302)] {
        for (name, target) in EXCHANGES {
            world.sandbox(provider(name)).fault(Fault::new(target, kind.clone()));
            world.renew(name).await;
            let asked = world.sandbox(provider(name)).requests_to(target);
            let met = asked.iter().any(|one| one.fault.as_ref() == Some(&kind));
            // A rotation first looks for what an earlier create may have made.
            assert!(met || name.ends_with("request_token"), "{name} met no {kind:?}");
            world.calm();
            world.renew(name).await;
        }
    }
    world.echo("controlbyweb", "DELETE /api/v1/accounts", 500, 1);
    world.run(&["credentials", "revoke", "controlbyweb/certificate_request_token"]);
    until("a revocation that fails", || {
        let asked = world.sandbox("controlbyweb").requests_to("DELETE /api/v1/accounts");
        asked.iter().rev().take(5).any(|one| one.fault == Some(FaultKind::Echo(500)))
    })
    .await;
    world.calm();
    world.show(&["credentials", "show", "controlbyweb/certificate_request_token"]);
}

/// Logins that are refused until they are left alone.
async fn lockouts(world: &mut World) {
    for (name, target) in EXCHANGES {
        world.echo(provider(name), target, 400, u32::MAX);
        world.renew(name).await;
        world.run(&["token", name, "--timeout", "100ms", "--min-ttl", "100d"]);
    }
    read_all(world);
    world.restart();
    read_all(world);
    world.calm();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_gets_out_of_anywhere() {
    let mut world = World::start().await;
    work(&mut world).await;
    bad_requests(&mut world);
    world.keep_files();
    echoes(&mut world).await;
    read_all(&mut world);
    world.forget_given();
    world.restart();
    exchanges(&mut world).await;
    lockouts(&mut world).await;
    world.run(&["rekey"]);
    until("the command of the sink", || world.site.path("seen").exists()).await;
    read_all(&mut world);
    world.stop();

    let issued: Vec<String> = world.sandboxes.iter().flat_map(|one| one.1.tokens_ever()).collect();
    assert!(issued.len() >= 20, "{} tokens", issued.len());
    let echoed = world.sandboxes.iter().flat_map(|one| one.1.requests());
    assert!(echoed.filter(|one| matches!(one.fault, Some(FaultKind::Echo(_)))).count() > 40);
    let secrets = CONFIGURED.iter().chain(&ARGUMENTS).copied();
    let secrets = Canaries::of(secrets.chain(issued.iter().map(String::as_str)));
    world.shows_none(&secrets, |place| place.starts_with("the answer to token"));
    let people = Canaries::of(PEOPLE.into_iter().chain(NAMES));
    world.shows_none(&people, |place| !place.starts_with("the log") && !place.starts_with("file"));
    for place in ["file attendant.db-wal", "file seen", "the log", "GET /v1/jobs"] {
        assert!(world.said.iter().any(|(name, _)| name.starts_with(place)), "no {place}");
    }
    let journal =
        world.said.iter().find(|(name, said)| name == "the log in the journal" && !said.is_empty());
    let journal = String::from_utf8_lossy(&journal.unwrap().1);
    for event in ["credential.renewal_failed", "credential.obtained", "daemon.ready"] {
        assert!(journal.contains(&format!("ATTENDANT_EVENT={event}\n")), "no {event}");
    }
}
