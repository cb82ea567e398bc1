//! Another program holds the database's lock for longer than anybody waits for it.

use serde_json::json;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};

use super::World;
use crate::support::until;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_to_come_again_and_everything_goes_on_afterwards() {
    let world = World::start().await;
    let mut daemon = world.site.start();
    world.site.ok(&["enqueue", "certn.users", "--wait", "--timeout", "30s"]);
    let users = || world.sandbox.requests_to("GET /api/v1/users").len();
    let pages = users();
    let before = world.site.ok(&["enqueue", "certn.users", "--in", "2s"]);
    let value = world.site.ok(&["token", "certn"]);
    let options = SqliteConnectOptions::new().filename(world.site.path("attendant.db"));
    let mut other = options.connect().await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();

    let site = &world.site;
    let (status, problem) = tokio::task::block_in_place(|| {
        site.http("POST", "/v1/jobs", &json!({"kind": "certn.users", "args": {}}))
    });
    assert_eq!((status, &problem["type"]), (503, &json!("urn:attendant:store_unavailable")));
    assert!(problem["retry_after"].as_u64().is_some(), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("locked"), "{problem}");
    let (status, why) = world.site.http("GET", "/readyz", &json!(null));
    assert_eq!((status, &why["reasons"][0]["code"]), (503, &json!("store")), "{why}");
    assert_eq!(world.site.ok(&["token", "certn"]), value, "what is in memory is handed out");
    assert_eq!(users(), pages, "nothing is begun that could not be ended");

    other.execute("ROLLBACK").await.unwrap();
    other.close().await.unwrap();
    daemon.wait_for("store.recovered");
    until("the job", || world.site.job(&before)["state"] == "completed").await;
    world.site.ok(&["enqueue", "certn.users", "--wait", "--timeout", "30s"]);
    assert_eq!(users(), 3 * pages);
    assert_eq!(world.site.job(&before)["errors"], 0);
    let told = (daemon.told("store.trouble"), daemon.told("store.recovered"));
    assert_eq!(told, (1, 1), "{:#?}", daemon.log);
    daemon.stop();
}
