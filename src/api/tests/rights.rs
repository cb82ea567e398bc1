//! Each right, granted and refused: callers with tokens, as they can be made without other users.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::{
    api::{
        openapi::{OPERATIONS, Operation},
        rights::{self, Needs},
    },
    config::Right,
};

/// The token of a name.
fn token(name: &str) -> String {
    format!("{name:a>40}")
}

/// `[[api.tokens]]` of this name, with these rules.
pub(super) fn rule(name: &str, rules: &str) -> String {
    let mut digest = String::new();
    for byte in Sha256::digest(token(name)) {
        write!(digest, "{byte:02x}").unwrap();
    }
    format!("[[api.tokens]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n{rules}\n")
}

pub(super) struct World {
    pub setup: Setup,
    pub url: String,
    client: reqwest::Client,
}

impl World {
    /// With these tokens.
    pub async fn new(rules: &[String]) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", tcp.local_addr().unwrap());
        let config = format!("{CONFIG}{}", rules.concat());
        let access = |api: &config::Api| Access::new(api, Clock::System);
        let setup = Setup::build(access, &config, Some(tcp)).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { setup, url, client }
    }

    async fn send(&self, who: &str, method: Method, path: &str, body: &Value) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.bearer_auth(token(who)).body(body.to_string());
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
    }

    pub async fn get(&self, who: &str, path: &str) -> Answer {
        self.send(who, Method::GET, path, &json!({})).await
    }

    pub async fn post(&self, who: &str, path: &str, body: &Value) -> Answer {
        self.send(who, Method::POST, path, body).await
    }
}

fn user(name: &str) -> Value {
    json!({"kind": "acme.user", "args": {"name": name, "pass": "p"}})
}

/// A request of this operation that is refused for nothing but its right.
async fn try_operation(world: &World, who: &str, one: &Operation, id: JobId) -> u16 {
    let path = one.path.replace("{id}", &id.to_string()).replace("{provider}", "certn");
    let path = path.replace("{account}/{name}", "certn/access_token");
    let path = path.replace("{account}", "certn").replace("{name}", "none");
    let query =
        if path.ends_with("/wait") || path.ends_with("/value") { "?timeout=1ms" } else { "" };
    let path = format!("{path}{query}");
    let method: Method = one.method.to_uppercase().parse().unwrap();
    let body = if path == "/v1/jobs" { user("x") } else { json!({}) };
    world.send(who, method, &path, &body).await.status.as_u16()
}

#[tokio::test]
async fn each_right_opens_its_routes_and_no_others() {
    let rules: Vec<String> = Right::ALL
        .iter()
        .map(|right| rule(right.name(), &format!("may = [\"{right}\"]")))
        .collect();
    let world = World::new(&rules).await;
    for right in Right::ALL {
        for one in OPERATIONS {
            let id = world.setup.job(&user("x")).await;
            let method: Method = one.method.to_uppercase().parse().unwrap();
            let granted = match rights::needs(&method, one.path).unwrap() {
                Needs::Nothing | Needs::Any => true,
                Needs::One(rights) => rights.contains(right),
                Needs::Whole(needed) => needed == *right,
            };
            let status = try_operation(&world, right.name(), one, id).await;
            let what = format!("{} {} with {right}: {status}", one.method, one.path);
            assert_eq!(status == 403, !granted, "{what}");
            // The queue of another account than the refused request's is as it was.
            assert_ne!(status, 401, "{what}");
        }
    }
}

#[tokio::test]
async fn what_takes_no_limits_is_refused_to_whom_has_some() {
    let rules = "may = [\"operate\", \"read\"]\naccounts = [\"certn\", \"acme\"]";
    let world = World::new(&[rule("limited", rules)]).await;
    for path in ["/v1/rekey", "/v1/clock/confirm"] {
        let problem = world.post("limited", path, &json!({})).await.problem(403);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("for all accounts and kinds"), "{detail}");
    }
}

/// The problem without what names the thing itself.
fn without(answer: &Answer, status: u16, name: &str) -> String {
    answer.problem(status).to_string().replace(name, "IT")
}

#[tokio::test]
async fn what_is_beyond_an_account_is_as_if_it_were_not_there() {
    let all = "may = [\"enqueue\", \"read\", \"results\", \"credentials\", \"operate\"]";
    let world = World::new(&[rule("hr", &format!("{all}\naccounts = [\"certn\"]"))]).await;
    let theirs = world.setup.job(&applicant("1")).await.to_string();
    let other = world.setup.job(&user("x")).await.to_string();
    let none = JobId(uuid::Uuid::from_u128(7)).to_string();

    let list = world.get("hr", "/v1/jobs").await.expect(200);
    let ids: Vec<&str> =
        list["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&theirs.as_str()) && !ids.contains(&other.as_str()), "{ids:?}");
    world.get("hr", &format!("/v1/jobs/{theirs}")).await.expect(200);

    // A job is only found by looking: one that is beyond is not there.
    for rest in ["", "/wait", "/result", "/artifacts/x"] {
        let of = async |id: &str| world.get("hr", &format!("/v1/jobs/{id}{rest}")).await;
        assert_eq!(without(&of(&other).await, 404, &other), without(&of(&none).await, 404, &none));
    }
    for rest in ["cancel", "retry", "erase"] {
        let of =
            async |id: &str| world.post("hr", &format!("/v1/jobs/{id}/{rest}"), &json!({})).await;
        assert_eq!(without(&of(&other).await, 404, &other), without(&of(&none).await, 404, &none));
    }
    let resolve = json!({"not_sent": true});
    world.post("hr", &format!("/v1/jobs/{other}/resolve"), &resolve).await.problem(404);

    // Where a name stands in the request it decides by itself.
    for (path, post) in [
        ("/v1/credentials/IT/token", false),
        ("/v1/credentials/IT/token/value", false),
        ("/v1/credentials/IT/token/renew", true),
        ("/v1/credentials/IT/token/revoke", true),
        ("/v1/queues/IT/pause", true),
        ("/v1/queues/IT/resume", true),
        ("/v1/jobs?account=IT", false),
    ] {
        let of = async |name: &str| {
            let path = path.replace("IT", name);
            let method = if post { Method::POST } else { Method::GET };
            without(&world.send("hr", method, &path, &json!({})).await, 403, name)
        };
        assert_eq!(of("acme").await, of("nobody_knows").await, "{path}");
    }
    let order = |account: &str| json!({"kind": "acme.user", "account": account, "args": {}});
    let acme = world.post("hr", "/v1/jobs", &order("acme")).await;
    let nobody = world.post("hr", "/v1/jobs", &order("nobody_knows")).await;
    assert_eq!(without(&acme, 403, "acme`"), without(&nobody, 403, "nobody_knows`"));
    world.post("hr", "/v1/jobs", &user("x")).await.problem(403);
    let crossed = json!({"kind": "acme.user", "account": "certn", "args": {}});
    let problem = world.post("hr", "/v1/jobs", &crossed).await.problem(422).to_string();
    assert!(!problem.contains("accounts of"), "{problem}");

    // Nothing else tells of it.
    for path in ["/v1/queues", "/v1/credentials", "/v1/kinds", "/v1/definitions", "/readyz"] {
        let answer = world.get("hr", path).await;
        let text = String::from_utf8(answer.bytes).unwrap();
        assert!(!text.contains("acme"), "{path}: {text}");
    }
    assert!(world.get("hr", "/v1/kinds").await.expect(200).to_string().contains("certn.users"));
    let known = world.get("hr", "/v1/definitions/nope").await.problem(404).to_string();
    assert!(!known.contains("acme"), "{known}");
    world.get("hr", "/v1/definitions/acme").await.problem(404);
    let unknown = world.get("hr", "/v1/credentials/certn/nope").await.problem(404);
    assert_eq!(unknown["detail"], "there is no credential `certn/nope`");
}

#[tokio::test]
async fn kinds_limit_jobs_with_what_comes_of_them() {
    let rules = "may = [\"enqueue\", \"read\"]\nkinds = [\"certn.applicant\"]";
    let keeps = "may = [\"credentials\", \"read\"]\nkinds = [\"certn.access_token\"]";
    let world = World::new(&[rule("hr", rules), rule("proxy", keeps)]).await;
    let theirs = world.post("hr", "/v1/jobs", &applicant("1")).await.expect(201);
    assert_eq!(theirs["created_by"], "hr");
    world.post("hr", "/v1/jobs", &json!({"kind": "certn.users"})).await.problem(403);
    world.post("hr", "/v1/jobs", &user("x")).await.problem(403);
    let other = world.setup.job(&json!({"kind": "certn.users"})).await;
    world.get("hr", &format!("/v1/jobs/{other}")).await.problem(404);
    let kinds = world.get("hr", "/v1/kinds").await.expect(200);
    assert_eq!(kinds["kinds"].as_array().unwrap().len(), 1);
    assert_eq!(kinds["kinds"][0]["name"], "certn.applicant");
    // A credential has the kind of its renewal.
    assert_eq!(world.get("hr", "/v1/credentials").await.expect(200), json!({"credentials": []}));
    let list = world.get("proxy", "/v1/credentials").await.expect(200);
    assert_eq!(list["credentials"][0]["name"], "access_token");
    let value = "/v1/credentials/certn/access_token/value?timeout=1ms";
    world.get("proxy", value).await.problem(503);
    world.get("hr", value).await.problem(403);
    // A queue holds all kinds.
    let rules = "may = [\"operate\"]\nkinds = [\"certn.applicant\"]";
    let world = World::new(&[rule("some", rules)]).await;
    let problem = world.post("some", "/v1/queues/certn/pause", &json!({})).await.problem(403);
    assert!(problem["detail"].as_str().unwrap().contains("all kinds of the account"), "{problem}");
}

#[tokio::test]
async fn whoever_may_not_read_gets_an_outline() {
    let world =
        World::new(&[rule("sender", "may = [\"enqueue\"]"), rule("keeper", "may = [\"operate\"]")])
            .await;
    let request = json!({
        "kind": "acme.user", "key": "k", "tags": ["private"], "args": {"name": "x", "pass": "p"},
    });
    let id = world.setup.job(&request).await;
    let outline = json!({"id": id, "kind": "acme.user", "account": "acme", "state": "queued"});
    assert_eq!(world.post("sender", "/v1/jobs", &request).await.expect(200), outline);
    let cancelled = world.post("keeper", &format!("/v1/jobs/{id}/cancel"), &json!({})).await;
    assert_eq!(cancelled.expect(200)["state"], "cancelled");
    assert!(!String::from_utf8(cancelled.bytes.clone()).unwrap().contains("private"));
    let erased = world.post("keeper", &format!("/v1/jobs/{id}/erase"), &json!({})).await;
    assert_eq!(erased.expect(200)["erased"]["jobs"], json!([id]));
}

#[tokio::test]
async fn the_first_priority_is_for_operators() {
    let world = World::new(&[
        rule("sender", "may = [\"enqueue\"]"),
        rule("keeper", "may = [\"enqueue\", \"operate\"]"),
    ])
    .await;
    let urgent = |priority| json!({"kind": "certn.users", "priority": priority});
    let problem = world.post("sender", "/v1/jobs", &urgent(0)).await.problem(403);
    assert!(problem["detail"].as_str().unwrap().contains("`operate`"), "{problem}");
    world.post("sender", "/v1/jobs", &urgent(1)).await.expect(201);
    world.post("keeper", "/v1/jobs", &urgent(0)).await.expect(201);
}

#[tokio::test]
async fn a_batch_is_looked_at_line_by_line() {
    let rules = "may = [\"enqueue\"]\naccounts = [\"certn\"]";
    let world = World::new(&[rule("hr", rules)]).await;
    let lines = format!("{}\n{}\n", applicant("1"), user("x"));
    let request = world.client.post(format!("{}/v1/jobs/batch", world.url));
    let answer = request.bearer_auth(token("hr")).body(lines).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let statuses: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["status"].clone())
        .collect();
    assert_eq!(statuses, [201, 403], "{text}");
}

#[tokio::test]
async fn secrets_take_the_right_to_credentials() {
    let world = World::new(&[
        rule("results", "may = [\"read\", \"results\"]"),
        rule("secrets", "may = [\"credentials\"]"),
        rule("reader", "may = [\"read\"]"),
    ])
    .await;
    let id = world.setup.job(&json!({"kind": "acme.login"})).await;
    world.setup.complete("acme", &json!({"token": "hunter2"})).await;
    let path = format!("/v1/jobs/{id}/result");
    let problem = world.get("results", &path).await.problem(403);
    assert!(problem["detail"].as_str().unwrap().contains("holds secrets"), "{problem}");
    assert_eq!(world.get("results", &format!("/v1/jobs/{id}")).await.expect(200)["result"], "***");
    assert_eq!(world.get("secrets", &path).await.expect(200)["token"], "hunter2");
    world.get("reader", &path).await.problem(403);
    let open = world.get("reader", &format!("/v1/jobs/{id}")).await.expect(200);
    assert_eq!(open["result"], Value::Null);
    // A plain result is for those with `results`.
    let id = world.setup.job(&user("x")).await;
    world.setup.complete("acme", &json!({"ok": true})).await;
    let path = format!("/v1/jobs/{id}/result");
    assert_eq!(world.get("results", &path).await.expect(200)["ok"], true);
    // They do not see the job, so it is not there for them.
    world.get("secrets", &path).await.problem(404);
    world.get("reader", &path).await.problem(403);
}

#[test]
fn the_page_has_the_right_of_every_route() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/access.md");
    let page = std::fs::read_to_string(page).unwrap();
    let served = |method: &str, path: &str| {
        OPERATIONS.iter().any(|one| one.method.eq_ignore_ascii_case(method) && one.path == path)
    };
    for (method, path, needs) in rights::TABLE.iter().filter(|(of, at, _)| served(of, at)) {
        let row = format!("| `{method} {path}` | {} |", needs.words());
        assert!(page.contains(&row), "this line is missing in docs/access.md:\n{row}");
    }
}

#[tokio::test]
async fn schedules_are_seen_and_run_by_those_whose_rules_cover_them() {
    let schedules = "[schedules.nightly]\ncron = \"0 3 * * *\"\nkind = \"acme.user\"\n\
                     account = \"acme\"\nargs = { name = \"Ada\", pass = \"p\" }\n";
    let limited =
        |may: &str, account: &str| format!("may = [\"{may}\"]\naccounts = [\"{account}\"]");
    let world = World::new(&[
        rule("reader", &limited("read", "acme")),
        rule("stranger", &limited("read", "certn")),
        rule("runner", &limited("operate", "acme")),
        rule("elsewhere", &limited("operate", "certn")),
        schedules.to_owned(),
    ])
    .await;
    let seen = world.get("reader", "/v1/schedules").await.expect(200);
    assert_eq!(seen["schedules"][0]["name"], "nightly", "{seen}");
    let seen = world.get("stranger", "/v1/schedules").await.expect(200);
    assert_eq!(seen, json!({"schedules": []}));
    // Whoever may not read it is not shown what it is about.
    let job = world.post("runner", "/v1/schedules/nightly/run", &json!({})).await.expect(201);
    assert_eq!((&job["kind"], &job["state"]), (&json!("acme.user"), &json!("queued")));
    assert_eq!(job.as_object().unwrap().len(), 4, "{job}");
    let run = |name: &'static str| {
        let world = &world;
        async move {
            let path = format!("/v1/schedules/{name}/run");
            without(&world.post("elsewhere", &path, &json!({})).await, 403, name)
        }
    };
    assert_eq!(run("nightly").await, run("none").await);
}
