//! A daemon that answers what it is told to, and one run of the program against it.

use std::{
    collections::{HashMap, VecDeque},
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use serde_json::{Value, json};
use tokio::{net::UnixListener, sync::oneshot};

use crate::{cli, config::Env};

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// `GET /v1/jobs?state=dead`.
    pub line: String,
    pub body: String,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    retry_after: Option<u64>,
    body: String,
}

#[derive(Debug, Default)]
struct Script {
    /// By method and path; the last answer of a route is given again and again.
    answers: HashMap<String, VecDeque<Answer>>,
    asked: Vec<Asked>,
}

/// A daemon for one test.
pub(super) struct Fake {
    folder: tempfile::TempDir,
    script: Arc<Mutex<Script>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(super) struct Run {
    pub code: u8,
    pub out: String,
    pub err: String,
}

impl Fake {
    pub fn new() -> Self {
        let fake = Self {
            folder: tempfile::tempdir().unwrap(),
            script: Arc::default(),
            stop: None,
            thread: None,
        };
        fake.started()
    }

    /// Goes away as a daemon does: what it had to say next, it says when it is started again.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        std::fs::remove_file(self.socket()).unwrap();
    }

    pub fn started(mut self) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (socket, script) = (self.socket(), Arc::clone(&self.script));
        let (ready, is_ready) = std::sync::mpsc::channel();
        self.thread = Some(std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = UnixListener::bind(socket).unwrap();
                ready.send(()).unwrap();
                let app = Router::new().fallback(answer).with_state(script);
                tokio::select! {
                    _ = axum::serve(listener, app) => {}
                    _ = stopped => {}
                }
            });
        }));
        is_ready.recv().unwrap();
        self.stop = Some(stop);
        self
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("attendant.sock")
    }

    /// A file beside the socket.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Answers `route` (`GET /v1/kinds`, without a query) with this, after what it was told before.
    pub fn on(self, route: &str, status: u16, body: &Value) -> Self {
        self.answer(route, Answer { status, retry_after: None, body: body.to_string() })
    }

    pub fn on_text(self, route: &str, status: u16, body: &str) -> Self {
        self.answer(route, Answer { status, retry_after: None, body: body.to_owned() })
    }

    pub fn busy(self, route: &str, seconds: u64, body: &Value) -> Self {
        let retry_after = Some(seconds);
        self.answer(route, Answer { status: 503, retry_after, body: body.to_string() })
    }

    fn answer(self, route: &str, answer: Answer) -> Self {
        let mut script = self.script.lock().unwrap();
        script.answers.entry(route.to_owned()).or_default().push_back(answer);
        drop(script);
        self
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.script.lock().unwrap().asked.clone()
    }

    /// The lines of all requests.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    pub fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, "")
    }

    pub fn run_with(&self, args: &[&str], stdin: &str) -> Run {
        let socket = self.socket().display().to_string();
        run(args, &[("ATTENDANT_SOCKET", &socket)], stdin)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs the program in this process.
pub(super) fn run(args: &[&str], env: &[(&str, &str)], stdin: &str) -> Run {
    let (mut out, mut err) = (vec![], vec![]);
    let code = run_into(args, env, stdin, &mut out, &mut err);
    Run { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

pub(super) fn run_into(
    args: &[&str],
    env: &[(&str, &str)],
    stdin: &str,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let env: Env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let args = ["attendant"].iter().chain(args).map(OsString::from);
    cli::main(args, &env, &mut stdin.as_bytes(), out, err)
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let route = format!("{} {}", parts.method, parts.uri.path());
    let line = format!("{} {}", parts.method, parts.uri);
    let mut script = script.lock().unwrap();
    script.asked.push(Asked { line, body });
    let answer = match script.answers.get_mut(&route) {
        Some(answers) if answers.len() > 1 => answers.pop_front(),
        Some(answers) => answers.front().cloned(),
        None => None,
    };
    let answer = answer.unwrap_or_else(|| Answer {
        status: 404,
        retry_after: None,
        body: json!({"title": "Not found", "status": 404, "detail": format!("no {route}")})
            .to_string(),
    });
    let mut response = Response::builder().status(answer.status);
    if let Some(seconds) = answer.retry_after {
        response = response.header("retry-after", seconds);
    }
    response.body(Body::from(answer.body)).unwrap()
}

/// A reader that went away.
pub(super) struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
