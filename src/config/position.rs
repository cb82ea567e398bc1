//! Where each key of the merged configuration is written.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::diagnostic::Diagnostic;

/// The file and line of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// A file, an environment variable's name, or a flag.
    pub file: PathBuf,
    /// One-based; `None` for variables and flags.
    pub line: Option<usize>,
}

/// Positions by dotted key, such as `api.allow[0].may`.
#[derive(Debug, Clone, Default)]
pub(super) struct Positions(BTreeMap<String, Position>);

impl Positions {
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The key's own place, else that of the nearest table around it; in the end the main file.
    pub fn nearest(&self, key: &str) -> Option<&Position> {
        let mut key = key;
        loop {
            match self.0.get(key) {
                None if !key.is_empty() => key = &key[..key.rfind(['.', '[']).unwrap_or(0)],
                found => return found,
            }
        }
    }

    pub fn diagnostic(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        match self.nearest(key) {
            Some(at) => {
                Diagnostic { line: at.line, ..Diagnostic::new(at.file.clone(), key, message) }
            }
            None => Diagnostic::new("configuration", key, message),
        }
    }

    /// `path` seen from the folder of the file that `key` is written in.
    pub fn path(&self, key: &str, path: &Path) -> PathBuf {
        self.nearest(key)
            .and_then(|at| at.file.parent())
            .map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    /// The places below an array, which stand side by side in the map.
    fn forget_elements(&mut self, array: &str) {
        let elements = format!("{array}[");
        let keys = self.0.range(elements.clone()..).map(|(key, _)| key);
        let keys: Vec<String> =
            keys.take_while(|key| key.starts_with(&elements)).cloned().collect();
        for key in keys {
            self.0.remove(&key);
        }
    }

    /// Lays a later layer's places over these. A table keeps the place where it first stands; an
    /// array that is replaced takes its elements' places with it.
    pub fn overlay(&mut self, file: &Path, places: Vec<Place>) {
        for place in places {
            let position = Position { file: file.to_owned(), line: place.line };
            match place.kind {
                PlaceKind::Table => {
                    self.0.entry(place.key).or_insert(position);
                }
                PlaceKind::Value => {
                    self.forget_elements(&place.key);
                    self.0.insert(place.key, position);
                }
            }
        }
    }
}

/// One key seen in one layer.
#[derive(Debug)]
pub(super) struct Place {
    pub key: String,
    pub line: Option<usize>,
    pub kind: PlaceKind,
}

/// How a later layer treats what stands at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaceKind {
    Table,
    Value,
}
