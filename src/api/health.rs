//! Alive, and ready or why not.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::{Api, access::Peer, json, query::NoParams};
use crate::{
    config::Right,
    engine::{Engine, catalog::KindRef, expiring::Expiring},
    policy::gate,
    store::health::Trouble,
    types::Timestamp,
};

/// Answers as long as requests are served at all.
pub async fn alive() -> Response {
    json::ok(&json!({ "status": "alive" }))
}

/// One thing that is not as it should be.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Reason {
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

#[derive(Debug, Serialize)]
struct Readiness {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Reason>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Reason>,
}

/// For somebody who may not read all accounts, only what is wrong with the daemon and with theirs
/// counts.
pub async fn ready(State(api): State<Arc<Api>>, Peer(caller): Peer, _: NoParams) -> Response {
    let theirs = |reason: &Reason| {
        let account = reason.account.as_deref();
        account.is_none_or(|account| caller.grants.in_account(Right::Read, account))
    };
    let now = api.engine.clock.wall();
    let mut reasons = daemon(&api);
    reasons.extend(credentials(&api.engine, now));
    reasons.extend(queues(&api.engine, now));
    reasons.extend(sinks(&api.engine).await);
    reasons.retain(theirs);
    let mut warnings = warnings(&api.engine, now);
    warnings.retain(theirs);
    let body = Readiness {
        status: if reasons.is_empty() { "ready" } else { "not_ready" },
        warnings,
        reasons,
    };
    if body.reasons.is_empty() {
        return json::ok(&body);
    }
    json::answer(StatusCode::SERVICE_UNAVAILABLE, &body)
}

/// What will be wrong unless a person does something; until then it holds nothing up.
fn warnings(engine: &Engine, now: Timestamp) -> Vec<Reason> {
    let reason = |one: Expiring| Reason {
        code: "secret_expiring",
        detail: one.words(),
        account: Some(one.account),
    };
    let clock = engine.clock_trouble().map(|detail| Reason {
        code: "clock_doubtful",
        detail,
        account: None,
    });
    clock.into_iter().chain(engine.expiring_secrets(now).into_iter().map(reason)).collect()
}

fn daemon(api: &Api) -> Vec<Reason> {
    let mut reasons = vec![];
    let mut reason = |code, detail| reasons.push(Reason { code, detail, account: None });
    if api.engine.is_draining() || api.stopping.is_cancelled() {
        reason("draining", "the daemon is stopping".to_owned());
    }
    if let Some(trouble) = api.engine.store_trouble() {
        let code = match &trouble {
            Trouble::Odd(_) | Trouble::Unavailable(_) => "store",
            Trouble::Full => "disk_full",
            Trouble::Damaged(_) => "database_damaged",
        };
        reason(code, trouble.words());
    }
    reasons
}

fn credentials(engine: &Engine, now: Timestamp) -> Vec<Reason> {
    let unusable = |view: &crate::credentials::view::CredentialView| {
        let code = match view.state {
            "missing" => "credential_missing",
            "locked_out" => "credential_locked_out",
            _ => return None,
        };
        let mut detail = format!("{}/{} is {}", view.account, view.name, view.state);
        if let Some(error) = &view.last_error {
            let words = error.message.as_deref().unwrap_or("no details are known");
            detail = format!("{detail}: {}: {words}", error.code);
        }
        Some(Reason { code, detail, account: Some(view.account.clone()) })
    };
    engine.credentials.all().iter().filter_map(|cell| unusable(&cell.view(now))).collect()
}

async fn sinks(engine: &Engine) -> Vec<Reason> {
    let troubles = engine.sink_troubles().await.into_iter();
    troubles
        .map(|(code, account, detail)| Reason { code, detail, account: Some(account) })
        .collect()
}

/// A pause is somebody's wish and Retry-After a provider's: neither makes the daemon unready.
fn queues(engine: &Engine, now: Timestamp) -> Vec<Reason> {
    let catalog = engine.catalog();
    let mut reasons = vec![];
    for account in catalog.accounts.values() {
        let mut reason = |code, detail| {
            let account = Some(account.name.clone());
            reasons.push(Reason { code, detail, account });
        };
        if let Some((gate::Reason::Breaker, hold)) = engine.gates.gate_of(account.queue, now) {
            reason("breaker_open", format!("{}: {}", account.name, hold.detail));
        }
        for (kind, detail) in engine.gates.shut_kinds(account.queue) {
            let kind = catalog.kind(kind).map_or_else(String::new, KindRef::name);
            reason("provider_changed", format!("{}: {kind}: {detail}", account.name));
        }
    }
    reasons
}
