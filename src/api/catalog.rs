//! What can be asked for: kinds and definitions.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Api,
    access::{Caller, Peer},
    json,
    path::Named,
    problem::{Kind, Problem},
    query::NoParams,
};
use crate::{
    config::Right,
    definition::{self, Provider, Repeat},
    engine::catalog::Catalog,
};

const TOML: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

#[derive(Serialize)]
struct JobKind<'a> {
    name: &'a str,
    provider: &'a str,
    title: &'a str,
    shape: &'static str,
    /// `safe`, or `never`: such a kind needs a key.
    repeat: &'static str,
    args: Value,
}

/// Whether a caller may do anything with a kind.
fn knows(caller: &Caller, catalog: &Catalog, provider: &str, kind: &str) -> bool {
    let everywhere = |right: &Right| caller.grants.everywhere(*right);
    let mut accounts = catalog.accounts.values().filter(|one| one.provider.name == provider);
    Right::ALL.iter().any(everywhere) || accounts.any(|one| caller.grants.knows(&one.name, kind))
}

fn knows_some(caller: &Caller, catalog: &Catalog, provider: &Provider) -> bool {
    let renewal = |name: &String| format!("{}.{name}", provider.name);
    let kinds = provider.kinds.values().map(|kind| kind.name.clone());
    let mut kinds = kinds.chain(provider.credentials.keys().map(renewal));
    kinds.any(|kind| knows(caller, catalog, &provider.name, &kind))
}

pub async fn kinds(State(api): State<Arc<Api>>, Peer(caller): Peer, _: NoParams) -> Response {
    let catalog = api.engine.catalog();
    let kinds = catalog.registry.kinds();
    let known = kinds.filter(|(of, kind)| knows(&caller, &catalog, &of.name, &kind.name));
    let kinds: Vec<JobKind<'_>> = known.map(|(_, kind)| describe(kind)).collect();
    json::ok(&json!({ "kinds": kinds }))
}

fn describe(kind: &definition::Kind) -> JobKind<'_> {
    JobKind {
        name: &kind.name,
        provider: &kind.provider,
        title: &kind.title,
        shape: kind.shape.name(),
        repeat: match kind.repeat {
            Repeat::Safe => "safe",
            Repeat::Never => "never",
        },
        args: kind.args.describe(),
    }
}

#[derive(Serialize)]
struct Definition<'a> {
    provider: &'a str,
    title: &'a str,
    /// Where it comes from: a path, or `built-in certn.toml`.
    file: String,
    kinds: Vec<&'a str>,
    credentials: Vec<&'a str>,
}

pub async fn definitions(State(api): State<Arc<Api>>, Peer(caller): Peer, _: NoParams) -> Response {
    let catalog = api.engine.catalog();
    let known = catalog.registry.providers().filter(|one| knows_some(&caller, &catalog, one));
    let definitions: Vec<Definition<'_>> = known.map(|one| summary(one)).collect();
    json::ok(&json!({ "definitions": definitions }))
}

fn summary(provider: &Provider) -> Definition<'_> {
    Definition {
        provider: &provider.name,
        title: &provider.title,
        file: provider.file.display().to_string(),
        kinds: provider.kinds.values().map(|kind| kind.name.as_str()).collect(),
        credentials: provider.credentials.keys().map(String::as_str).collect(),
    }
}

/// The text of the definition in force, comments included.
pub async fn definition(
    State(api): State<Arc<Api>>,
    Named(name): Named<String>,
    Peer(caller): Peer,
    _: NoParams,
) -> Result<Response, Problem> {
    let catalog = api.engine.catalog();
    let known = || catalog.registry.providers().filter(|one| knows_some(&caller, &catalog, one));
    let provider = known().find(|one| one.name == name).ok_or_else(|| {
        let known: Vec<&str> = known().map(|one| one.name.as_str()).collect();
        let words = format!("there is no definition of `{name}`; known: {}", known.join(", "));
        Problem::new(Kind::NotFound, words)
    })?;
    Ok(json::with_type(StatusCode::OK, TOML, provider.source_toml.clone()))
}
