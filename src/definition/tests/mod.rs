//! Tests that need a whole definition, and what they share.

mod fuzz;
mod good;
mod json_schema;
mod mistakes;
mod problems;
mod requests;
mod schema;
mod shipped;

use std::{fs, sync::Arc};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{Kind, Provider, Registry, Vars};
use crate::diagnostic::Diagnostics;

/// The least that a definition of `acme` needs before its kinds.
const HEAD: &str = "provider = \"acme\"\ntitle = \"Acme\"\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn load(files: &[(&str, &str)]) -> Result<Registry, Diagnostics> {
    Registry::load(Some(folder(files).path()))
}

/// The provider `acme` with this text after the head.
fn acme(text: &str) -> Arc<Provider> {
    let registry = load(&[("acme.toml", &format!("{HEAD}{text}"))]).unwrap();
    registry.provider("acme").unwrap().clone()
}

/// The kind `acme.k` with these lines.
fn kind(lines: &str) -> Arc<Kind> {
    acme(&format!("[jobs.k]\n{lines}")).kinds["k"].clone()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("no object: {other}"),
    }
}

fn answered(response: &Value) -> Vars {
    Vars::new().args(&object(json!({}))).answer(
        200,
        &http::HeaderMap::new(),
        &response.to_string(),
        Some(response),
    )
}
