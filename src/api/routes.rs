//! Which handler answers what, and the right that it takes.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    routing::{MethodRouter, get, post},
};

use super::{
    Api,
    access::Needs,
    act, backup, catalog, credentials, enqueue, health, jobs, metrics, openapi,
    problem::{Kind, Problem},
    queues, schedules, wait,
};
use crate::config::Right::{self, Credentials, Enqueue, Operate, Read, Results};

type Routes = MethodRouter<Arc<Api>>;

/// A route for those who have this right.
fn may(right: Right, routes: Routes) -> Routes {
    routes.route_layer(Needs(right))
}

/// All routes. `/healthz` is the only one that takes no right.
pub(super) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", may(Read, get(health::ready)))
        .route("/metrics", may(Read, get(metrics::scrape)))
        .route("/openapi.json", may(Read, get(openapi::document)))
        .merge(job_routes())
        .merge(other_routes())
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(api)
}

fn job_routes() -> Router<Arc<Api>> {
    let jobs = may(Enqueue, post(enqueue::create)).merge(may(Read, get(jobs::list)));
    Router::new()
        .route("/v1/jobs", jobs)
        .route("/v1/jobs/batch", may(Enqueue, post(enqueue::batch)))
        .route("/v1/jobs/{id}", may(Read, get(jobs::get)))
        .route("/v1/jobs/{id}/wait", may(Read, get(wait::wait)))
        // Whose right it takes depends on the kind: the handler asks.
        .route("/v1/jobs/{id}/result", get(jobs::result))
        .route("/v1/jobs/{id}/artifacts/{name}", may(Results, get(jobs::artifact)))
        .route("/v1/jobs/{id}/cancel", may(Operate, post(act::cancel)))
        .route("/v1/jobs/{id}/retry", may(Operate, post(act::retry)))
        .route("/v1/jobs/{id}/resolve", may(Operate, post(act::resolve)))
        .route("/v1/jobs/{id}/erase", may(Operate, post(act::erase)))
}

fn other_routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/kinds", may(Read, get(catalog::kinds)))
        .route("/v1/definitions", may(Read, get(catalog::definitions)))
        .route("/v1/definitions/{provider}", may(Read, get(catalog::definition)))
        .route("/v1/schedules", may(Read, get(schedules::list)))
        .route("/v1/schedules/{name}/run", may(Operate, post(schedules::run)))
        .route("/v1/credentials", may(Read, get(credentials::list)))
        .route("/v1/credentials/{account}/{name}", may(Read, get(credentials::get)))
        .route("/v1/credentials/{account}/{name}/value", may(Credentials, get(credentials::value)))
        .route("/v1/credentials/{account}/{name}/renew", may(Operate, post(credentials::renew)))
        .route("/v1/credentials/{account}/{name}/revoke", may(Operate, post(credentials::revoke)))
        .route("/v1/backup", may(Operate, post(backup::backup)))
        .route("/v1/reload", may(Operate, post(act::reload)))
        .route("/v1/rekey", may(Operate, post(act::rekey)))
        .route("/v1/clock/confirm", may(Operate, post(act::confirm_clock)))
        .route("/v1/queues", may(Read, get(queues::list)))
        .route("/v1/queues/{account}/pause", may(Operate, post(queues::pause)))
        .route("/v1/queues/{account}/resume", may(Operate, post(queues::resume)))
}

async fn not_found(request: Request) -> Problem {
    let path = request.uri().path();
    Problem::new(Kind::NotFound, format!("there is no route {path}; see GET /openapi.json"))
}

async fn wrong_method(request: Request) -> Problem {
    let words = format!("{} takes no {}", request.uri().path(), request.method());
    Problem::new(Kind::Method, words)
}
