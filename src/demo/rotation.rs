//! The device token of a gate: made before the last one ends, whatever happens meanwhile.
//!
//! It begins early and is looked at last, so that it rotates while the other scenes play.

use std::time::Duration;

use serde_json::Value;

use super::{
    config::{CHANGES, OVERLAP},
    reader::{Read, Reader},
    stage::{Failure, Stage},
};
use crate::sandbox::{Fault, FaultKind, Recorded, Sort};

const NAME: &str = "gate/certificate_request_token";
const CREATE: &str = "POST /api/v1/accounts/";
const REVOKE: &str = "DELETE /api/v1/accounts/";
/// Longer than it takes to kill a daemon that waits for a reply.
const SLOW: Duration = Duration::from_secs(5);

/// The first token, and a program that reads it from now on.
pub async fn begin(stage: &mut Stage) -> Result<Reader, Failure> {
    stage.scene(
        "Devices join a gate with a token that lives twelve hours, here twelve seconds. A \
         program\n    reads it ten times a second from now on, over the socket and in a file, and \
         tries it.",
    );
    stage.attendant(&["token", NAME, "--min-ttl", "1s"]).await?;
    told(stage).await?;
    Ok(Reader::start(stage))
}

/// A second rotation, through a SIGKILL, and what all of it came to.
pub async fn end(stage: &mut Stage, reader: Reader) -> Result<(), Failure> {
    stage.scene("Back to the gate: its token has been rotated meanwhile.");
    stage
        .until("a rotation", async |stage| {
            let shown = shown(stage).await?;
            Ok(shown["generation"].as_u64() > Some(1) && shown["stage"].is_null())
        })
        .await?;
    stage.show(&["credentials", "show", NAME]).await?;
    let lost = killed_in_its_midst(stage).await?;
    stage
        .until("the old tokens to be revoked, and their readers to know", async |stage| {
            let (values, made) = (reader.read().values, made(stage));
            let live = values.iter().filter(|value| stage.gate.admits_device(value)).count();
            Ok(values.len() == made && live == 1)
        })
        .await?;
    told(stage).await?;
    let read = reader.end().await;
    let shown = shown(stage).await?;
    always_live(stage, &read);
    no_orphans(stage, &shown, lost);
    made_before_break(stage, &read);
    told_once(stage);
    Ok(())
}

/// SIGKILL when the provider has made a successor, but its reply has not come. Whether it was so.
async fn killed_in_its_midst(stage: &mut Stage) -> Result<bool, Failure> {
    stage.scene("And again: its successor is made, but the daemon is killed before it hears so.");
    let before = made(stage);
    stage.gate.fault(Fault::new(CREATE, FaultKind::Slow(SLOW)));
    stage.until("another token to be made", async |stage| Ok(made(stage) > before)).await?;
    stage.kill_daemon().await?;
    let lost = creates(stage).last().is_some_and(|create| create.status.is_none());
    stage.start_daemon().await?;
    stage
        .until("the rotation to be finished", async |stage| {
            Ok(shown(stage).await?["generation"].as_u64() > u64::try_from(before).ok())
        })
        .await?;
    Ok(lost)
}

/// No read came back without a value that the provider takes.
fn always_live(stage: &mut Stage, read: &Read) {
    let Read { given, in_file, away, failures, .. } = read;
    let first = failures.first().map(|first| format!(", such as: {first}")).unwrap_or_default();
    stage.check(
        "a live token at every read, across rotations and SIGKILLs",
        failures.is_empty() && *given > 50 && *in_file > 50,
        format!(
            "{given} reads of the daemon ({away} asked again while it was killed), {in_file} of \
             the file; without a live token: {}{first}",
            failures.len()
        ),
    );
}

/// The provider has made as many as were put into use.
fn no_orphans(stage: &mut Stage, shown: &Value, lost: bool) {
    let (made, generation) = (made(stage), &shown["generation"]);
    let as_many = generation.as_u64() == u64::try_from(made).ok();
    stage.check(
        "a create whose reply was lost makes no second token",
        lost && made >= 3 && as_many && shown["orphans"] == 0,
        format!("{made} tokens made for {generation} generations, reply lost: {lost}"),
    );
}

/// Each old token served beside its successor, then the provider was told to end it.
fn made_before_break(stage: &mut Stage, read: &Read) {
    let rotations = made(stage) - 1;
    let creates = creates(stage);
    let revoked: Vec<Recorded> = stage.gate.requests_to(REVOKE);
    let revoked: Vec<&Recorded> = revoked.iter().filter(|one| one.status == Some(200)).collect();
    let waits: Vec<Duration> = revoked
        .iter()
        .zip(creates.iter().skip(1))
        .map(|(end, next)| end.at.since(next.at))
        .collect();
    let old = read.values.iter().rev().skip(1);
    let refused = old.filter(|value| !stage.gate.admits_device(value)).count();
    let patient = waits.len() == rotations && waits.iter().all(|wait| *wait >= OVERLAP);
    stage.check(
        "the old token serves beside the new one, and then is revoked",
        read.beside == rotations && patient && refused == rotations,
        format!("revoked {waits:?} after their successors were made; devices refused: {refused}"),
    );
}

/// The command ran for each of them, and for none twice.
fn told_once(stage: &mut Stage) {
    let changes = std::fs::read_to_string(stage.path(CHANGES)).unwrap_or_default();
    let changes: Vec<&str> = changes.lines().collect();
    let each: Vec<String> = (1..=made(stage)).map(|generation| generation.to_string()).collect();
    stage.check(
        "on_change runs once for each token",
        changes == each,
        format!("for generations {}", changes.join(", ")),
    );
}

/// Waits until the file has the value in hand and its command has completed.
async fn told(stage: &mut Stage) -> Result<(), Failure> {
    stage
        .until("the token's file and the command that hears of it", async |stage| {
            let shown = shown(stage).await?;
            let sink = &shown["sinks"][0];
            let written = sink["generation"] == shown["generation"];
            Ok(written && sink["command"]["state"] == "completed")
        })
        .await
}

async fn shown(stage: &Stage) -> Result<Value, Failure> {
    stage.json(&["credentials", "show", NAME]).await
}

fn creates(stage: &Stage) -> Vec<Recorded> {
    stage.gate.requests_to(CREATE)
}

/// How many tokens the provider has made.
fn made(stage: &Stage) -> usize {
    let issued = stage.gate.counters().issued;
    issued.get(&Sort::Certificate).map_or(0, |one| usize::try_from(one.total).unwrap_or(usize::MAX))
}
