//! `attendant demo`: the whole story in under a minute, with no accounts.
//!
//! Two simulated providers on loopback, a throw-away database, lives of seconds. The daemon and the
//! commands are this very binary, run as a stranger would run them; the daemon is killed with
//! SIGKILL on the way. Each step is checked, and the exit code is 0 only if all of them held.

mod config;
mod reader;
mod rotation;
mod stage;

use std::time::Duration;

use serde_json::json;

use self::stage::{Failure, Stage, Step};
use crate::sandbox::{Fault, FaultKind};

/// Longer than anything here takes; a demo that hangs is a demo that failed.
const PATIENCE: Duration = Duration::from_secs(50);

/// Runs the demo; the exit code.
pub async fn run() -> u8 {
    println!(
        "Attendant's demo: Certn and ControlByWeb, simulated on loopback, hours as seconds.\n"
    );
    let mut stage = match Stage::set().await {
        Ok(stage) => stage,
        Err(failure) => {
            eprintln!("the demo could not be set up: {failure}");
            return 1;
        }
    };
    let told = tokio::time::timeout(PATIENCE, story(&mut stage)).await;
    let failure = match told {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure.to_string()),
        Err(_) => Some(format!("it took longer than {PATIENCE:?}")),
    };
    stage.strike(failure.is_none()).await;
    summary(&stage.steps, failure.as_deref())
}

fn summary(steps: &[Step], failure: Option<&str>) -> u8 {
    println!("\nWhat was shown:");
    for step in steps {
        let mark = if step.held { "ok  " } else { "FAIL" };
        println!("  {mark}  {}", step.what);
        println!("        {}", step.seen);
    }
    if let Some(failure) = failure {
        println!("  FAIL  {failure}");
    }
    let all = failure.is_none() && !steps.is_empty() && steps.iter().all(|step| step.held);
    println!("{}", if all { "\nEverything worked." } else { "\nNot everything worked." });
    u8::from(!all)
}

async fn story(stage: &mut Stage) -> Result<(), Failure> {
    stage.scene("The daemon starts and fetches a token before anybody asks.");
    stage.start_daemon().await?;
    stage.attendant(&["token", "certn", "--min-ttl", "1s"]).await?;
    let tokens = stage.sandbox.counters().tokens_issued;
    stage.check("a token is fetched", tokens == 1, format!("{tokens} token requests"));

    let reader = rotation::begin(stage).await?;
    let root = order_once(stage).await?;
    survive_a_kill(stage, &root).await?;
    complete(stage, &root).await?;
    never_twice_on_a_guess(stage).await?;
    stay_fresh(stage).await?;
    rotation::end(stage, reader).await?;

    stage.scene("What an operator sees.");
    stage.show(&["jobs"]).await?;
    stage.show(&["credentials"]).await?;
    stage.show(&["queues"]).await?;
    stage.scene("And the daemon stops as systemd would have it.");
    let clean = stage.stop_daemon().await?;
    stage.check("SIGTERM drains and exits 0", clean, format!("exit status 0: {clean}"));
    Ok(())
}

/// An order with a key, twice: one job, one check billed.
async fn order_once(stage: &mut Stage) -> Result<String, Failure> {
    stage.scene("A check is ordered; the same request comes again, as from a caller's retry.");
    let order = stage.order("Andrew", "McLeod");
    let args = ["enqueue", "certn.application", "--key", "hire-4711", "--args", &order];
    let first = stage.attendant(&args).await?;
    let again = stage.attendant(&args).await?;
    let same = first == again;
    stage.check("the same key gives the same job", same, format!("job {first}, then {again}"));
    stage
        .until("the order to be placed", async |stage| {
            Ok(stage.job(&first).await?["state"] == "completed")
        })
        .await?;
    Ok(first)
}

/// SIGKILL while the applicant is being followed.
async fn survive_a_kill(stage: &mut Stage, root: &str) -> Result<(), Failure> {
    stage.scene("The applicant is followed. The daemon is killed with SIGKILL in the midst of it.");
    stage
        .until("a first status", async |stage| {
            Ok(stage.follow_of(root).await?["status"].is_string())
        })
        .await?;
    let before = stage.follow_of(root).await?;
    stage.kill_daemon().await?;
    stage.start_daemon().await?;
    let after = stage.follow_of(root).await?;
    let kept = before["id"] == after["id"] && !after["state"].is_null();
    let seen = format!(
        "follow {} was {} with {} polls; after the restart it is {} with {}",
        before["id"], before["status"], before["polls"], after["state"], after["polls"]
    );
    stage.check("a restart forgets nothing", kept && after["state"] != "dead", seen);
    Ok(())
}

async fn complete(stage: &mut Stage, root: &str) -> Result<(), Failure> {
    stage.scene("The whole chain is waited for: order, applicant, report.");
    stage.attendant(&["jobs", "wait", root, "--scope", "chain", "--timeout", "30s"]).await?;
    let follow = stage.follow_of(root).await?;
    let applicant = stage.result(&follow).await?;
    let complete = applicant["report_status"] == "COMPLETE";
    let polls = follow["polls"].clone();
    stage.check(
        "the applicant is followed until COMPLETE",
        complete,
        format!("report_status {} after {polls} polls", applicant["report_status"]),
    );
    let report = stage.chain_job(root, "certn.report").await?;
    let file = stage.path("report.pdf");
    let id = report["id"].as_str().unwrap_or_default().to_owned();
    stage.attendant(&["jobs", "artifact", &id, "report.pdf", "-o", &file]).await?;
    let bytes = std::fs::read(&file).unwrap_or_default();
    let pdf = bytes.starts_with(b"%PDF");
    stage.check("its report is downloaded", pdf, format!("report.pdf, {} bytes", bytes.len()));
    let orders = stage.sandbox.counters().orders;
    let once = orders.values().all(|count| *count == 1) && orders.len() == 1;
    stage.check("the order was placed once", once, format!("orders by person: {orders:?}"));
    Ok(())
}

/// A reply that is lost: the order may have been placed, so it is not sent again.
async fn never_twice_on_a_guess(stage: &mut Stage) -> Result<(), Failure> {
    stage.scene("The reply to an order is lost. It was placed, but nobody here can know.");
    stage.sandbox.fault(Fault::new("POST /api/v1/hr/applications", FaultKind::LoseReply));
    let order = stage.order("Ada", "Lovelace");
    let args = ["enqueue", "certn.application", "--key", "hire-4712", "--args", &order];
    let id = stage.attendant(&args).await?;
    stage
        .until("the order to end", async |stage| Ok(stage.job(&id).await?["state"] == "dead"))
        .await?;
    let job = stage.job(&id).await?;
    let code = job["last_error"]["code"].clone();
    let refused = stage.attendant(&["jobs", "retry", &id]).await.is_err();
    stage.check(
        "an unknown outcome is left to a person",
        code == "outcome_unknown" && refused,
        format!("dead with code {code}; a plain retry is refused: {refused}"),
    );
    let placed = stage.placed("Ada Lovelace")?;
    let response = json!({"id": placed, "report_status": "ANALYZING"}).to_string();
    stage.attendant(&["jobs", "resolve", &id, "--happened", "--response", &response]).await?;
    stage.attendant(&["jobs", "wait", &id, "--scope", "chain", "--timeout", "30s"]).await?;
    let follow = stage.follow_of(&id).await?;
    let orders = stage.sandbox.counters().orders;
    let once = orders.values().all(|count| *count == 1);
    stage.check(
        "after their word the chain goes on, and nothing was ordered twice",
        follow["state"] == "completed" && once,
        format!("follow {}, orders by person: {orders:?}", follow["state"]),
    );
    Ok(())
}

/// Tokens of seconds are renewed before they expire.
async fn stay_fresh(stage: &mut Stage) -> Result<(), Failure> {
    stage.scene("Tokens here live ten seconds. They are renewed before that, read all the while.");
    let before = stage.sandbox.counters().tokens_issued;
    let mut reads = 1_u32;
    stage.attendant(&["token", "certn", "--min-ttl", "1s"]).await?;
    stage
        .until("a renewal", async |stage| {
            stage.quiet(&["token", "certn", "--min-ttl", "1s"]).await?;
            reads += 1;
            Ok(stage.sandbox.counters().tokens_issued > before)
        })
        .await?;
    let shown = stage.json(&["credentials", "show", "certn/access_token"]).await?;
    let condition = shown["state"].clone();
    stage.check(
        "the token is kept fresh",
        condition == "fresh",
        format!("{reads} reads across a renewal, each of a valid token; state {condition}"),
    );
    Ok(())
}
