//! Faults, counters and control over real loopback sockets.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::{
    Fault, FaultError, FaultKind, Options, Provider, RateLimit, Sandbox, SandboxError, Target,
    faults::FaultRequest,
};
use crate::{
    clock::{Clock, ManualClock},
    types::Timestamp,
};

pub(super) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Redirects are shown and not followed; a test that hangs fails.
pub(super) fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

async fn sandbox() -> Sandbox {
    Sandbox::start(LOOPBACK, Options::certn(Clock::System)).await.unwrap()
}

async fn ask_for_token(sandbox: &Sandbox) -> reqwest::Result<reqwest::Response> {
    client()
        .post(format!("{}/token/", sandbox.base_url()))
        .basic_auth("sandbox-client", Some("sandbox-secret"))
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
}

/// The I/O error at the bottom of a client's error.
fn io_kind(error: &reqwest::Error) -> Option<ErrorKind> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

#[tokio::test]
async fn it_serves_loopback_only() {
    let public = "0.0.0.0:0".parse().unwrap();
    let refused = Sandbox::start(public, Options::certn(Clock::System)).await.unwrap_err();
    assert!(matches!(refused, SandboxError::NotLoopback(address) if address == public));

    let sandbox = sandbox().await;
    let taken = Sandbox::start(sandbox.address(), Options::certn(Clock::System)).await;
    assert!(matches!(taken, Err(SandboxError::Listen { .. })));
}

#[tokio::test]
async fn a_reset_drops_the_connection_before_the_work() {
    let sandbox = sandbox().await;
    sandbox.fault(Fault::new("POST /token/", FaultKind::Reset));
    let error = ask_for_token(&sandbox).await.unwrap_err();
    assert_eq!(io_kind(&error), Some(ErrorKind::ConnectionReset), "{error:?}");
    assert_eq!(sandbox.counters().tokens_issued, 0);
    assert_eq!(ask_for_token(&sandbox).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_lost_reply_is_lost_after_the_work() {
    let sandbox = sandbox().await;
    sandbox.fault(Fault::new("POST /token/", FaultKind::LoseReply));
    let error = ask_for_token(&sandbox).await.unwrap_err();
    assert!(error.is_request() && !error.is_connect() && !error.is_timeout(), "{error:?}");
    assert_eq!(sandbox.counters().tokens_issued, 1);
    let recorded = sandbox.requests_to("POST /token/");
    assert_eq!(recorded[0].status, None);
    assert_eq!(recorded[0].fault, Some(FaultKind::LoseReply));
}

#[tokio::test]
async fn a_truncated_reply_breaks_off_in_its_body() {
    let sandbox = sandbox().await;
    sandbox.fault(Fault::new("POST /token/", FaultKind::Truncate));
    let response = ask_for_token(&sandbox).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.content_length().is_some_and(|length| length > 50));
    let broken = response.bytes().await.unwrap_err();
    assert!(!broken.is_timeout(), "{broken:?}");
    assert_eq!(sandbox.counters().tokens_issued, 1);
}

#[tokio::test]
async fn a_hanging_request_ends_with_the_sandbox() {
    let sandbox = sandbox().await;
    sandbox.fault(Fault::new("POST /token/", FaultKind::Hang));
    let mut waiting = Box::pin(ask_for_token(&sandbox));
    let arrived = async {
        while sandbox.requests().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = &mut waiting => panic!("answered: {answer:?}"),
        () = arrived => {}
    }
    sandbox.stop.cancel();
    assert!(waiting.await.is_err());
    assert_eq!(sandbox.counters().tokens_issued, 0);
}

#[tokio::test]
async fn statuses_garbage_and_slowness() {
    let sandbox = sandbox().await;
    let retry_after = Some("Wed, 21 Oct 2026 07:28:00 GMT".to_owned());
    sandbox.fault(Fault::status("/token/", 503));
    sandbox.fault(Fault::new("/token/", FaultKind::Status { code: 429, retry_after }));
    sandbox.fault(Fault::new("POST /token/", FaultKind::Garbage));
    sandbox.fault(Fault::new("POST /token/", FaultKind::Slow(Duration::from_millis(1))));

    assert_eq!(ask_for_token(&sandbox).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    let throttled = ask_for_token(&sandbox).await.unwrap();
    assert_eq!(throttled.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(throttled.headers()["retry-after"], "Wed, 21 Oct 2026 07:28:00 GMT");
    assert_eq!(sandbox.counters().tokens_issued, 0);

    let garbage = ask_for_token(&sandbox).await.unwrap();
    assert_eq!(garbage.headers()["content-type"], "application/json");
    assert!(garbage.json::<Value>().await.unwrap_err().is_decode());
    assert!(ask_for_token(&sandbox).await.unwrap().json::<Value>().await.is_ok());
    assert_eq!(sandbox.counters().tokens_issued, 2);
}

#[tokio::test]
async fn a_fault_lets_pass_what_it_is_told_to() {
    let sandbox = sandbox().await;
    sandbox.fault(Fault::status("POST /token", 500).after(1).times(2));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask_for_token(&sandbox).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 500, 500, 200]);
    assert_eq!(sandbox.counters().requests["POST /token/"], 4);
}

#[tokio::test]
async fn faults_and_counters_over_http() {
    let sandbox = sandbox().await;
    let url = format!("{}/_sandbox/faults", sandbox.base_url());
    let fault = json!({ "on": "POST /token/", "retry_after": 2 });
    let added = client().post(&url).json(&fault).send().await.unwrap();
    assert_eq!(added.status(), StatusCode::NO_CONTENT);
    let response = ask_for_token(&sandbox).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "2");

    let bad = json!({ "on": "/", "kind": "hang", "slow": 3 });
    let refused = client().post(&url).json(&bad).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);

    client().post(&url).json(&json!({ "on": "/", "status": 500 })).send().await.unwrap();
    client().delete(&url).send().await.unwrap();
    assert_eq!(ask_for_token(&sandbox).await.unwrap().status(), StatusCode::OK);

    let state = format!("{}/_sandbox/state", sandbox.base_url());
    let state: Value = client().get(state).send().await.unwrap().json().await.unwrap();
    assert_eq!(state["tokens_issued"], 1);
    assert_eq!(state["requests"]["POST /token/"], 2);
}

#[tokio::test]
async fn a_shut_down_sandbox_refuses_connections() {
    let sandbox = sandbox().await;
    let url = sandbox.base_url();
    ask_for_token(&sandbox).await.unwrap();
    sandbox.shutdown().await;
    assert!(client().get(url).send().await.unwrap_err().is_connect());
}

#[test]
fn targets() {
    let table = [
        ("POST /token/", "POST", "/token/", true),
        ("post /token", "POST", "/token/", true),
        ("/api/", "DELETE", "/api/v1/x/", true),
        ("", "GET", "/", true),
        ("GET /token/", "POST", "/token/", false),
        ("/token/", "POST", "/token", false),
    ];
    for (target, method, path, meets) in table {
        assert_eq!(Target::new(target).meets(method, path), meets, "{target} {method} {path}");
    }
}

#[test]
fn faults_in_json() {
    let read = |json: Value| {
        let asked: FaultRequest = serde_json::from_value(json).unwrap();
        Fault::try_from(asked)
    };
    let status =
        |code, after: &str| FaultKind::Status { code, retry_after: Some(after.to_owned()) };
    let table = [
        (json!({ "on": "/", "kind": "hang" }), Ok(FaultKind::Hang)),
        (json!({ "on": "/", "kind": "lose_reply" }), Ok(FaultKind::LoseReply)),
        (json!({ "on": "/", "slow": 250 }), Ok(FaultKind::Slow(Duration::from_millis(250)))),
        (json!({ "on": "/", "status": 503, "retry_after": "2" }), Ok(status(503, "2"))),
        (json!({ "on": "/", "retry_after": 2 }), Ok(status(429, "2"))),
        (json!({ "on": "/", "status": 99 }), Err(FaultError::Status)),
        (json!({ "on": "/" }), Err(FaultError::NotOneKind)),
        (json!({ "on": "/", "kind": "hang", "status": 500 }), Err(FaultError::NotOneKind)),
    ];
    for (json, expected) in table {
        assert_eq!(read(json.clone()).map(|fault| fault.kind), expected, "{json}");
    }
    let twice = read(json!({ "on": "GET /a", "times": 2, "after": 1, "kind": "reset" })).unwrap();
    assert_eq!(twice, Fault::new("GET /a", FaultKind::Reset).times(2).after(1));
}

/// A provider whose time stands still, for the tests of each.
pub(super) struct Still {
    pub sandbox: Sandbox,
    pub clock: ManualClock,
    client: Client,
}

impl Still {
    pub async fn start(provider: Provider) -> Self {
        Self::limited(provider, None).await
    }

    pub async fn limited(provider: Provider, rate_limit: Option<RateLimit>) -> Self {
        let clock = ManualClock::at(Timestamp(1_790_000_000_000));
        let options = Options { clock: Clock::Manual(clock.clone()), rate_limit, provider };
        let sandbox = Sandbox::start(LOOPBACK, options).await.unwrap();
        Self { sandbox, clock, client: client() }
    }

    /// A request such as `GET /me/`, with this `Authorization` unless it is empty.
    pub fn request(&self, line: &str, authorization: &str) -> RequestBuilder {
        let (method, path) = line.split_once(' ').unwrap();
        let url = format!("{}{path}", self.sandbox.base_url());
        let request = self.client.request(method.parse().unwrap(), url);
        if authorization.is_empty() {
            request
        } else {
            request.header("authorization", authorization)
        }
    }

    pub async fn ask(&self, line: &str, authorization: &str) -> (u16, Value) {
        answer(self.request(line, authorization)).await
    }

    pub async fn ask_with(&self, line: &str, authorization: &str, body: Value) -> (u16, Value) {
        answer(self.request(line, authorization).json(&body)).await
    }
}

/// The status, and the body: JSON, or text, or null.
pub(super) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| match text.as_str() {
        "" => Value::Null,
        text => text.into(),
    });
    (status, body)
}

#[tokio::test]
async fn every_provider_is_served_with_its_account() {
    for provider in Provider::all() {
        let (name, secrets) = (provider.name(), provider.secrets());
        let definition = crate::definition::Registry::load(None).unwrap();
        let definition = definition.provider(name).unwrap();
        assert!(secrets.iter().all(|(secret, _)| definition.secrets.contains_key(*secret)));
        let sandbox =
            Sandbox::start(LOOPBACK, Options::new(Clock::System, provider)).await.unwrap();
        let url = format!("{}/_sandbox/state", sandbox.base_url());
        let state: Value = client().get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(state["tokens_issued"], 0, "{name}: {state}");
    }
}
