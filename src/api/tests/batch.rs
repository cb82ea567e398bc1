//! Many jobs in one request.

use super::*;

fn outcomes(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let lines = answer.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
async fn each_line_has_its_outcome_in_order() {
    let setup = Setup::new().await;
    let keyed = |id: &str| json!({"kind": "certn.users", "key": id}).to_string();
    let lines = [
        keyed("a"),
        "{broken".to_owned(),
        keyed("b"),
        String::new(),
        json!({"kind": "certn.nothing"}).to_string(),
        keyed("a"),
        json!({"kind": "certn.users", "key": "a", "account": "certn", "args": {}}).to_string(),
        json!({"kind": "certn.applicant", "args": {"industry": "hr", "id": 1}, "key": "a"})
            .to_string(),
    ];
    let answer = setup.send(Method::POST, "/v1/jobs/batch", lines.join("\n")).await;
    let outcomes = outcomes(&answer);
    let statuses: Vec<u64> = outcomes.iter().map(|one| one["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 400, 201, 422, 200, 200, 409]);
    assert_eq!(outcomes[4]["job"]["id"], outcomes[0]["job"]["id"]);
    assert_eq!(outcomes[6]["problem"]["job_id"], outcomes[0]["job"]["id"]);
    assert_eq!(outcomes[3]["problem"]["errors"][0]["field"], "kind");
}

#[tokio::test]
async fn a_long_batch_is_stored_in_pieces() {
    let setup = Setup::new().await;
    let line = json!({"kind": "certn.users"}).to_string() + "\n";
    let answer = setup.send(Method::POST, "/v1/jobs/batch", line.repeat(1_201)).await;
    let outcomes = outcomes(&answer);
    assert_eq!(outcomes.len(), 1_201);
    assert!(outcomes.iter().all(|one| one["status"] == 201));
    let too_long = setup.send(Method::POST, "/v1/jobs/batch", line.repeat(10_001)).await;
    too_long.problem(413);
    let counts = setup.engine.store.counts().await.unwrap();
    assert_eq!(counts, [(JobState::Queued, 1_201 + 1)], "the credential's job and 1,201 others");
    let empty = setup.send(Method::POST, "/v1/jobs/batch", "\n\n").await;
    assert!(self::outcomes(&empty).is_empty());
}
