//! `GET /metrics`: the state as numbers, for Prometheus. docs/metrics.md says what each is for.
//!
//! Nothing here reads jobs: depths come from the count that the engine keeps, the rest is in memory.

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::State, response::Response};
use http::{HeaderValue, StatusCode};

use super::{Api, json, problem::Problem, query::NoParams};
use crate::{
    credentials::view::CredentialView,
    engine::{Engine, catalog::KindRef},
    policy::{budget::Left, gate::Reason},
    store::{QueueDepth, health::Trouble},
    telemetry::{
        events::Name,
        metrics::{
            CONTENT_TYPE, Exposition,
            Kind::{Counter, Gauge},
        },
    },
    types::Timestamp,
};

const STATES: [&str; 4] = ["fresh", "failing", "missing", "locked_out"];
const GATES: [(&str, Reason); 3] =
    [("paused", Reason::Paused), ("retry_after", Reason::RetryAfter), ("breaker", Reason::Breaker)];
const TROUBLES: [&str; 3] = ["store", "disk_full", "database_damaged"];

pub async fn scrape(State(api): State<Arc<Api>>, _: NoParams) -> Result<Response, Problem> {
    let depths = api.engine.depths().await.unwrap_or_default();
    let mut out = Exposition::default();
    about(&mut out, &api.engine);
    credentials(&mut out, &api.engine);
    queues(&mut out, &api.engine, &depths);
    budgets(&mut out, &api.engine);
    counts(&mut out, &api.engine);
    let content_type = HeaderValue::from_static(CONTENT_TYPE);
    Ok(json::with_type(StatusCode::OK, content_type, out.into_text()))
}

fn about(out: &mut Exposition, engine: &Engine) {
    out.metric("attendant_build_info", Gauge, "The version that runs; always 1.");
    out.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.metric("attendant_store_trouble", Gauge, "1 while the database is in this trouble.");
    let code = engine.store_trouble().map(|trouble| match trouble {
        Trouble::Odd(_) | Trouble::Unavailable(_) => "store",
        Trouble::Full => "disk_full",
        Trouble::Damaged(_) => "database_damaged",
    });
    for trouble in TROUBLES {
        out.sample(&[("trouble", trouble)], u8::from(code == Some(trouble)));
    }
    let name = "attendant_clock_doubtful";
    out.metric(name, Gauge, "1 while the wall clock is in doubt after a jump.");
    out.sample(&[], u8::from(engine.clock_trouble().is_some()));
    out.metric("attendant_draining", Gauge, "1 while the daemon is stopping.");
    out.sample(&[], u8::from(engine.is_draining()));
}

fn credentials(out: &mut Exposition, engine: &Engine) {
    let now = engine.clock.wall();
    let mut views: Vec<CredentialView> =
        engine.credentials.all().iter().map(|cell| cell.view(now)).collect();
    views.sort_by(|a, b| (&a.account, &a.name).cmp(&(&b.account, &b.name)));
    let mut dates = |name, help, at: fn(&CredentialView) -> Option<Timestamp>| {
        out.metric(name, Gauge, help);
        for view in &views {
            if let Some(at) = at(view) {
                out.sample(&labels(view), seconds(at));
            }
        }
    };
    dates(
        "attendant_credential_expiration_timestamp_seconds",
        "When the value in use expires (Unix time); absent where it has no known end.",
        |view| view.expires_at,
    );
    dates(
        "attendant_credential_renewal_timestamp_seconds",
        "When the value in use is renewed, or that is next tried (Unix time).",
        |view| view.renew_at,
    );
    let help = "1 for the state that the credential is in; fresh and failing can be used.";
    out.metric("attendant_credential_ready_status", Gauge, help);
    for view in &views {
        for state in STATES {
            let [account, credential] = labels(view);
            let is = u8::from(view.state == state);
            out.sample(&[account, credential, ("state", state)], is);
        }
    }
    let help = "Renewals that failed in a row; 0 after a success.";
    out.metric("attendant_credential_renewal_errors", Gauge, help);
    for view in &views {
        out.sample(&labels(view), view.errors);
    }
}

fn labels(view: &CredentialView) -> [(&'static str, &str); 2] {
    [("account", &view.account), ("credential", &view.name)]
}

fn queues(out: &mut Exposition, engine: &Engine, depths: &[QueueDepth]) {
    let (catalog, now) = (engine.catalog(), engine.clock.wall());
    let accounts: Vec<_> = catalog.accounts.values().map(|one| (&*one.name, one.queue)).collect();
    let depth_of = |queue| depths.iter().find(|depth| depth.queue == queue);
    out.metric("attendant_queue_jobs", Gauge, "Jobs that have not ended, by state.");
    for (account, queue) in &accounts {
        let depth = depth_of(*queue);
        let due = depth.map_or(0, |depth| depth.due);
        let waiting = depth.map_or(0, |depth| depth.later);
        let running = i64::try_from(engine.running.count_of(*queue)).unwrap_or(i64::MAX);
        for (state, count) in [("due", due), ("waiting", waiting), ("running", running)] {
            let count = u64::try_from(count).unwrap_or(0);
            out.count(&[("account", account), ("state", state)], count);
        }
    }
    let help = "For how long the job has been due that has been so longest; 0 where none is.";
    out.metric("attendant_queue_oldest_due_age_seconds", Gauge, help);
    for (account, queue) in &accounts {
        let oldest = depth_of(*queue).and_then(|depth| depth.oldest_due);
        let age = oldest.map_or(0.0, |at| now.since(at).as_secs_f64());
        out.sample(&[("account", account)], age);
    }
    out.metric("attendant_queue_gated", Gauge, "1 while the queue is held shut, by why.");
    for (account, queue) in &accounts {
        let gate = engine.gates.gate_of(*queue, now).map(|(reason, _)| reason);
        for (text, reason) in GATES {
            out.sample(&[("account", account), ("reason", text)], u8::from(gate == Some(reason)));
        }
    }
    let help = "1 for each kind that is held shut because the provider seems to have changed.";
    out.metric("attendant_queue_kind_gated", Gauge, help);
    for (account, queue) in &accounts {
        for (kind, _) in engine.gates.shut_kinds(*queue) {
            let Some(kind) = catalog.kind(kind).map(KindRef::name) else { continue };
            out.sample(&[("account", account), ("kind", &kind)], 1);
        }
    }
}

/// Accounts that share a budget show it once, under its name.
fn budgets(out: &mut Exposition, engine: &Engine) {
    let catalog = engine.catalog();
    let names: BTreeSet<&str> = catalog.accounts.values().map(|one| &*one.budget).collect();
    let left: Vec<_> = names.into_iter().map(|name| (name, engine.budgets.left(name))).collect();
    let mut numbers = |name, help, number: fn(&Left) -> u32| {
        out.metric(name, Gauge, help);
        for (budget, limits) in &left {
            for one in limits {
                let budget = budget.strip_prefix("account:").unwrap_or(budget);
                let limit = one.limit.to_string();
                out.sample(&[("budget", budget), ("limit", &limit)], number(one));
            }
        }
    };
    let help = "Requests that may still be sent within this limit's window.";
    numbers("attendant_budget_left", help, |one| one.left);
    let help = "Requests that were sent within this limit's window, or may have been.";
    numbers("attendant_budget_used", help, |one| one.used);
}

fn counts(out: &mut Exposition, engine: &Engine) {
    let catalog = engine.catalog();
    let help = "Attempts that ended, by outcome: completed, failed (again later), dead, cancelled, \
                snoozed (a poll, or turned away), lost_lease.";
    out.metric("attendant_attempts_total", Counter, help);
    for ((queue, kind, outcome), count) in engine.metrics.attempts() {
        let Some(kind) = catalog.kind(kind).map(KindRef::name) else { continue };
        // Commands of sinks belong to no account's queue.
        let account = catalog.by_queue(queue).map_or("", |account| &account.name);
        out.count(&[("account", account), ("kind", &kind), ("outcome", outcome)], count);
    }
    let help = "Requests to providers, by the answer's status, or not_sent or no_answer.";
    out.metric("attendant_provider_requests_total", Counter, help);
    for ((queue, status), count) in engine.metrics.requests() {
        let Some(account) = catalog.by_queue(queue) else { continue };
        out.count(&[("account", &account.name), ("status", status)], count);
    }
    out.metric("attendant_events_total", Counter, "Events, by name; docs/events.md lists them.");
    for name in Name::ALL {
        out.count(&[("event", name.text())], name.count());
    }
}

#[allow(clippy::cast_precision_loss)] // milliseconds fit for 285,000 years
fn seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1_000.0
}
