//! Enqueueing jobs and looking at them.

use super::*;

const FIELDS: [&str; 23] = [
    "account",
    "args",
    "attempt",
    "created_at",
    "created_by",
    "deadline",
    "errors",
    "finished_at",
    "id",
    "key",
    "kind",
    "last_error",
    "max_errors",
    "parent_id",
    "polls",
    "priority",
    "result",
    "run_at",
    "started_at",
    "state",
    "status",
    "tags",
    "waiting_for",
];

fn names(job: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = job.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_new_job_is_answered_as_it_is_later_read() {
    let setup = Setup::new().await;
    let request = json!({
        "kind": "certn.applicant", "args": {"industry": "hr", "id": 7}, "key": "k1",
        "tags": ["a", "b"], "priority": 3,
    });
    let new = setup.post("/v1/jobs", &request).await.expect(201);
    assert_eq!(names(&new), FIELDS);
    assert_eq!(new["args"], json!({"industry": "hr", "id": "7", "report": "none"}));
    assert_eq!((&new["key"], &new["state"]), (&json!("k1"), &json!("queued")));
    assert_eq!((&new["account"], &new["priority"]), (&json!("certn"), &json!(3)));
    assert_eq!(new["created_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(new["deadline"], "2027-03-16T08:00:00.000Z");
    assert_eq!(new["created_by"]["uid"], nix::unistd::Uid::effective().as_raw());
    let id = new["id"].as_str().unwrap();
    let mut read = setup.get(&format!("/v1/jobs/{id}")).await.expect(200);
    for more in ["attempts", "observations", "children", "chain"] {
        assert!(read.as_object_mut().unwrap().remove(more).is_some(), "{more}");
    }
    assert_eq!(read, new);
}

#[tokio::test]
async fn a_key_means_one_request() {
    let setup = Setup::new().await;
    let request = |id: &str| {
        let mut request = applicant(id);
        request["key"] = "k".into();
        request
    };
    let first = setup.post("/v1/jobs", &request("1")).await.expect(201);
    let again = setup.post("/v1/jobs", &request("1")).await.expect(200);
    assert_eq!(again["id"], first["id"]);
    let other = setup.post("/v1/jobs", &request("2")).await.problem(409);
    assert_eq!(other["job_id"], first["id"]);
    assert_eq!(other["type"], "urn:attendant:key_reused");
}

#[tokio::test]
async fn a_live_follow_is_joined() {
    let setup = Setup::new().await;
    let first = setup.job(&applicant("1")).await;
    let again = setup.post("/v1/jobs", &applicant("1")).await.expect(200);
    assert_eq!(again["id"], first.to_string());
}

#[tokio::test]
async fn secret_arguments_are_shown_nowhere() {
    let setup = Setup::new().await;
    let request = json!({
        "kind": "acme.user", "args": {"name": "ann", "pass": "hunter2"}, "key": "k",
    });
    let hidden = json!({"name": "ann", "pass": "***"});
    let job = setup.post("/v1/jobs", &request).await.expect(201);
    assert_eq!(job["args"], hidden);
    let id = job["id"].as_str().unwrap();
    for answer in [
        setup.post("/v1/jobs", &request).await,
        setup.get(&format!("/v1/jobs/{id}")).await,
        setup.get("/v1/jobs?account=acme").await,
        setup.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await,
    ] {
        let text = answer.expect(200).to_string();
        assert!(text.contains("***") && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn lists_go_from_new_to_old_in_pages() {
    let setup = Setup::new().await;
    for n in 0..5 {
        setup.clock.advance(Duration::from_millis(10));
        setup.job(&applicant(&n.to_string())).await;
    }
    let ids = |page: &Value| -> Vec<String> {
        let jobs = page["jobs"].as_array().unwrap().iter();
        jobs.map(|job| job["args"]["id"].as_str().unwrap().to_owned()).collect()
    };
    let path = "/v1/jobs?kind=certn.applicant&state=queued&limit=2";
    let first = setup.get(path).await.expect(200);
    assert_eq!(ids(&first), ["4", "3"]);
    assert_eq!(names(&first["jobs"][0]), FIELDS);
    let next = |page: &Value| format!("{path}&cursor={}", page["cursor"].as_str().unwrap());
    let second = setup.get(&next(&first)).await.expect(200);
    assert_eq!(ids(&second), ["2", "1"]);
    let third = setup.get(&next(&second)).await.expect(200);
    assert_eq!(ids(&third), ["0"]);
    assert_eq!(third["cursor"], Value::Null);
    let recent = setup.get("/v1/jobs?kind=certn.applicant&since=10ms").await.expect(200);
    assert_eq!(ids(&recent), ["4", "3"]);
    let none = setup.get("/v1/jobs?tag=none").await.expect(200);
    assert_eq!(none, json!({"jobs": [], "cursor": null}));
}

#[tokio::test]
async fn an_ended_job_shows_all_that_came_of_it() {
    let setup = Setup::new().await;
    let id = setup.job(&json!({"kind": "acme.user", "args": {"name": "a", "pass": "p"}})).await;
    let path = format!("/v1/jobs/{id}");
    let early = setup.get(&format!("{path}/result")).await.problem(409);
    assert_eq!(early["job_id"], id.to_string());
    setup.complete("acme", &json!({"answer": 42})).await;
    let job = setup.get(&path).await.expect(200);
    assert_eq!(job["state"], "completed");
    assert_eq!(job["result"], json!({"answer": 42}));
    assert_eq!(job["status"], "COMPLETE");
    assert_eq!(job["attempts"][0]["outcome"], "completed");
    assert_eq!(job["attempts"][0]["message"], "done");
    assert_eq!(
        job["observations"],
        json!([{"at": "2027-01-15T08:00:00.000Z", "status": "COMPLETE", "polls": 3}])
    );
    let artifact = json!({
        "job_id": id, "name": "report.pdf", "content_type": "application/pdf", "size": 4,
        "sha256": "abc",
    });
    assert_eq!(
        job["chain"],
        json!({
            "state": "completed", "jobs": [{"id": id, "state": "completed"}],
            "artifacts": [artifact],
        })
    );
    let result = setup.get(&format!("{path}/result")).await.expect(200);
    assert_eq!(result, json!({"answer": 42}));
    let list = setup.get("/v1/jobs?account=acme").await.expect(200);
    assert_eq!(list["jobs"][0]["result"], Value::Null);
    assert_eq!(list["jobs"][0]["status"], "COMPLETE");
}

#[tokio::test]
async fn an_artifact_is_a_file_to_be_saved() {
    let setup = Setup::new().await;
    let id = setup.job(&json!({"kind": "acme.user", "args": {"name": "a", "pass": "p"}})).await;
    setup.complete("acme", &json!(null)).await;
    let file = setup.get(&format!("/v1/jobs/{id}/artifacts/report.pdf")).await;
    assert_eq!((file.status.as_u16(), &*file.bytes), (200, &b"%PDF"[..]));
    assert_eq!(file.headers["content-type"], "application/pdf");
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"report.pdf\"");
    assert_eq!(file.headers["etag"], "\"abc\"");
    setup.get(&format!("/v1/jobs/{id}/artifacts/other")).await.problem(404);
}
