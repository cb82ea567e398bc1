//! Requests that nobody would send: each is answered, none with a fault of the daemon's.

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use reqwest::Method;
use serde_json::{Value, json};

use super::Setup;
use crate::any_json::any_json;

fn any_value() -> impl Strategy<Value = Value> {
    let known = ["certn.users", "acme.user", "certn.application", "30s", "-1h"];
    prop_oneof![3 => any_json(), 1 => prop::sample::select(known.to_vec()).prop_map(Value::from)]
}

fn any_job() -> impl Strategy<Value = String> {
    let fields = prop::sample::select(vec![
        "kind",
        "account",
        "args",
        "key",
        "unkeyed",
        "run_at",
        "priority",
        "max_errors",
        "deadline",
        "tags",
        "other",
    ]);
    let job = prop::collection::btree_map(fields, any_value(), 0..8).prop_map(|mut map| {
        map.entry("kind").or_insert_with(|| json!("certn.users"));
        json!(map).to_string()
    });
    prop_oneof![4 => job, 1 => ".{0,60}"]
}

fn sample<T>(runner: &mut TestRunner, strategy: &impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).unwrap().current()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered() {
    let setup = Setup::new().await;
    let mut runner = TestRunner::default();
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    for _ in 0..300 {
        let job = sample(&mut runner, &any_job());
        let answer = setup.send(Method::POST, "/v1/jobs", job.clone()).await;
        assert!(answer.status.as_u16() < 500, "{job}: {}", answer.status);
        let batch: Vec<String> = (0..3).map(|_| sample(&mut runner, &any_job())).collect();
        let answer = setup.send(Method::POST, "/v1/jobs/batch", batch.join("\n")).await;
        assert!(answer.status.as_u16() < 500, "{batch:?}: {}", answer.status);
        let raw = sample(&mut runner, &bytes);
        let answer = setup.send(Method::POST, "/v1/jobs", raw.clone()).await;
        assert!((400..500).contains(&answer.status.as_u16()), "{raw:?}: {}", answer.status);
    }
    let words = "[a-z0-9%=&.:+/_ -]{0,30}";
    for _ in 0..300 {
        let (path, query) = (sample(&mut runner, &words), sample(&mut runner, &words));
        for path in
            [format!("/v1/jobs/{path}"), format!("/v1/jobs?{query}"), format!("/v1/{path}?{query}")]
        {
            let path = path.replace(' ', "%20");
            let answer = setup.get(&path).await;
            assert!(answer.status.as_u16() < 500, "{path}: {}", answer.status);
        }
    }
    setup.get("/healthz").await.expect(200);
}
