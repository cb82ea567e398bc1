//! A provider that keeps certificate tokens: they are listed, created, deleted, live for a given
//! time, and its answers can be made to fail.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use attendant::{clock::Clock, types::Timestamp};
use axum::{
    Form, Json, Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde_json::{Map, Value, json};

use super::daemon::Site;

/// What is wrong with one answer.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Not carried out.
    Status(u16),
    /// Carried out; the answer breaks off.
    LostReply,
    /// Carried out at once; no answer comes.
    Hang,
    /// Carried out after this time, when nobody waits for an answer any more.
    Late(Duration),
}

#[derive(Debug, Clone)]
struct Token {
    value: String,
    created_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Debug, Default)]
struct Inner {
    life: Duration,
    tokens: Vec<Token>,
    /// When each was deleted.
    deleted: BTreeMap<String, Timestamp>,
    created: usize,
    /// Makes values distinct.
    serial: usize,
    requests: Vec<&'static str>,
    faults: BTreeMap<&'static str, VecDeque<Option<Fault>>>,
    sessions: Vec<String>,
    logged_out: Vec<String>,
}

/// The server, for as long as its test.
#[derive(Debug, Clone)]
pub struct Tokens {
    base_url: String,
    inner: Arc<Mutex<Inner>>,
}

impl Tokens {
    pub async fn start(life: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Inner { life, ..Inner::default() };
        let tokens = Self { base_url, inner: Arc::new(Mutex::new(inner)) };
        let router = Router::new()
            .route("/login", post(login))
            .route("/logout", post(logout))
            .route("/tokens", get(list))
            .route("/tokens/create", post(create))
            .route("/tokens/{value}", delete(revoke))
            .with_state(tokens.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        tokens
    }

    /// A site with an account of it, whose tokens overlap for so long.
    pub fn site(&self, overlap: &str) -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        site.write("key", "key");
        site.write("jobs.d/gate.toml", DEFINITION);
        site.configure(&format!(
            "[accounts.gate]\nprovider = \"gate\"\nbase_url = \"{}\"\nlimits = []\n\
             overlap = \"{overlap}\"\nsecrets.key = {{ file = \"key\" }}\n",
            self.base_url
        ));
        site
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// The next answers of `list`, `create` or `delete`; `None`: as it should be.
    pub fn fault(&self, route: &'static str, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.lock().faults.entry(route).or_default().extend(faults);
    }

    /// How many were ever created by requests.
    pub fn created(&self) -> usize {
        self.lock().created
    }

    pub fn requests_to(&self, route: &str) -> usize {
        self.lock().requests.iter().filter(|one| **one == route).count()
    }

    /// Somebody else creates one.
    pub fn create_other(&self) {
        self.make("other");
    }

    pub fn is_valid(&self, value: &str) -> bool {
        let inner = self.lock();
        inner.tokens.iter().any(|one| one.value == value && now() < one.expires_at)
    }

    pub fn deleted_at(&self, value: &str) -> Option<Timestamp> {
        self.lock().deleted.get(value).copied()
    }

    /// How many were deleted.
    pub fn deleted(&self) -> usize {
        self.lock().deleted.len()
    }

    pub fn logged_out(&self) -> Vec<String> {
        self.lock().logged_out.clone()
    }

    /// Ends all logins: requests with them are refused with 401.
    pub fn end_sessions(&self) {
        self.lock().sessions.clear();
    }

    fn make(&self, prefix: &str) -> Token {
        let mut inner = self.lock();
        inner.serial += 1;
        let value = format!("{prefix}-{}", inner.serial);
        let token = Token { value, created_at: now(), expires_at: now().plus(inner.life) };
        inner.tokens.push(token.clone());
        token
    }

    /// Counts a request, and says what is to be wrong with its answer.
    fn came(&self, route: &'static str, headers: &HeaderMap) -> Result<Option<Fault>, StatusCode> {
        let mut inner = self.lock();
        inner.requests.push(route);
        let known = headers.get("authorization").and_then(|value| value.to_str().ok());
        let known = known.and_then(|value| value.strip_prefix("Bearer "));
        if !inner.sessions.iter().any(|one| Some(one.as_str()) == known) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        match inner.faults.get_mut(route).and_then(VecDeque::pop_front).flatten() {
            Some(Fault::Status(status)) => Err(StatusCode::from_u16(status).unwrap()),
            fault => Ok(fault),
        }
    }
}

fn now() -> Timestamp {
    Clock::System.wall()
}

impl Token {
    fn json(&self) -> Value {
        json!({
            "token": self.value,
            "expires": self.expires_at.to_string(),
            "created_at": self.created_at.to_string(),
        })
    }
}

async fn login(State(tokens): State<Tokens>) -> Json<Value> {
    let mut inner = tokens.lock();
    inner.serial += 1;
    let access = format!("session-{}", inner.serial);
    inner.sessions.push(access.clone());
    Json(json!({"access_token": access, "expires_in": 3600}))
}

async fn logout(
    State(tokens): State<Tokens>,
    Form(form): Form<BTreeMap<String, String>>,
) -> StatusCode {
    let mut inner = tokens.lock();
    inner.sessions.retain(|one| *one != form["token"]);
    inner.logged_out.push(form["token"].clone());
    StatusCode::OK
}

async fn list(State(tokens): State<Tokens>, headers: HeaderMap) -> Response {
    let fault = match tokens.came("list", &headers) {
        Ok(fault) => fault,
        Err(status) => return status.into_response(),
    };
    let entries: Map<String, Value> = {
        let inner = tokens.lock();
        let live = inner.tokens.iter().filter(|one| now() < one.expires_at);
        live.enumerate().map(|(n, one)| (n.to_string(), one.json())).collect()
    };
    // As ControlByWeb's server language writes an empty object.
    let body = if entries.is_empty() { json!([]) } else { Value::Object(entries) };
    answer(fault, body).await
}

async fn create(State(tokens): State<Tokens>, headers: HeaderMap) -> Response {
    let fault = match tokens.came("create", &headers) {
        Ok(fault) => fault,
        Err(status) => return status.into_response(),
    };
    let make = move || {
        let made = tokens.make("token");
        tokens.lock().created += 1;
        made.json()
    };
    if let Some(Fault::Late(after)) = fault {
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            make();
        });
        return std::future::pending().await;
    }
    answer(fault, make()).await
}

async fn revoke(
    State(tokens): State<Tokens>,
    Path(value): Path<String>,
    headers: HeaderMap,
) -> Response {
    let fault = match tokens.came("delete", &headers) {
        Ok(fault) => fault,
        Err(status) => return status.into_response(),
    };
    let known = {
        let mut inner = tokens.lock();
        let before = inner.tokens.len();
        inner.tokens.retain(|one| one.value != value);
        let known = inner.tokens.len() < before;
        if known {
            inner.deleted.insert(value, now());
        }
        known
    };
    if !known {
        return StatusCode::NOT_FOUND.into_response();
    }
    answer(fault, json!({"message": "success"})).await
}

async fn answer(fault: Option<Fault>, body: Value) -> Response {
    match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::LostReply) => {
            let broken = io::Error::from(io::ErrorKind::ConnectionReset);
            let pieces = [Ok(body.to_string()[..2].to_owned()), Err(broken)];
            Body::from_stream(futures::stream::iter(pieces)).into_response()
        }
        _ => Json(body).into_response(),
    }
}

const DEFINITION: &str = r#"
provider = "gate"
title = "Device certificates"
timeout = "2s"
auth = { bearer = "{{ credentials.session }}" }
[secrets]
key = "Key"
[credentials.session]
shape = "exchange"
request = { method = "POST", path = "/login", form = { key = "{{ secrets.key }}" } }
value = "response.access_token"
expires_in = "response.expires_in"
revoke = { method = "POST", path = "/logout", form = { token = "{{ value }}" } }
[credentials.token]
shape = "rotate"
create = { method = "POST", path = "/tokens/create" }
value = "response.token"
expires_at = "response.expires"
list = { request = { path = "/tokens" }, items = "response", value = "item.token", created_at = "item.created_at", expires_at = "item.expires" }
revoke = { method = "DELETE", path = "/tokens/{{ value }}" }
[jobs.tokens]
shape = "call"
request = { path = "/tokens" }
"#;
