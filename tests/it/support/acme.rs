//! A provider that exists nowhere: logins by password, refresh tokens that rotate, a password that
//! can be changed. What it does can be changed at any time; what it was asked is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::daemon::Site;

pub const DEFINITION: &str = r#"
provider = "acme"
title    = "Acme"
auth     = { bearer = "{{ credentials.access_token }}" }

[secrets]
user  = "User"
pass  = "Password"
given = { title = "A token from the portal", optional = true }

[credentials.access_token]
shape = "exchange"

[[credentials.access_token.alternatives]]
given = "{{ secrets.given }}"

[[credentials.access_token.alternatives]]
request       = { method = "POST", path = "/refresh", json = { token = "refresh_token" } }
value         = "response.token"
refresh_token = "response.refresh"
expires_in    = "response.expires_in"
refused_when  = "http.status == 400"

[[credentials.access_token.alternatives]]
request            = { method = "POST", path = "/login", json = { user = "secrets.user", pass = "secrets.pass" } }
value              = "response.token"
refresh_token      = "response.refresh"
expires_in         = "response.expires_in"
refused_when       = "http.status == 403"
maybe_refused_when = "http.status == 500"

[jobs.thing]
shape   = "call"
request = { path = "/thing" }

[jobs.password]
shape   = "call"
args    = { pass = { type = "string", secret = true } }
request = { method = "POST", path = "/password", json = { pass = "args.pass" } }
sets    = { secret = "pass", to = "args.pass" }
"#;

/// How it behaves.
#[derive(Debug, Default)]
pub struct Acme {
    pub pass: String,
    /// Says 500 to a wrong password.
    pub masked: bool,
    /// Answers 401 to every token.
    pub distrusts: bool,
    /// Carries out `/password` and never answers.
    pub loses_reply: bool,
    /// Answers 503 to everything.
    pub down: bool,
    /// Refuses `/password` with 422.
    pub keeps_password: bool,
    pub life: u64,
    tokens: BTreeSet<String>,
    refresh: Option<String>,
    made: u64,
    counts: BTreeMap<String, u64>,
}

#[derive(Clone)]
pub struct Server {
    pub base_url: String,
    acme: Arc<Mutex<Acme>>,
}

impl Server {
    pub async fn start(pass: &str) -> Self {
        let acme = Acme { pass: pass.to_owned(), life: 3_600, ..Acme::default() };
        let acme = Arc::new(Mutex::new(acme));
        let app = Router::new()
            .route("/login", post(login))
            .route("/refresh", post(refresh))
            .route("/thing", get(thing))
            .route("/password", post(password))
            .layer(middleware::from_fn_with_state(Arc::clone(&acme), count))
            .with_state(Arc::clone(&acme));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base_url, acme }
    }

    pub fn set(&self, change: impl FnOnce(&mut Acme)) {
        change(&mut self.acme.lock().unwrap());
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> u64 {
        self.acme.lock().unwrap().counts.get(path).copied().unwrap_or_default()
    }

    pub fn forget_tokens(&self) {
        self.set(|acme| acme.tokens.clear());
    }

    pub fn forget_refresh_token(&self) {
        self.set(|acme| acme.refresh = None);
    }

    /// A site with these accounts of it, that all have the same password file.
    pub fn site(&self, accounts: &[&str], pass: &str) -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        site.write("jobs.d/acme.toml", DEFINITION);
        site.write("user", "ada");
        site.write("pass", pass);
        let account = |name: &&str| {
            format!(
                "[accounts.{name}]\nprovider = \"acme\"\nbase_url = \"{}\"\n\
                 secrets.user = {{ file = \"user\" }}\nsecrets.pass = {{ file = \"pass\" }}\n",
                self.base_url
            )
        };
        site.configure(&accounts.iter().map(account).collect::<String>());
        site
    }
}

type Shared = State<Arc<Mutex<Acme>>>;

async fn count(State(acme): Shared, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let down = {
        let mut acme = acme.lock().unwrap();
        *acme.counts.entry(path).or_default() += 1;
        acme.down
    };
    if down {
        return said(503, "down");
    }
    next.run(request).await
}

fn issue(acme: &mut Acme) -> Response {
    acme.made += 1;
    let (token, refresh) = (format!("token-{}", acme.made), format!("refresh-{}", acme.made));
    acme.tokens.insert(token.clone());
    acme.refresh = Some(refresh.clone());
    let life = acme.life;
    Json(json!({"token": token, "refresh": refresh, "expires_in": life})).into_response()
}

fn said(status: u16, detail: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, Json(json!({ "detail": detail }))).into_response()
}

async fn login(State(acme): Shared, Json(body): Json<Value>) -> Response {
    let mut acme = acme.lock().unwrap();
    if body["user"] == "ada" && body["pass"] == acme.pass.as_str() {
        return issue(&mut acme);
    }
    if acme.masked { said(500, "Internal Server Error") } else { said(403, "wrong password") }
}

async fn refresh(State(acme): Shared, Json(body): Json<Value>) -> Response {
    let mut acme = acme.lock().unwrap();
    match &acme.refresh {
        Some(token) if body["token"] == token.as_str() => issue(&mut acme),
        _ => said(400, "invalid refresh token"),
    }
}

fn known(acme: &Acme, headers: &HeaderMap) -> bool {
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    let token = given.and_then(|text| text.strip_prefix("Bearer "));
    !acme.distrusts && token.is_some_and(|token| acme.tokens.contains(token))
}

async fn thing(State(acme): Shared, headers: HeaderMap) -> Response {
    if known(&acme.lock().unwrap(), &headers) {
        Json(json!({"thing": 1})).into_response()
    } else {
        said(401, "who are you?")
    }
}

/// Changes the password, which ends all sessions.
async fn password(State(acme): Shared, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let loses_reply = {
        let mut acme = acme.lock().unwrap();
        if !known(&acme, &headers) {
            return said(401, "who are you?");
        }
        if acme.keeps_password {
            return said(422, "too short");
        }
        body["pass"].as_str().unwrap().clone_into(&mut acme.pass);
        acme.tokens.clear();
        acme.refresh = None;
        acme.loses_reply
    };
    if loses_reply {
        return pending().await;
    }
    Json(json!({"changed": true})).into_response()
}
