//! Clients of the API: kept-alive HTTP/1.1 connections over the Unix socket.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

pub struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub async fn connect(socket: &Path) -> Result<Self> {
        let stream = TokioIo::new(UnixStream::connect(socket).await?);
        let (sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// The status and the whole body.
    pub async fn post(
        &mut self,
        path: &'static str,
        content_type: &'static str,
        body: String,
    ) -> Result<(u16, Bytes)> {
        let request = Request::post(path)
            .header("host", "localhost")
            .header("content-type", content_type)
            .body(Full::new(Bytes::from(body)))?;
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// The status and the whole body.
    pub async fn get(&mut self, path: &'static str) -> Result<(u16, Bytes)> {
        let request = Request::get(path).header("host", "localhost").body(Full::default())?;
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    pub async fn post_json(&mut self, path: &'static str, body: String) -> Result<Bytes> {
        let (status, answer) = self.post(path, "application/json", body).await?;
        ensure!(status == 201, "{path} answered {status}: {}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }
}

/// What many clients send: `count` requests, the nth of them made by `body`.
#[derive(Clone)]
pub struct Load {
    pub clients: usize,
    pub count: usize,
    pub path: &'static str,
    pub content_type: &'static str,
    pub status: u16,
    pub body: fn(usize) -> String,
}

impl Load {
    /// Runs the clients on a thread of their own; the time from the first request to the last
    /// answer, and all answers.
    pub async fn run(self, socket: PathBuf) -> Result<(Duration, Vec<Bytes>)> {
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(self.send_all(&socket))
        });
        tokio::task::spawn_blocking(move || thread.join())
            .await?
            .map_err(|_| anyhow!("the clients panicked"))?
    }

    async fn send_all(self, socket: &Path) -> Result<(Duration, Vec<Bytes>)> {
        let mut clients = vec![];
        for _ in 0..self.clients {
            clients.push(Client::connect(socket).await?);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let tasks: Vec<_> = clients
            .into_iter()
            .map(|client| tokio::spawn(self.clone().send_some(client, Arc::clone(&next))))
            .collect();
        let mut answers = Vec::with_capacity(self.count);
        for task in tasks {
            answers.extend(task.await??);
        }
        Ok((begun.elapsed(), answers))
    }

    async fn send_some(self, mut client: Client, next: Arc<AtomicUsize>) -> Result<Vec<Bytes>> {
        let mut answers = vec![];
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= self.count {
                return Ok(answers);
            }
            let (status, answer) =
                client.post(self.path, self.content_type, (self.body)(n)).await?;
            ensure!(
                status == self.status,
                "{} answered {status}: {}",
                self.path,
                String::from_utf8_lossy(&answer)
            );
            answers.push(answer);
        }
    }
}
