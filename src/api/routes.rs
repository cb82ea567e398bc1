//! Which handler answers what. Which right it takes is said in [`rights`](super::rights).

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    routing::{get, post},
};

use super::{
    Api, act, backup, catalog, credentials, enqueue, health, jobs, metrics, openapi,
    problem::{Kind, Problem},
    queues,
    rights::Guarded,
    schedules, wait,
};

/// All routes.
pub(super) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::scrape))
        .route("/openapi.json", get(openapi::document))
        .merge(job_routes())
        .merge(other_routes())
        .route_layer(Guarded)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(api)
}

fn job_routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/jobs", get(jobs::list).post(enqueue::create))
        .route("/v1/jobs/batch", post(enqueue::batch))
        .route("/v1/jobs/{id}", get(jobs::get))
        .route("/v1/jobs/{id}/wait", get(wait::wait))
        .route("/v1/jobs/{id}/result", get(jobs::result))
        .route("/v1/jobs/{id}/artifacts/{name}", get(jobs::artifact))
        .route("/v1/jobs/{id}/cancel", post(act::cancel))
        .route("/v1/jobs/{id}/retry", post(act::retry))
        .route("/v1/jobs/{id}/resolve", post(act::resolve))
        .route("/v1/jobs/{id}/erase", post(act::erase))
}

fn other_routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/kinds", get(catalog::kinds))
        .route("/v1/definitions", get(catalog::definitions))
        .route("/v1/definitions/{provider}", get(catalog::definition))
        .route("/v1/schedules", get(schedules::list))
        .route("/v1/schedules/{name}/run", post(schedules::run))
        .route("/v1/backup", post(backup::backup))
        .route("/v1/credentials", get(credentials::list))
        .route("/v1/credentials/{account}/{name}", get(credentials::get))
        .route("/v1/credentials/{account}/{name}/value", get(credentials::value))
        .route("/v1/credentials/{account}/{name}/renew", post(credentials::renew))
        .route("/v1/credentials/{account}/{name}/revoke", post(credentials::revoke))
        .route("/v1/reload", post(act::reload))
        .route("/v1/rekey", post(act::rekey))
        .route("/v1/clock/confirm", post(act::confirm_clock))
        .route("/v1/queues", get(queues::list))
        .route("/v1/queues/{account}/pause", post(queues::pause))
        .route("/v1/queues/{account}/resume", post(queues::resume))
}

async fn not_found(request: Request) -> Problem {
    let path = request.uri().path();
    Problem::new(Kind::NotFound, format!("there is no route {path}; see GET /openapi.json"))
}

async fn wrong_method(request: Request) -> Problem {
    let words = format!("{} takes no {}", request.uri().path(), request.method());
    Problem::new(Kind::Method, words)
}
