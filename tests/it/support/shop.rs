//! A shop that exists nowhere: orders that must not be placed twice, and things to follow. What it
//! does can be changed at any time; what it did is counted.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::pending,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::daemon::Site;

pub const DEFINITION: &str = r#"
provider = "shop"
title    = "Shop"

[jobs.order]
shape     = "call"
args      = { ref = { type = "string" } }
repeat    = "never"
timeout   = "1s"
request   = { method = "POST", path = "/orders", json = { ref = "args.ref" } }
reconcile = { request = { path = "/orders/{{ args.ref }}" }, found = "response.order" }

[[jobs.order.then]]
kind = "shop.thing"
args = { id = "response.ref" }

# The same, where nobody can be asked.
[jobs.blind]
shape   = "call"
args    = { ref = { type = "string" } }
repeat  = "never"
timeout = "1s"
request = { method = "POST", path = "/orders", json = { ref = "args.ref" } }

[jobs.thing]
shape    = "follow"
args     = { id = { type = "string" } }
unique   = ["id"]
request  = { path = "/things/{{ args.id }}" }
status   = "response.status"
until    = "status == 'done'"
deadline = "2h"
every    = "200ms"

[jobs.ping]
shape   = "call"
request = { path = "/ping" }
"#;

/// What becomes of a request to place an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing is done, and no answer ever comes.
    Swallowed,
    /// It is carried out, and no answer ever comes.
    Unanswered,
    /// It is carried out, and the answer is this status.
    Status(u16),
}

#[derive(Debug, Default)]
pub struct Books {
    /// How often each was ordered.
    pub orders: BTreeMap<String, u64>,
    /// Of the next requests to place an order.
    pub fates: VecDeque<Fate>,
    /// Orders that are carried out and never answered, whatever the fates say.
    pub silent: BTreeSet<String>,
    /// Answers 503 to everything.
    pub down: bool,
    /// Whether things are done.
    pub done: bool,
    counts: BTreeMap<String, u64>,
}

#[derive(Clone)]
pub struct Shop {
    pub base_url: String,
    books: Arc<Mutex<Books>>,
}

impl Shop {
    pub async fn start() -> Self {
        let books = Arc::new(Mutex::new(Books { done: true, ..Books::default() }));
        let app = Router::new()
            .route("/orders", post(place))
            .route("/orders/{name}", get(placed))
            .route("/things/{id}", get(thing))
            .route("/ping", get(async || Json(json!({ "pong": true }))))
            .layer(middleware::from_fn_with_state(Arc::clone(&books), count))
            .with_state(Arc::clone(&books));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base_url, books }
    }

    pub fn set(&self, change: impl FnOnce(&mut Books)) {
        change(&mut self.books.lock().unwrap());
    }

    pub fn meets(&self, fate: Fate) {
        self.set(|books| books.fates.push_back(fate));
    }

    /// How often this was ordered.
    pub fn ordered(&self, name: &str) -> u64 {
        self.books.lock().unwrap().orders.get(name).copied().unwrap_or_default()
    }

    /// Requests with this method and first part of the path, such as `POST orders`.
    pub fn asked(&self, what: &str) -> u64 {
        self.books.lock().unwrap().counts.get(what).copied().unwrap_or_default()
    }

    pub fn requests(&self) -> u64 {
        self.books.lock().unwrap().counts.values().sum()
    }

    pub fn site(&self, rest: &str) -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        site.write("jobs.d/shop.toml", DEFINITION);
        site.configure(&format!(
            "{rest}\n[accounts.shop]\nprovider = \"shop\"\nbase_url = \"{}\"\n",
            self.base_url
        ));
        site
    }
}

type Shared = State<Arc<Mutex<Books>>>;

async fn count(State(books): Shared, request: Request, next: Next) -> Response {
    let first = request.uri().path().split('/').nth(1).unwrap_or_default();
    let what = format!("{} {first}", request.method());
    let down = {
        let mut books = books.lock().unwrap();
        *books.counts.entry(what).or_default() += 1;
        books.down
    };
    if down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    next.run(request).await
}

async fn place(State(books): Shared, Json(body): Json<Value>) -> Response {
    let fate = {
        let mut books = books.lock().unwrap();
        let name = body["ref"].as_str().unwrap().to_owned();
        let silent = books.silent.contains(&name).then_some(Fate::Unanswered);
        let fate = silent.or_else(|| books.fates.pop_front());
        if fate != Some(Fate::Swallowed) {
            *books.orders.entry(name).or_default() += 1;
        }
        fate
    };
    match fate {
        None => Json(json!({ "ref": body["ref"] })).into_response(),
        Some(Fate::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(_) => pending().await,
    }
}

async fn placed(State(books): Shared, Path(name): Path<String>) -> Json<Value> {
    let known = books.lock().unwrap().orders.contains_key(&name);
    Json(json!({ "order": known.then(|| json!({ "ref": name })) }))
}

async fn thing(
    State(books): Shared,
    Path(id): Path<String>,
    Query(_): Query<BTreeMap<String, String>>,
) -> Json<Value> {
    let status = if books.lock().unwrap().done { "done" } else { "waiting" };
    Json(json!({ "id": id, "status": status }))
}
