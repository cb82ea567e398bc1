//! Certn: what its papers leave open. Its story is told in `engine`, `oauth`, `crash`.

use std::time::Duration;

use attendant::sandbox::{
    Fault, Provider,
    certn::{Industry, Settings, Stage},
};
use serde_json::{Value, json};

use super::world::{Plan, World};

const QUICKLY: (&str, &str) = ("[jobs.applicant]\n", "[jobs.applicant]\nevery = \"300ms\"\n");

fn certn(settings: Settings) -> Plan {
    Plan::of(Provider::Certn(settings)).mended(QUICKLY.0, QUICKLY.1)
}

fn complete() -> Settings {
    Settings { stages: vec![Stage::new(Duration::ZERO, "COMPLETE")], ..Settings::default() }
}

fn order(flow: &str, report: &str) -> Value {
    let application = json!({ "information": { "first_name": "Ada", "last_name": "Byron" } });
    json!({ "industry": "pm", "flow": flow, "report": report, "application": application })
}

/// Places an order and waits for all that comes of it; the order's id.
fn place(world: &World, args: &Value) -> String {
    let args = args.to_string();
    let id = world.site.ok(&["enqueue", "certn.application", "--unkeyed", "--args", &args]);
    world.site.wait_chain(&id);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_users_is_read() {
    for (users, page_size) in [(0, 2), (1, 2), (5, 2), (4, 2)] {
        let world = certn(Settings { users, page_size, ..Settings::default() }).start().await;
        let found = world.run("users", &json!({})).done();
        assert_eq!(found.as_array().unwrap().len(), users);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_either_flow_ends_with_the_report_asked_for() {
    for (flow, report, name) in [
        ("quick", "html", Some("report.html")),
        ("invite", "pdf", Some("report.pdf")),
        ("invite", "none", None),
    ] {
        let world = certn(complete()).start().await;
        let id = place(&world, &order(flow, report));
        let job = world.site.job(&id);
        assert_eq!(job["chain"]["state"], "completed", "{job:#}");
        let files = job["chain"]["artifacts"].as_array().unwrap();
        let names: Vec<_> = files.iter().filter_map(|file| file["name"].as_str()).collect();
        assert_eq!(names, name.into_iter().collect::<Vec<_>>(), "{flow} {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_may_be_numbers_or_texts() {
    let uuid = "c6b0a8fd-1c5b-4f0f-9d5e-6a9f0a2a7f11";
    let applicants = ["17", uuid].map(|id| (Industry::Hr, id.to_owned())).to_vec();
    let world = certn(Settings { applicants, ..complete() }).start().await;
    for id in [json!(17), json!("17"), json!(uuid)] {
        let found = world.run("applicant", &json!({ "industry": "hr", "id": id }));
        assert_eq!(
            (&found.job["status"], &found.job["state"]),
            (&"COMPLETE".into(), &"completed".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_of_any_case_are_followed_until_complete() {
    let stage = |after: u64, status: Option<&str>| Stage {
        after: Duration::from_millis(after),
        status: status.map(str::to_owned),
    };
    let stages = vec![
        stage(0, Some("returned")),
        stage(700, None),
        stage(1_400, Some("Never_Seen_Before")),
        stage(2_100, Some("complete")),
    ];
    let applicants = vec![(Industry::Hr, "17".to_owned())];
    let world = certn(Settings { applicants, stages, ..Settings::default() }).start().await;
    let found = world.run("applicant", &json!({ "industry": "hr", "id": 17 }));
    assert_eq!(found.job["state"], "completed", "{:#}", found.job);
    assert_eq!(found.job["errors"], 0);
    assert_eq!(found.result["report_status"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_asked_too_early_is_asked_again() {
    let stages = vec![
        Stage::new(Duration::ZERO, "ANALYZING"),
        Stage::new(Duration::from_secs(4), "COMPLETE"),
    ];
    let applicants = vec![(Industry::Hr, "17".to_owned())];
    let mut world = certn(Settings { applicants, stages, ..Settings::default() }).start().await;
    let args = json!({ "industry": "hr", "id": 17, "format": "pdf" });
    let early = world.failed_once("report", &args);
    assert_eq!((early.code(), &early.job["state"]), ("not_ready", &"queued".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_order_is_dead_with_the_field_and_was_not_billed() {
    let world = certn(complete()).start().await;
    let args = json!({ "industry": "hr", "application": { "request_softcheck": true } });
    let refused = world.ended(&place(&world, &args));
    assert!(refused.died("http_400").contains("This field is required."));
    assert!(world.sandbox.counters().orders.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_that_is_missing_orders_nothing() {
    let path = "{{ args.flow }}/\"";
    let world = certn(complete()).mended(path, "{{ args.flow }}\"").start().await;
    let refused = world.ended(&place(&world, &order("quick", "none")));
    refused.died("redirected");
    assert!(world.sandbox.counters().orders.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_errors_end_a_job_or_hold_its_kind() {
    let mut world = certn(complete()).start().await;
    for status in [400, 403, 404] {
        world.sandbox.fault(Fault::status("GET /api/v1/users/", status));
        world.run("users", &json!({})).died(&format!("http_{status}"));
    }
    world.sandbox.fault(Fault::status("GET /api/v1/users/", 500));
    assert_eq!(world.failed_once("users", &json!({})).code(), "http_500");
    // 410: the API has been retired. The job waits for a new definition and does not die.
    world.sandbox.fault(Fault::status("GET /api/v1/users/", 410));
    let id = world.enqueue("users", &json!({}));
    world.daemon.wait_for("provider_changed");
    world.daemon.wait_for("job.snoozed");
    let held = world.ended(&id);
    assert_eq!(held.job["state"], "queued", "{:#}", held.job);
}
