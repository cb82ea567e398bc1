//! One look at one sink: its file, its command's job, and what is stored of both.

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{Hand, Trouble};
use crate::{
    clock,
    config::OnExpire,
    crash,
    credentials::{
        cell::{Cell, Held},
        seal,
        sink::{
            Target,
            template::{self, Facts as Filling},
        },
        vault::{self, Part, Payload},
    },
    engine::{Engine, catalog::ON_CHANGE, holds::stored_priority},
    policy::{
        outage::repeats,
        settle::MAX_ERRORS,
        sink::{self, Facts, Failed, REMOVAL, Step},
    },
    store::{Enqueued, NewJob, SinkRow, StoreError},
    telemetry::events::{Event, Name, emit, hush},
    types::{Generation, JobId, Timestamp},
};

/// Brings a sink up to date; when to look again.
pub(super) async fn round(engine: &Engine, hand: &Hand) -> Option<Timestamp> {
    let sink = hand.sink();
    let cell = engine.credentials.cell(hand.queue, &sink.credential)?;
    loop {
        // A step is followed before it is taken for an expiry.
        let now = engine.mind_clock().await.map_or_else(|_| engine.clock.wall(), |now| now.wall);
        let held = cell.held(now, std::time::Duration::ZERO);
        let mut facts = facts(hand, &cell, held.as_ref(), now);
        facts.remove_on_expiry &= !engine.clock_is_doubtful();
        let (done, of) = match (sink::next(&facts, now), &held) {
            (Step::HandOver(generation), Some(held)) => {
                (hand_over(engine, hand, held).await, generation)
            }
            (Step::Remove, _) => (remove(hand).await, REMOVAL),
            (Step::Wait(until), _) => return until,
            (Step::HandOver(_), None) => return None,
        };
        if let Err(words) = done {
            failed(hand, of, words, engine.clock.wall());
        }
    }
}

fn facts(hand: &Hand, cell: &Cell, held: Option<&Held>, now: Timestamp) -> Facts {
    let state = hand.state();
    Facts {
        usable: held.map(|held| held.generation),
        expires_at: cell.view(now).expires_at,
        remove_on_expiry: hand.sink().on_expire == OnExpire::Remove,
        in_file: state.in_file,
        handed: state.row.as_ref().filter(|_| !state.again).map(|row| row.generation),
        removed: state.removed,
        failed: state.trouble.as_ref().map(|trouble| trouble.failed),
    }
}

async fn hand_over(engine: &Engine, hand: &Hand, held: &Held) -> Result<(), String> {
    let sink = hand.sink();
    if hand.state().in_file != Some(held.generation) {
        let written = write(hand, held).await?;
        let mut state = hand.state();
        // Also where nothing was stored yet of a change that somebody else made.
        state.again |= written;
        (state.in_file, state.removed) = (Some(held.generation), false);
        state.value = Some(held.value.clone());
        drop(state);
        crash::point("sink_written");
        if written {
            tell(hand, Name::SinkWritten, Some(held.generation), None, None);
        }
    }
    let handed = {
        let state = hand.state();
        let row = state.row.as_ref().filter(|_| !state.again);
        row.is_some_and(|row| row.generation == held.generation)
    };
    if !handed {
        let job = match sink.on_change.as_slice() {
            [] => None,
            _ => Some(command(engine, hand, held).await?),
        };
        crash::point("sink_handed");
        keep(engine, hand, held.generation, job).await.map_err(|error| error.to_string())?;
    }
    hand.state().trouble = None;
    Ok(())
}

/// Writes the file; where nobody has looked at it since the start, only if it differs. Whether it
/// was written.
async fn write(hand: &Hand, held: &Held) -> Result<bool, String> {
    let sink = hand.sink();
    let filling = Filling {
        value: &held.value,
        expires_at: held.expires_at,
        account: &hand.account,
        name: &sink.credential,
        generation: held.generation,
    };
    let content = template::render(&sink.template, &filling)
        .map_err(|why| format!("{}: its template does not work: {why}", sink.file.display()))?;
    let first_look = hand.state().in_file.is_none();
    let target = Target::from(&*sink);
    let writing = tokio::task::spawn_blocking(move || {
        let content = content.expose_secret().as_bytes();
        if first_look && target.holds(content)? {
            return Ok(false);
        }
        target.write(content).map(|()| true)
    });
    joined(writing.await)
}

async fn remove(hand: &Hand) -> Result<(), String> {
    let target = Target::from(&*hand.sink());
    let removed = joined(tokio::task::spawn_blocking(move || target.remove()).await)?;
    {
        let mut state = hand.state();
        (state.removed, state.in_file, state.trouble) = (true, None, None);
    }
    if removed {
        let words = "its value expired without a successor";
        tell(hand, Name::SinkRemoved, None, Some(words), None);
    }
    Ok(())
}

fn joined<T>(
    ended: Result<Result<T, crate::credentials::sink::SinkError>, tokio::task::JoinError>,
) -> Result<T, String> {
    match ended {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("writing it panicked: a fault of this program; its log has the place".into()),
    }
}

/// Stores the job that runs the command for this generation, unless it is stored already.
async fn command(engine: &Engine, hand: &Hand, held: &Held) -> Result<JobId, String> {
    let (job, id) = command_job(engine, hand, held)?;
    let words = |error: StoreError| error.to_string();
    let stored = engine.store.enqueue(vec![job]).await.map_err(words)?;
    let id = if let Some(Enqueued::Live { id } | Enqueued::SameKey { id, .. }) = stored.first() {
        *id
    } else {
        tell_enqueued(engine, hand, id);
        id
    };
    engine.wake.ready(engine.catalog().local());
    Ok(id)
}

fn command_job(engine: &Engine, hand: &Hand, held: &Held) -> Result<(NewJob, JobId), String> {
    let catalog = engine.catalog();
    let kind = catalog.kind_id(ON_CHANGE).ok_or("the kind of commands has no number")?;
    let (sink, now) = (hand.sink(), engine.clock.wall());
    let (id, salt) = (clock::new_job_id(now), seal::new_salt());
    let args = json!({
        "account": hand.account,
        "credential": sink.credential,
        "file": sink.file.display().to_string(),
        "generation": held.generation,
        "expires_at": held.expires_at,
    });
    let args = args.as_object().cloned().unwrap_or_default();
    let payload = Payload { args, ..Payload::default() };
    let job = NewJob {
        id,
        queue: catalog.local(),
        kind,
        priority: stored_priority(0),
        run_at: now,
        ready: true,
        max_errors: MAX_ERRORS,
        deadline: None,
        created_at: now,
        created_by: engine.actor,
        salt: Some(salt),
        family: None,
        args: vault::seal_json(&engine.vault.chain(&salt), id, Part::Args, &payload),
        uniq: Some(uniq(engine, hand, held.generation)),
        key: None,
        tags: vec![format!("{}/{}", hand.account, sink.credential)],
    };
    Ok((job, id))
}

/// The internal key of the job of one generation.
fn uniq(engine: &Engine, hand: &Hand, generation: i64) -> [u8; 16] {
    let sink = hand.sink();
    let file = sink.file.display().to_string();
    let parts: [&[u8]; 4] = [
        hand.account.as_bytes(),
        sink.credential.as_bytes(),
        file.as_bytes(),
        &generation.to_be_bytes(),
    ];
    engine.vault.hash("on_change", &parts)
}

/// Stores that a generation was handed over.
async fn keep(
    engine: &Engine,
    hand: &Hand,
    generation: i64,
    job: Option<JobId>,
) -> Result<(), StoreError> {
    let sink = hand.sink();
    let row = SinkRow {
        queue: hand.queue,
        credential: sink.credential.clone(),
        file: sink.file.display().to_string(),
        generation,
        at: engine.clock.wall(),
        job,
    };
    engine.store.save_sink(row.clone()).await?;
    let before = {
        let mut state = hand.state();
        state.again = false;
        state.row.replace(row)
    };
    if let Some(before) = before.filter(|before| before.generation != generation) {
        overtake(engine, hand, before.generation).await;
    }
    Ok(())
}

/// Wakes the command of an older generation, if it waits, so that it sees that it was overtaken and
/// ends. If this fails it does so when it is due.
async fn overtake(engine: &Engine, hand: &Hand, generation: i64) {
    let local = engine.catalog().local();
    let older = engine.store.live_job(local, uniq(engine, hand, generation)).await;
    if let Ok(Some(older)) = older
        && engine.store.reschedule(older.seq, engine.clock.wall(), true).await.is_ok()
    {
        engine.wake.ready(local);
    }
}

fn failed(hand: &Hand, of: i64, words: String, now: Timestamp) {
    let trouble = {
        let mut state = hand.state();
        let failures = state.trouble.as_ref().map_or(0, |trouble| trouble.failures) + 1;
        let retry_at = now.plus(sink::wait(failures));
        let failed = Failed { generation: of, retry_at };
        let trouble = Trouble { failed, failures, words, at: now };
        state.trouble = Some(trouble.clone());
        trouble
    };
    let generation = (of != REMOVAL).then_some(of);
    let retry_at = Some(trouble.failed.retry_at);
    let words = match trouble.failures {
        1 => trouble.words,
        failures => format!("{} (the {failures}th time in a row)", trouble.words),
    };
    let name = Name::SinkFailing;
    let telling = if repeats(trouble.failures) { hush } else { emit };
    tell_with(telling, hand, (name, generation), Some(&words), retry_at);
}

fn tell(
    hand: &Hand,
    name: Name,
    generation: Option<i64>,
    words: Option<&str>,
    next: Option<Timestamp>,
) {
    tell_with(emit, hand, (name, generation), words, next);
}

fn tell_with(
    telling: fn(Name, &Event<'_>),
    hand: &Hand,
    (name, generation): (Name, Option<i64>),
    words: Option<&str>,
    next: Option<Timestamp>,
) {
    let sink = hand.sink();
    let file = sink.file.display().to_string();
    let detail = match words {
        // Most words name the file themselves.
        Some(words) if words.contains(&file) => words.to_owned(),
        Some(words) => format!("{file}: {words}"),
        None => file,
    };
    telling(
        name,
        &Event {
            account: Some(&hand.account),
            credential: Some(&sink.credential),
            generation: generation.map(Generation),
            next_run_at: next,
            error_code: (name == Name::SinkFailing).then_some("sink_failed"),
            detail: Some(&detail),
            ..Event::default()
        },
    );
}

fn tell_enqueued(engine: &Engine, hand: &Hand, id: JobId) {
    let sink = hand.sink();
    emit(
        Name::JobEnqueued,
        &Event {
            job_id: Some(id),
            kind: Some(ON_CHANGE),
            account: Some(&hand.account),
            credential: Some(&sink.credential),
            next_run_at: Some(engine.clock.wall()),
            actor: Some("attendant"),
            ..Event::default()
        },
    );
}
