//! A daemon that is killed and started over and over under load.

use std::time::{Duration, Instant};

use attendant::sandbox::{Fault, FaultKind};
use serde_json::json;

use super::World;

#[tokio::test(flavor = "multi_thread")]
async fn it_kills_no_job_and_logs_in_once() {
    let world = World::start().await;
    let site = &world.site;
    let daemon = site.start();
    site.ok(&["token", "certn"]);
    // Requests that outlive every daemon of the storm.
    let slow = FaultKind::Slow(Duration::from_secs(20));
    world.sandbox.fault(Fault::new("GET /api/v1/users", slow).times(1_000));
    let job = json!({"kind": "certn.users", "args": {}, "max_errors": 1});
    let ids: Vec<String> = (0..30)
        .map(|_| site.http("POST", "/v1/jobs", &job).1["id"].as_str().unwrap().to_owned())
        .collect();
    daemon.kill();
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let begun = Instant::now();
        let mut daemon = site.start();
        slowest = slowest.max(begun.elapsed());
        daemon.told("");
        daemon.kill();
    }
    world.sandbox.clear_faults();
    let daemon = site.start();
    for id in &ids {
        let job = site.job(id);
        assert_ne!(job["state"], "dead", "{job:#}");
        assert_eq!(job["errors"], 0, "{job:#}");
        assert_eq!(job["max_errors"], 1);
    }
    // Those that were running wait a little longer each time; a person need not.
    let interrupted = ids.iter().filter(|id| site.job(id)["attempt"] != 0).count();
    assert!(interrupted > 0, "nothing ran during the storm");
    assert_eq!(world.sandbox.counters().tokens_issued, 1, "a stored token is used");
    assert!(slowest < Duration::from_secs(5), "a start took {slowest:?}");
    daemon.stop();
}
