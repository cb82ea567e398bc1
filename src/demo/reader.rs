//! A program that needs the device token: it asks for it ten times a second, over the socket and in
//! the file, and takes each value to the provider, as a device would.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    config::{SOCKET, TOKEN},
    stage::Stage,
};
use crate::sandbox::Sandbox;

const PAUSE: Duration = Duration::from_millis(100);
/// Nobody who reads a token waits for longer.
const SILENCE: Duration = Duration::from_secs(5);
const VALUE: &str = "/v1/credentials/gate/certificate_request_token/value?min_ttl=0s&timeout=1s";

/// What the program has read.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// Values that the daemon gave.
    pub given: u32,
    /// Values that the file had.
    pub in_file: u32,
    /// How often nobody answered because the daemon had been killed.
    pub away: u32,
    /// The different values, as they came.
    pub values: Vec<String>,
    /// How many of them were still good when their successor came.
    pub beside: usize,
    /// Each read without a live value.
    pub failures: Vec<String>,
}

pub struct Reader {
    read: Arc<Mutex<Read>>,
    task: JoinHandle<()>,
}

impl Reader {
    pub fn start(stage: &Stage) -> Self {
        let read = Arc::default();
        let reading = Reading {
            gate: Arc::clone(&stage.gate),
            down: Arc::clone(&stage.down),
            socket: stage.path(SOCKET).into(),
            file: stage.path(TOKEN).into(),
            read: Arc::clone(&read),
        };
        Self { read, task: tokio::spawn(reading.go_on()) }
    }

    pub fn read(&self) -> Read {
        lock(&self.read).clone()
    }

    /// What it has read until its end.
    pub async fn end(self) -> Read {
        self.task.abort();
        // Only an abort ends it, unless it panicked: that is one read without a value.
        if self.task.await.is_err_and(|error| error.is_panic()) {
            lock(&self.read).failures.push("the reader panicked".to_owned());
        }
        lock(&self.read).clone()
    }
}

fn lock(read: &Mutex<Read>) -> MutexGuard<'_, Read> {
    read.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reading {
    gate: Arc<Sandbox>,
    down: Arc<AtomicBool>,
    socket: PathBuf,
    file: PathBuf,
    read: Arc<Mutex<Read>>,
}

impl Reading {
    async fn go_on(self) {
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look();
            self.ask().await;
        }
    }

    /// In the file, which is there whether a daemon is or not.
    fn look(&self) {
        let found = std::fs::read_to_string(&self.file);
        let mut read = lock(&self.read);
        match found {
            Ok(value) => {
                read.in_file += 1;
                self.use_it(&mut read, value, "in the file");
            }
            Err(error) => read.failures.push(format!("no value in the file: {error}")),
        }
    }

    /// Of the daemon. One that was killed meanwhile is asked again.
    async fn ask(&self) {
        let down = self.down.load(Ordering::Acquire);
        let answer = timeout(SILENCE, self.request()).await;
        let down = down || self.down.load(Ordering::Acquire);
        let mut read = lock(&self.read);
        match answer.map(|answer| answer.map(|answer| value(&answer))) {
            Ok(Ok(Ok(value))) => {
                read.given += 1;
                self.use_it(&mut read, value, "from the daemon");
            }
            Ok(Err(_)) if down => read.away += 1,
            Ok(Err(error)) => read.failures.push(format!("the daemon does not answer: {error}")),
            Ok(Ok(Err(refusal))) => read.failures.push(format!("no value: {refusal}")),
            Err(_) => read.failures.push(format!("no answer in {SILENCE:?}")),
        }
    }

    async fn request(&self) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        let request =
            format!("GET {VALUE} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        // Killed before it said anything.
        if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
    }

    fn use_it(&self, read: &mut Read, value: String, from: &str) {
        if !self.gate.admits_device(&value) {
            read.failures.push(format!("a dead value {from}"));
        }
        if read.values.contains(&value) {
            return;
        }
        let before = read.values.last().is_some_and(|before| self.gate.admits_device(before));
        read.beside += usize::from(before);
        read.values.push(value);
    }
}

/// The value in an answer, or the refusal.
fn value(answer: &str) -> Result<String, String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    match body["value"].as_str() {
        Some(value) if head.starts_with("HTTP/1.1 200 ") => Ok(value.to_owned()),
        _ => Err(format!("{} {body}", head.lines().next().unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_and_a_refusal_told() {
        let good = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"value\":\"x\"}";
        assert_eq!(value(good), Ok("x".to_owned()));
        let refused = "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"code\":\"timeout\"}";
        let told = r#"HTTP/1.1 503 Service Unavailable {"code":"timeout"}"#;
        assert_eq!(value(refused), Err(told.to_owned()));
        assert_eq!(value("HTTP/1.1 200 OK\r\n\r\n{"), Err("HTTP/1.1 200 OK null".to_owned()));
    }
}
