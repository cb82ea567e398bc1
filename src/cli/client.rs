//! The HTTP API over the daemon's socket.

use std::{
    cell::Cell,
    error::Error as _,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{RequestBuilder, Response, header};
use serde_json::{Value, json};

use super::exit::{Exit, Failure};

/// A daemon that says nothing for so long is stuck. Longer than any wait asked of it.
const SILENCE: Duration = Duration::from_secs(90);

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Parameters of a query.
pub(super) type Query<'a> = [(&'a str, String)];

/// An answer that is no refusal.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    pub body: Bytes,
}

impl Reply {
    pub fn value(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::not_so(format!("the daemon's answer is not JSON ({error}): is it a daemon?"))
        })
    }
}

/// A connection to one daemon.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    socket: PathBuf,
    met: Cell<bool>,
}

impl Client {
    pub fn new(socket: PathBuf) -> Result<Self, Failure> {
        let http = builder(&socket)?.read_timeout(SILENCE).build().map_err(no_client)?;
        Ok(Self { http, socket, met: Cell::new(false) })
    }

    /// For what takes the daemon as long as it takes.
    pub async fn post_and_wait(&self, path: &str) -> Result<Reply, Failure> {
        let http = builder(&self.socket)?.build().map_err(no_client)?;
        whole(self.send(http.post(url(path)).json(&json!({}))).await?, self).await
    }

    /// Whether there was a daemon at any time: one that is away now is then restarting.
    pub const fn has_met(&self) -> bool {
        self.met.get()
    }

    pub async fn get(&self, path: &str, query: &Query<'_>) -> Result<Reply, Failure> {
        whole(self.send(self.http.get(url(path)).query(query)).await?, self).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply, Failure> {
        whole(self.send(self.http.post(url(path)).json(body)).await?, self).await
    }

    /// Lines of JSON, answered with lines of JSON.
    pub async fn post_lines(&self, path: &str, lines: Vec<u8>) -> Result<Reply, Failure> {
        let request = self.http.post(url(path)).body(lines);
        let request = request.header(header::CONTENT_TYPE, "application/x-ndjson");
        whole(self.send(request).await?, self).await
    }

    /// An answer whose body is yet to be read.
    pub async fn open(&self, path: &str) -> Result<Response, Failure> {
        self.send(self.http.get(url(path))).await
    }

    /// The same for a request with a body, which takes the daemon as long as it takes.
    pub async fn post_and_open(&self, path: &str, body: &Value) -> Result<Response, Failure> {
        let http = builder(&self.socket)?.build().map_err(no_client)?;
        self.send(http.post(url(path)).json(body)).await
    }

    /// The next part of a body; `None` at its end.
    pub async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, Failure> {
        response.chunk().await.map_err(|error| self.broken(&error))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let sent = request.send().await;
        if !sent.as_ref().is_err_and(reqwest::Error::is_connect) {
            self.met.set(true);
        }
        let response = sent.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.bytes().await.map_err(|error| self.broken(&error))?;
        Err(Failure::Problem { status, problem: problem(status, &body), retry_after })
    }

    /// Why there is no answer at all.
    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let kind = io_kind(error);
        let socket = self.socket.display();
        if kind == Some(io::ErrorKind::PermissionDenied) {
            return Failure::Said(
                Exit::Refused,
                format!(
                    "no permission to use the socket {socket}: run this as the daemon's user or \
                     root, or be let in: by [[api.allow]] in the configuration, the mode and group \
                     of the socket, and the folder that it is in"
                ),
            );
        }
        if !error.is_connect() {
            return self.broken(error);
        }
        let what = match kind {
            Some(io::ErrorKind::NotFound) => format!("there is no socket {socket}"),
            Some(io::ErrorKind::ConnectionRefused) => {
                format!("nothing listens on the socket {socket}")
            }
            _ => format!("the socket {socket} cannot be used ({})", root_cause(error)),
        };
        Failure::Said(
            Exit::Unreachable,
            format!(
                "{what}: start the daemon with `attendant run`, or name another socket with \
                 --socket or $ATTENDANT_SOCKET"
            ),
        )
    }

    /// The daemon was there, but its answer did not come whole.
    fn broken(&self, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() {
            format!("said nothing for {SILENCE:?}")
        } else {
            format!("broke off ({})", root_cause(error))
        };
        Failure::Said(
            Exit::Unreachable,
            format!(
                "the daemon on {} {why} before its answer was complete: what was asked of it may \
                 have been done",
                self.socket.display()
            ),
        )
    }
}

fn builder(socket: &Path) -> Result<reqwest::ClientBuilder, Failure> {
    Ok(reqwest::Client::builder()
        .unix_socket(socket.to_owned())
        .tls_backend_preconfigured(no_tls()?)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("attendant/", env!("CARGO_PKG_VERSION"))))
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` gives it
fn no_client(error: reqwest::Error) -> Failure {
    Failure::not_so(format!("no HTTP client: {error}"))
}

/// A path of the API; every part becomes one segment.
pub(super) fn path(parts: &[&str]) -> String {
    parts.iter().fold("/v1".to_owned(), |path, part| {
        format!("{path}/{}", utf8_percent_encode(part, SEGMENT))
    })
}

fn url(path: &str) -> String {
    format!("http://attendant{path}")
}

async fn whole(response: Response, client: &Client) -> Result<Reply, Failure> {
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(|error| client.broken(&error))?;
    Ok(Reply { status, body })
}

/// The API's problem document, or one made of an answer that is none.
fn problem(status: u16, body: &[u8]) -> Value {
    serde_json::from_slice(body).ok().filter(Value::is_object).unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        let text = text.trim().chars().take(200).collect::<String>();
        let detail = if text.is_empty() { String::new() } else { format!(": {text}") };
        json!({
            "type": "about:blank", "status": status,
            "detail": format!("the daemon answered {status}{detail}"),
        })
    })
}

/// A socket carries no TLS; the default settings would read the system's certificates at each
/// start, which takes longer than most commands.
fn no_tls() -> Result<rustls::ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::not_so(format!("no HTTP client: {error}")))?;
    Ok(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_stay_one_segment() {
        assert_eq!(path(&["jobs", "a/b?c", "report.pdf"]), "/v1/jobs/a%2Fb%3Fc/report.pdf");
    }

    #[test]
    fn an_answer_that_is_no_problem_document_becomes_one() {
        let made = problem(502, b"<html>");
        assert_eq!(made["detail"], "the daemon answered 502: <html>");
        assert_eq!(problem(422, br#"{"title":"x"}"#), json!({"title": "x"}));
    }
}
