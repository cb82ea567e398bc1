//! `GET /openapi.json`.

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    json, problem,
    query::NoParams,
    rights::{self, Needs},
};

/// One operation: method, path, summary, query parameters, answers.
pub(super) struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
    /// The name of a schema, or a content type where the body is not JSON.
    body: Option<&'static str>,
    answers: &'static [(u16, &'static str)],
}

const LIST: &[(&str, &str)] = &[
    ("state", "queued, running, completed, dead or cancelled"),
    ("kind", "such as certn.applicant"),
    ("account", "the name of an account"),
    ("tag", "one of a job's tags"),
    ("code", "the code of the last error"),
    ("since", "created since this time (RFC 3339) or for that long (12h)"),
    ("limit", "1 to 1000, default 50"),
    ("cursor", "the cursor of the page before"),
];
const WAIT: &[(&str, &str)] =
    &[("scope", "job (default) or chain"), ("timeout", "such as 30s; default 60s, at most 1h")];
const VALUE: &[(&str, &str)] = &[
    ("min_ttl", "the value must live this much more; default 60s"),
    ("timeout", "how long to wait for one; default 30s, at most 1h"),
];

macro_rules! operations {
    ($($method:ident $path:literal: $summary:literal, $query:expr, $body:expr, $answers:expr;)*) => {
        pub(super) const OPERATIONS: &[Operation] = &[$(Operation {
            method: stringify!($method),
            path: $path,
            summary: $summary,
            query: $query,
            body: $body,
            answers: $answers,
        },)*];
    };
}

operations! {
    post "/v1/jobs": "Enqueue a job; answered when it is durable", &[], Some("JobRequest"),
        &[(201, "Job"), (200, "Job"), (409, "Problem"), (413, "Problem"), (422, "Problem"),
          (503, "Problem"), (507, "Problem")];
    get "/v1/jobs": "Jobs, newest first; without results", LIST, None,
        &[(200, "Jobs"), (422, "Problem")];
    post "/v1/jobs/batch": "Enqueue up to 10,000 jobs, one a line; one outcome a line, in order",
        &[], Some("application/x-ndjson"),
        &[(200, "application/x-ndjson"), (413, "Problem"), (429, "Problem")];
    get "/v1/jobs/{id}": "A job with its attempts, observations and chain", &[], None,
        &[(200, "JobDetail"), (404, "Problem")];
    get "/v1/jobs/{id}/wait": "Answers when the job, or its chain, has ended", WAIT, None,
        &[(200, "JobDetail"), (204, ""), (404, "Problem"), (422, "Problem"), (503, "Problem")];
    get "/v1/jobs/{id}/result": "The result itself; a secret one takes the right `credentials`", &[],
        None, &[(200, "Any"), (403, "Problem"), (404, "Problem"), (409, "Problem"), (410, "Problem")];
    get "/v1/jobs/{id}/artifacts/{name}": "A downloaded file", &[], None,
        &[(200, "application/octet-stream"), (304, ""), (404, "Problem"), (410, "Problem")];
    post "/v1/jobs/{id}/cancel": "Cancel; 202 where a running attempt must end first", &[], None,
        &[(200, "Job"), (202, "Job"), (404, "Problem"), (409, "Problem")];
    post "/v1/jobs/{id}/retry": "Queue it again now", &[], Some("Retry"),
        &[(200, "Job"), (404, "Problem"), (409, "Problem"), (422, "Problem")];
    post "/v1/jobs/{id}/resolve": "Settle a job whose outcome is unknown", &[], Some("Resolve"),
        &[(200, "Job"), (404, "Problem"), (409, "Problem"), (422, "Problem")];
    post "/v1/jobs/{id}/erase": "Erase the data of its whole chain for good, in backups too", &[],
        None, &[(200, "ErasedJob"), (404, "Problem"), (409, "Problem")];
    get "/v1/kinds": "Job kinds with their arguments", &[], None, &[(200, "Kinds")];
    get "/v1/definitions": "Definitions in force", &[], None, &[(200, "Definitions")];
    get "/v1/definitions/{provider}": "The text of a definition", &[], None,
        &[(200, "text/plain"), (404, "Problem")];
    get "/v1/schedules": "Schedules with their next and last occurrences", &[], None,
        &[(200, "Schedules")];
    post "/v1/schedules/{name}/run": "Run a schedule's job now, apart from its occurrences", &[],
        None, &[(201, "Job"), (200, "Job"), (404, "Problem"), (507, "Problem")];
    get "/v1/credentials": "Credentials without their values", &[], None, &[(200, "Credentials")];
    get "/v1/credentials/{account}/{name}": "A credential without its value", &[], None,
        &[(200, "Credential"), (404, "Problem")];
    get "/v1/credentials/{account}/{name}/value": "A value that lives long enough", VALUE, None,
        &[(200, "Value"), (404, "Problem"), (422, "Problem"), (503, "Problem")];
    post "/v1/credentials/{account}/{name}/renew": "Renew now", &[], None,
        &[(202, "Credential"), (404, "Problem")];
    post "/v1/credentials/{account}/{name}/revoke": "Withdraw the value in hand, obtain another",
        &[], None, &[(200, "Withdrawn"), (404, "Problem")];
    get "/v1/queues": "Queues with gates, budgets and depths", &[], None, &[(200, "Queues")];
    post "/v1/queues/{account}/pause": "Shut a queue", &[], None,
        &[(200, "Queue"), (404, "Problem")];
    post "/v1/queues/{account}/resume": "Open a queue, whatever held it shut", &[], None,
        &[(200, "Queue"), (404, "Problem")];
    post "/v1/clock/confirm": "Say that the wall clock is right after a jump", &[], None,
        &[(200, "Any")];
    post "/v1/backup": "Everything in one file; with its key it takes the right `credentials`", &[],
        Some("Backup"), &[(200, "application/x-tar"), (403, "Problem"), (409, "Problem"),
        (507, "Problem")];
    post "/v1/rekey": "Seal everything with a new key; answered when that is done", &[], None,
        &[(200, "Rekeyed"), (409, "Problem"), (503, "Problem")];
    post "/v1/reload": "Read configuration, definitions and file secrets anew; answered when they are in force",
        &[], None, &[(200, "Reloaded"), (409, "Problem"), (422, "Problem"), (503, "Problem")];
    get "/healthz": "Alive", &[], None, &[(200, "Health")];
    get "/readyz": "Ready, or why not", &[], None, &[(200, "Health"), (503, "Health")];
    get "/metrics": "The state as numbers, for Prometheus", &[], None, &[(200, "text/plain")];
    get "/openapi.json": "This document", &[], None, &[(200, "Any")];
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| json::bytes(&build()).into());

pub async fn document(_: NoParams) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    json::with_type(StatusCode::OK, content_type, DOCUMENT.clone())
}

fn build() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = operation.describe();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Attendant",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every error is a problem (RFC 9457); a refused request changes nothing. \
                            Any route may also answer 403, 500, 503 and 507, and 401 on TCP. \
                            `x-right` is the right that an operation takes.",
        },
        "paths": paths,
        "components": { "schemas": schemas() },
    })
}

/// The schemas are a file, and the types of problems come from the code.
fn schemas() -> Value {
    let mut schemas: Value =
        serde_json::from_str(include_str!("schemas.json")).unwrap_or_else(|_| json!({}));
    let urns: Vec<&str> = problem::Kind::ALL.iter().map(|kind| kind.urn()).collect();
    schemas["Problem"]["properties"]["type"]["enum"] = json!(urns);
    schemas
}

impl Operation {
    fn describe(&self) -> Value {
        let in_path = self.path.split('/').filter_map(|part| {
            let name = part.strip_prefix('{')?.strip_suffix('}')?;
            Some(parameter("path", name, None))
        });
        let in_query = self.query.iter().map(|(name, words)| parameter("query", name, Some(words)));
        let answers: Map<String, Value> = self
            .answers
            .iter()
            .map(|(status, what)| (status.to_string(), answer(*status, what)))
            .collect();
        let mut described = json!({
            "summary": self.summary,
            "x-right": rights::needs(&Method::from_bytes(self.method.to_uppercase().as_bytes()).unwrap_or_default(), self.path)
                .map(Needs::words),
            "parameters": in_path.chain(in_query).collect::<Vec<Value>>(),
            "responses": answers,
        });
        if let Some(body) = self.body {
            described["requestBody"] = json!({ "content": content(body) });
        }
        described
    }
}

fn parameter(place: &str, name: &str, words: Option<&str>) -> Value {
    json!({
        "in": place, "name": name, "required": place == "path", "description": words,
        "schema": { "type": "string" },
    })
}

fn answer(status: u16, what: &str) -> Value {
    let words = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut answer = json!({ "description": words });
    if !what.is_empty() {
        answer["content"] = content(what);
    }
    answer
}

/// A body of this content type, or of JSON with this schema.
fn content(what: &str) -> Value {
    if what.contains('/') {
        return json!({ what: { "schema": { "type": "string" } } });
    }
    let schema = json!({ "schema": { "$ref": format!("#/components/schemas/{what}") } });
    let content_type =
        if what == "Problem" { "application/problem+json" } else { "application/json" };
    json!({ content_type: schema })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_no_other() {
        let source = include_str!("routes.rs");
        let routed: BTreeSet<&str> =
            source.split('"').filter(|text| text.starts_with('/') && !text.contains(' ')).collect();
        let described: BTreeSet<&str> = OPERATIONS.iter().map(|one| one.path).collect();
        assert_eq!(routed, described);
    }

    #[test]
    fn every_operation_takes_a_right_that_is_stated() {
        for one in OPERATIONS {
            let method = Method::from_bytes(one.method.to_uppercase().as_bytes()).unwrap();
            let needs = rights::needs(&method, one.path);
            assert!(needs.is_some(), "{method} {} is not in the table of rights", one.path);
        }
    }

    #[test]
    fn every_schema_that_is_named_exists() {
        let document = build();
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
