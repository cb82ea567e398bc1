//! Credentials: how fast they are read, and what it takes to renew many.

use std::{
    collections::HashMap,
    fmt::Write as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, anyhow, ensure};
use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    client::Client,
    measure::{Run, millis},
    plan,
    process::Process,
    world::{Durability, Files},
};

const DEFINITION: &str = r#"
provider = "bench"
title    = "Credentials of the benchmark"
params   = { client = { type = "string" } }

[credentials.token]
shape      = "exchange"
request    = { method = "POST", path = "/token", json = { client = "params.client" } }
value      = "response.access_token"
expires_in = "response.expires_in"
"#;

const VALUE: &str = "/v1/credentials/c0/token/value";
/// The renewals are due from so long after they were dated: that takes seconds for many, and so does
/// the start.
const LEAD: Duration = Duration::from_secs(20);
const WITHIN: Duration = Duration::from_mins(1);
/// What the last renewals that are due may take.
const ALLOWANCE: Duration = Duration::from_secs(5);

/// A token endpoint that notes when each client came last.
#[derive(Clone, Default)]
struct Provider(Arc<Mutex<HashMap<String, Vec<i64>>>>);

impl Provider {
    async fn start(&self) -> Result<String> {
        let app = Router::new().route("/token", post(token)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(format!("http://{address}"))
    }

    fn came(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<i64>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits until that many clients came at least `times`.
    async fn wait(&self, clients: usize, times: usize) -> Result<()> {
        let begun = Instant::now();
        while self.came().values().filter(|came| came.len() >= times).count() < clients {
            ensure!(begun.elapsed() < WITHIN * 3, "the renewals did not come");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

async fn token(State(provider): State<Provider>, Json(body): Json<Value>) -> Json<Value> {
    let client = body["client"].as_str().unwrap_or_default().to_owned();
    let mut came = provider.came();
    let times = came.entry(client.clone()).or_default();
    times.push(wall_ms());
    let access_token = format!("{client}-{}-{}", times.len(), "x".repeat(40));
    Json(json!({ "access_token": access_token, "expires_in": 36_000 }))
}

#[allow(clippy::disallowed_methods)] // a provider has a clock of its own
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn accounts(n: usize, base_url: &str) -> String {
    let mut text = String::new();
    for n in 0..n {
        let _ = write!(
            text,
            "[accounts.c{n}]\nprovider = \"bench\"\nbase_url = \"{base_url}\"\n\
             params.client = \"c{n}\"\n"
        );
    }
    text
}

/// Reads of one value over the socket, as programs do that ask before each request of theirs.
#[tokio::main]
pub async fn reads(clients: usize, durability: Durability) -> Result<Run> {
    let provider = Provider::default();
    let base_url = provider.start().await?;
    let files = Files::with(durability, DEFINITION, &accounts(1, &base_url))?;
    let process = Process::start(&files).await?;
    provider.wait(1, 1).await?;
    let n = plan::jobs() * 5;
    let socket = files.socket();
    let thread = std::thread::spawn(move || read_all(&socket, clients, n));
    let (taken, samples) = tokio::task::spawn_blocking(move || thread.join())
        .await?
        .map_err(|_| anyhow!("the clients panicked"))??;
    ensure!(samples.len() == n, "{} of {n} reads were answered", samples.len());
    let run = Run::new(&format!("tokens-{clients}"), "attendant", n).rate(taken);
    let run = describe(run.latencies(samples), &files).await?;
    process.stop()?;
    Ok(run)
}

#[tokio::main(flavor = "current_thread")]
async fn read_all(
    socket: &Path,
    clients: usize,
    count: usize,
) -> Result<(Duration, Vec<Duration>)> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connected = vec![];
    for _ in 0..clients {
        connected.push(Client::connect(socket).await?);
    }
    let begun = Instant::now();
    let tasks: Vec<_> = connected
        .into_iter()
        .map(|client| tokio::spawn(read_some(client, Arc::clone(&next), count)))
        .collect();
    let mut samples = vec![];
    for task in tasks {
        samples.extend(task.await??);
    }
    Ok((begun.elapsed(), samples))
}

async fn read_some(
    mut client: Client,
    next: Arc<AtomicUsize>,
    count: usize,
) -> Result<Vec<Duration>> {
    let mut samples = vec![];
    while next.fetch_add(1, Ordering::Relaxed) < count {
        let asked = Instant::now();
        let (status, body) = client.get(VALUE).await?;
        samples.push(asked.elapsed());
        let said = String::from_utf8_lossy(&body);
        ensure!(status == 200 && said.contains("\"c0-1-x"), "{VALUE} answered {status}: {said}");
    }
    Ok(samples)
}

/// Many accounts with one credential each, all due within one minute.
#[tokio::main]
pub async fn renewals(durability: Durability) -> Result<Run> {
    let n = plan::credentials();
    let provider = Provider::default();
    let base_url = provider.start().await?;
    let files = Files::with(durability, DEFINITION, &accounts(n, &base_url))?;
    let process = Process::start(&files).await?;
    provider.wait(n, 1).await?;
    process.stop()?;

    let due = spread(&files.database()).await?;
    ensure!(due.len() == n, "{} of {n} credentials are in the database", due.len());
    let first = due.values().copied().min().unwrap_or_default();
    let process = Process::start(&files).await?;
    let ready = process.ready;
    let early = provider.came().values().filter(|came| came.len() > 1).count();
    ensure!(early == 0, "{early} renewals came before they were due");
    ensure!(wall_ms() < first, "the daemon was not ready before the first renewal: {ready:?}");
    let before = process.cpu()?;
    provider.wait(n, 2).await?;
    let (cpu, memory) = (process.cpu()? - before, process.memory()?);
    process.stop()?;

    let (late, last) = lateness(&provider, &due)?;
    let over = last - due.values().copied().max().unwrap_or_default();
    ensure!(
        over <= measure_ms(ALLOWANCE),
        "the last renewal came {over} ms after the last one was due; {ALLOWANCE:?} are allowed"
    );
    let run = Run::new("renewals", "attendant", n).latencies(late);
    #[allow(clippy::cast_precision_loss)] // a minute
    let window = (last - first) as f64 / 1_000.0;
    let run = run.with("all_done_s", window).with("cpu_s", cpu).with("rss_mib", memory);
    describe(run.with("ready_ms", millis(ready)), &files).await
}

async fn open(database: &Path) -> Result<SqliteConnection> {
    Ok(SqliteConnectOptions::new().filename(database).connect().await?)
}

/// Spreads the renewals over a minute, as if so they had come to be; when each is due.
async fn spread(database: &Path) -> Result<HashMap<String, i64>> {
    let mut connection = open(database).await?;
    let begin = wall_ms() + measure_ms(LEAD);
    sqlx::query("UPDATE jobs SET ready = 0, run_at = ? + (seq * 7919) % ? WHERE state = 0")
        .bind(begin)
        .bind(measure_ms(WITHIN))
        .execute(&mut connection)
        .await?;
    sqlx::query(
        "UPDATE credentials SET renew_at =
           (SELECT run_at FROM jobs WHERE jobs.queue = credentials.queue)",
    )
    .execute(&mut connection)
    .await?;
    let rows = sqlx::query(
        "SELECT account, renew_at FROM credentials JOIN queues ON queues.id = credentials.queue",
    )
    .fetch_all(&mut connection)
    .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn measure_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How long after it was due each renewal was asked for, and when the last one was. Each must have
/// come once, and none too early.
fn lateness(provider: &Provider, due: &HashMap<String, i64>) -> Result<(Vec<Duration>, i64)> {
    let came = provider.came();
    let (mut late, mut last) = (vec![], 0);
    for (client, due) in due {
        let times = came.get(client).map_or(&[][..], Vec::as_slice);
        ensure!(times.len() == 2, "{client} came {} times", times.len());
        ensure!(times[1] >= *due, "{client} came {} ms early", due - times[1]);
        late.push(Duration::from_millis(u64::try_from(times[1] - due)?));
        last = last.max(times[1]);
    }
    Ok((late, last))
}

/// What the database says of itself, from a connection of its own.
async fn describe(mut run: Run, files: &Files) -> Result<Run> {
    let mut connection = open(&files.database()).await?;
    let row =
        sqlx::query("SELECT sqlite_version(), (SELECT journal_mode FROM pragma_journal_mode)")
            .fetch_one(&mut connection)
            .await?;
    run.sqlite = row.get(0);
    run.durability = row.get(1);
    Ok(run)
}
