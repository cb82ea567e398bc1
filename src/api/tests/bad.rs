//! Bad input: refused whole, with a problem that names what is wrong.

use super::*;

async fn jobs(setup: &Setup) -> usize {
    let counts = setup.engine.store.counts().await.unwrap();
    counts.iter().map(|(_, count)| usize::try_from(*count).unwrap()).sum()
}

#[tokio::test]
async fn bad_jobs_are_refused_and_leave_nothing() {
    let setup = Setup::new().await;
    let before = jobs(&setup).await;
    let order = json!({"industry": "hr", "application": {}});
    let table: [(Value, &[&str]); 16] = [
        (json!({}), &["kind"]),
        (json!([]), &[""]),
        (json!({"kind": 5}), &["kind"]),
        (json!({"kind": "certn.nothing"}), &["kind"]),
        (json!({"kind": "certn.users", "colour": "red"}), &["colour"]),
        (json!({"kind": "certn.users", "args": {"x": 1}}), &["args.x"]),
        (json!({"kind": "certn.users", "args": [1]}), &["args"]),
        (json!({"kind": "certn.applicant"}), &["args.industry", "args.id"]),
        (applicant("a/b"), &["args.id"]),
        (applicant(".."), &["args.id"]),
        (applicant(""), &["args.id"]),
        (json!({"kind": "certn.application", "args": order}), &["key"]),
        (json!({"kind": "certn.users", "account": "other"}), &["account"]),
        (json!({"kind": "certn.users", "account": "acme"}), &["account"]),
        (json!({"kind": "certn.users", "priority": "high", "tags": "x"}), &["priority", "tags"]),
        (
            json!({"kind": "certn.users", "run_at": "soon", "deadline": "never", "priority": 9,
                   "max_errors": 0, "key": ""}),
            &["key", "run_at", "deadline", "priority", "max_errors"],
        ),
    ];
    for (request, fields) in table {
        let problem = setup.post("/v1/jobs", &request).await.problem(422);
        let errors = problem["errors"].as_array().unwrap().iter();
        let named: Vec<&str> = errors.map(|one| one["field"].as_str().unwrap()).collect();
        assert_eq!(named, fields, "{request}: {problem}");
    }
    assert_eq!(jobs(&setup).await, before);
}

#[tokio::test]
async fn what_is_no_json_is_a_bad_request() {
    let setup = Setup::new().await;
    for body in ["", "{", "{\"kind\": \"certn.users\",}", "kind: certn.users", "\u{0}"] {
        let problem = setup.send(Method::POST, "/v1/jobs", body).await.problem(400);
        assert!(problem["detail"].as_str().unwrap().contains("line 1 column"), "{problem}");
    }
    let latin1 = b"{\"kind\": \"certn.\xe9\"}".to_vec();
    setup.send(Method::POST, "/v1/jobs", latin1).await.problem(400);
}

#[tokio::test]
async fn large_bodies_are_refused_and_heard() {
    let setup = Setup::new().await;
    let huge = vec![b'x'; 10 << 20];
    setup.send(Method::POST, "/v1/jobs", huge.clone()).await.problem(413);
    // Without a length: it is noticed while it is read.
    let piece = |piece: &[u8]| Ok::<_, std::convert::Infallible>(piece.to_vec());
    let pieces: Vec<_> = huge.chunks(64 << 10).map(piece).collect();
    let stream = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    setup.send(Method::POST, "/v1/jobs", stream).await.problem(413);
    let args = json!({"kind": "certn.users", "args": {"x": "x".repeat(600 << 10)}});
    setup.post("/v1/jobs", &args).await.problem(413);
    setup.get("/healthz").await.expect(200);
}

#[tokio::test]
async fn bad_queries_name_what_is_allowed() {
    let setup = Setup::new().await;
    let id = setup.job(&applicant("1")).await;
    for (path, field) in [
        ("/v1/jobs?colour=red".to_owned(), "colour"),
        ("/v1/jobs?limit=0".to_owned(), "limit"),
        ("/v1/jobs?limit=1001".to_owned(), "limit"),
        ("/v1/jobs?state=gone".to_owned(), "state"),
        ("/v1/jobs?since=soon".to_owned(), "since"),
        ("/v1/jobs?cursor=1".to_owned(), "cursor"),
        ("/v1/jobs?kind=".to_owned(), "kind"),
        ("/v1/jobs?limit=1&limit=2".to_owned(), "limit"),
        ("/v1/queues?x".to_owned(), "x"),
        (format!("/v1/jobs/{id}?x=1"), "x"),
        (format!("/v1/jobs/{id}/wait?scope=all"), "scope"),
        (format!("/v1/jobs/{id}/wait?timeout=2h"), "timeout"),
        ("/v1/credentials/certn/access_token/value?min_ttl=x".to_owned(), "min_ttl"),
    ] {
        let problem = setup.get(&path).await.problem(422);
        assert_eq!(problem["errors"][0]["field"], field, "{path}: {problem}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let setup = Setup::new().await;
    let id = crate::clock::new_job_id(NOW);
    for path in [
        "/",
        "/v1",
        "/v2/jobs",
        "/v1/jobs/",
        "/v1/jobs/7",
        "/v1/jobs/..%2f..",
        "/v1/jobs/%ff",
        "/v1/jobs/7/artifacts/%ff",
        "/v1/definitions/none",
        "/v1/credentials/certn/none",
        "/v1/credentials/none/access_token/value",
    ] {
        setup.get(path).await.problem(404);
    }
    for path in ["", "/result", "/wait", "/artifacts/report.pdf"] {
        setup.get(&format!("/v1/jobs/{id}{path}")).await.problem(404);
    }
    for action in ["cancel", "retry"] {
        setup.post(&format!("/v1/jobs/{id}/{action}"), &json!({})).await.problem(404);
    }
    setup.post("/v1/queues/none/pause", &json!({})).await.problem(404);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let setup = Setup::new().await;
    let answer = setup.send(Method::DELETE, "/v1/jobs", "").await;
    answer.problem(405);
    let allowed = answer.headers["allow"].to_str().unwrap();
    assert!(allowed.contains("POST") && allowed.contains("GET"), "{allowed}");
    setup.get("/v1/jobs/batch").await.problem(405);
    setup.send(Method::PUT, "/v1/queues/certn/pause", "").await.problem(405);
}
