//! Layers to one tree, by the `config` crate.

use std::path::PathBuf;

use config::{ConfigError, Map, Source, Value, ValueKind};
use serde::Deserialize;

use super::{
    check::Raw,
    position::{Place, Positions},
    schema,
    shape::{SOURCES, Shape},
};
use crate::diagnostic::Diagnostic;

/// One file, variable or flag, read and found free of unknown keys.
#[derive(Debug)]
pub(super) struct Layer {
    /// A file, a variable's name or a flag.
    pub origin: PathBuf,
    pub value: Value,
    pub places: Vec<Place>,
}

/// The merged configuration and where its parts stand.
#[derive(Debug)]
pub(super) struct Stacked {
    pub raw: Raw,
    pub positions: Positions,
}

/// Merges layers, the later over the earlier.
///
/// # Errors
/// Only where the schema and the types disagree, which would be a bug.
pub(super) fn stack(mut layers: Vec<Layer>) -> Result<Stacked, Diagnostic> {
    let mut builder = config::Config::builder();
    let mut positions = Positions::default();
    for n in 1..layers.len() {
        let (lower, upper) = layers.split_at_mut(n);
        for layer in lower {
            supersede(&schema::ROOT, &mut layer.value, &upper[0].value);
        }
    }
    for layer in layers {
        positions.overlay(&layer.origin, layer.places);
        builder = builder.add_source(Tree(layer.value));
    }
    let raw = builder.build().and_then(|merged| Raw::deserialize(merged.cache));
    match raw {
        Ok(raw) => Ok(Stacked { raw, positions }),
        Err(error) => Err(Diagnostic::new("configuration", "", error.to_string())),
    }
}

/// Takes away a lower layer's source of a secret or key where an upper layer names another, which
/// would otherwise merge into one table with two sources.
fn supersede(shape: &Shape, lower: &mut Value, upper: &Value) {
    let (ValueKind::Table(lower), ValueKind::Table(upper)) = (&mut lower.kind, &upper.kind) else {
        return;
    };
    match shape {
        Shape::Source(_) if SOURCES.iter().any(|source| upper.contains_key(*source)) => {
            lower.retain(|key, _| !SOURCES.contains(&key.as_str()));
        }
        Shape::Table(fields) => {
            for (name, inner) in *fields {
                if let (Some(lower), Some(upper)) = (lower.get_mut(*name), upper.get(*name)) {
                    supersede(inner, lower, upper);
                }
            }
        }
        Shape::Named(inner) => {
            for (name, upper) in upper {
                if let Some(lower) = lower.get_mut(name) {
                    supersede(inner, lower, upper);
                }
            }
        }
        _ => {}
    }
}

/// Puts a value under its keys: `["engine", "lease"]` and a value make a tree.
pub(super) fn nest(keys: &[String], value: Value) -> Value {
    keys.iter().rev().fold(value, |inner, key| Map::from([(key.clone(), inner)]).into())
}

#[derive(Debug, Clone)]
struct Tree(Value);

impl Source for Tree {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        match &self.0.kind {
            ValueKind::Table(table) => Ok(table.clone()),
            _ => Ok(Map::new()),
        }
    }
}
