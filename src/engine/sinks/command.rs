//! `attendant.on_change`: an attempt at a sink's command.

use std::{sync::atomic::Ordering, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Hand,
    process::{self, End, Ran},
    redact,
};
use crate::{
    config, crash,
    credentials::sink::words_in,
    engine::{Engine, attempt::open, shapes::Outcome},
    policy::{
        codes::Code,
        settle::{AttemptEnd, Retry},
    },
    store::ClaimedJob,
    telemetry::events::{Event, Name, emit},
    types::Timestamp,
};

/// Where programs are looked for by those that the command starts.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A job whose sink is still busy with an older one looks again so soon.
const BUSY: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
struct Args {
    account: String,
    credential: String,
    file: String,
    generation: i64,
    expires_at: Option<Timestamp>,
}

/// Runs the command, unless a newer generation has overtaken it.
pub(in crate::engine) async fn attempt(
    engine: &Engine,
    job: &ClaimedJob,
    stop: &CancellationToken,
) -> Outcome {
    if engine.is_draining() {
        return Outcome::of(AttemptEnd::Released);
    }
    let payload = match open(engine, job) {
        Ok(payload) => payload,
        Err(outcome) => return *outcome,
    };
    let Ok(args) = serde_json::from_value::<Args>(Value::Object(payload.args)) else {
        return Outcome::failed(
            Code::Internal,
            Retry::Never,
            "its arguments are not those of a command",
        );
    };
    let Some(hand) = engine.sinks.find(&args.account, &args.credential, &args.file) else {
        return over("no sink writes this file any more");
    };
    if let Some(newer) = overtaken(&hand, args.generation) {
        return over(&newer);
    }
    if hand.busy.swap(true, Ordering::AcqRel) {
        let until = engine.clock.wall().plus(BUSY);
        return Outcome::of(AttemptEnd::Gated { code: Code::Held, until });
    }
    let _busy = Busy(&hand);
    let sink = hand.sink();
    if sink.on_change.is_empty() {
        return over("the sink has no command any more");
    }
    tell_started(job, &args);
    let mut secrets = secrets(engine, &hand, &sink).await;
    let ran = run(&sink, &args, stop).await;
    // A value that came meanwhile may have been printed too.
    secrets.extend(self::secrets(engine, &hand, &sink).await);
    // With thousands of accounts that takes a while. What cannot be tidied is not kept.
    let Ran { end, output } = ran;
    let tidied = tokio::task::spawn_blocking(move || redact::tidy(&output, &secrets)).await;
    let output = tidied.unwrap_or_default();
    outcome(end, &output, &sink, overtaken(&hand, args.generation))
}

/// Free again however the attempt ends.
struct Busy<'a>(&'a Hand);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// There is nothing to do any more, which is nobody's failure.
fn over(words: &str) -> Outcome {
    Outcome { words: Some(words.to_owned()), ..Outcome::of(AttemptEnd::Cancelled) }
}

/// The command of a newer generation is stored.
fn overtaken(hand: &Hand, generation: i64) -> Option<String> {
    let newer = hand.state().row.as_ref().map(|row| row.generation);
    let newer = newer.filter(|newer| *newer > generation)?;
    Some(format!("generation {newer} has taken the place of {generation}"))
}

/// All secrets of all accounts, all credentials, and what the file has or had.
async fn secrets(engine: &Engine, hand: &Hand, sink: &config::Sink) -> Vec<SecretString> {
    let catalog = engine.catalog();
    let mut secrets: Vec<SecretString> =
        catalog.accounts.values().flat_map(|one| one.secrets.values()).cloned().collect();
    secrets.extend(engine.credentials.held().iter().flat_map(|cell| cell.all_secrets()));
    let queues = catalog.accounts.values().map(|account| account.queue);
    secrets.extend(queues.flat_map(|queue| engine.changes.values(queue)));
    secrets.extend(hand.state().value.clone());
    let file = sink.file.clone();
    let words = tokio::task::spawn_blocking(move || words_in(&file)).await;
    secrets.extend(words.unwrap_or_default());
    secrets.retain(|secret| !secret.expose_secret().is_empty());
    secrets
}

async fn run(sink: &config::Sink, args: &Args, stop: &CancellationToken) -> Ran {
    let mut env = vec![
        ("PATH", PATH.to_owned()),
        ("ATTENDANT_ACCOUNT", args.account.clone()),
        ("ATTENDANT_CREDENTIAL", args.credential.clone()),
        ("ATTENDANT_FILE", args.file.clone()),
        ("ATTENDANT_GENERATION", args.generation.to_string()),
    ];
    // Not set where nobody knows.
    env.extend(args.expires_at.map(|at| ("ATTENDANT_EXPIRES_AT", at.to_string())));
    process::run(&sink.on_change, &env, sink.timeout, stop, || crash::point("on_change")).await
}

fn outcome(end: End, output: &str, sink: &config::Sink, newer: Option<String>) -> Outcome {
    let program = sink.on_change.first().map_or("", String::as_str);
    let (code, words) = match end {
        End::Exited(status) if status.success() => {
            return Outcome {
                words: Some(output.to_owned()),
                result: Some(json!({ "output": output })),
                ..Outcome::of(AttemptEnd::Done)
            };
        }
        End::Stopped => return Outcome::of(AttemptEnd::Released),
        End::Exited(status) => (Code::Command, format!("{program} ended with {status}")),
        End::TimedOut => {
            let limit = humantime::format_duration(sink.timeout);
            (Code::Timeout, format!("{program} did not end within {limit} and was killed"))
        }
        End::NotStarted(error) => (Code::Command, format!("{program} cannot be started: {error}")),
    };
    if let Some(newer) = newer {
        return over(&format!("{words}; {newer}"));
    }
    let words = if output.is_empty() { words } else { format!("{words}; it said:\n{output}") };
    Outcome::failed(code, Retry::Yes { counts_error: true }, words)
}

fn tell_started(job: &ClaimedJob, args: &Args) {
    emit(
        Name::JobAttemptStarted,
        &Event {
            job_id: Some(job.id),
            kind: Some(crate::engine::catalog::ON_CHANGE),
            account: Some(&args.account),
            credential: Some(&args.credential),
            attempt: Some(job.attempt + 1),
            generation: Some(job.generation),
            ..Event::default()
        },
    );
}
