//! Finds and reads the layers: files, `conf.d`, environment, flags.

use std::{
    io,
    path::{Path, PathBuf},
};

use config::ValueKind;
use toml::de::{DeTable, DeValue};

use super::{
    Inputs, grammar,
    layer::{Layer, nest},
    schema,
    shape::{Reader, Shape, field, join},
};
use crate::diagnostic::Diagnostic;

const PREFIX: &str = "ATTENDANT__";

/// All that was found, good or not.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The main file, where it exists.
    pub main: Option<PathBuf>,
    pub layers: Vec<Layer>,
    pub problems: Vec<Diagnostic>,
    /// A file could not be read or is not TOML: what the whole says would be guesswork.
    pub unreadable: bool,
}

/// Reads every layer, the weakest first.
pub(super) fn read(inputs: &Inputs<'_>, system_file: &Path) -> Found {
    let mut found = Found::default();
    let named = named_file(inputs);
    let main = named.clone().unwrap_or_else(|| system_file.to_owned());
    match std::fs::read_to_string(&main) {
        Ok(text) => {
            found.file(&main, &text);
            found.main = Some(main.clone());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {}
        Err(error) => found.broken(&main, &error),
    }
    found.folder(&grammar::folder(&main).join("conf.d"));
    for (name, value) in inputs.env.range(PREFIX.to_owned()..) {
        let Some(keys) = name.strip_prefix(PREFIX) else { break };
        let keys: Vec<_> = keys.split("__").map(str::to_lowercase).collect();
        found.variable(name, &keys, value);
    }
    for flag in inputs.overrides {
        let keys: Vec<_> = flag.key.split('.').map(str::to_owned).collect();
        found.variable(&flag.flag, &keys, &flag.value);
    }
    found
}

/// The file that must exist because somebody named it.
pub(super) fn named_file(inputs: &Inputs<'_>) -> Option<PathBuf> {
    let variable = || inputs.env.get("ATTENDANT_CONFIG").filter(|path| !path.is_empty());
    inputs.file.map(Path::to_owned).or_else(|| variable().map(PathBuf::from))
}

impl Found {
    fn broken(&mut self, file: &Path, error: &io::Error) {
        self.unreadable = true;
        self.problems.push(Diagnostic::new(file, "", format!("cannot be read: {error}")));
    }

    /// `conf.d`: what ends in `.toml` and is not hidden, in byte order of the names.
    fn folder(&mut self, folder: &Path) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.broken(folder, &error),
        };
        let mut files: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| file.extension().is_some_and(|end| end == "toml"))
            .filter(|file| file.file_name().is_some_and(|name| name.as_encoded_bytes()[0] != b'.'))
            .collect();
        files.sort();
        for file in files {
            match std::fs::read_to_string(&file) {
                Ok(text) => self.file(&file, &text),
                Err(error) => self.broken(&file, &error),
            }
        }
    }

    fn file(&mut self, file: &Path, text: &str) {
        let mut reader = Reader::new(file, Some(text));
        let (document, errors) = DeTable::parse_recoverable(text);
        self.unreadable |= !errors.is_empty();
        for error in &errors {
            let line = error.span().and_then(|span| reader.line(span.start));
            // The message alone: the error's own display quotes the line.
            reader.wrong(line, "", format!("is not TOML: {}", error.message()));
        }
        if errors.is_empty() {
            let document = DeValue::Table(document.into_inner());
            let value = reader.read(&schema::ROOT, "", None, &document);
            let places = std::mem::take(&mut reader.places);
            self.layers.extend(value.map(|value| Layer { origin: file.into(), value, places }));
        }
        self.problems.append(&mut reader.problems);
    }

    /// One environment variable or flag: a key and a text.
    fn variable(&mut self, origin: &str, keys: &[String], text: &str) {
        let mut reader = Reader::new(Path::new(origin), None);
        match descend(keys) {
            Ok(shape) => {
                reader.note_above(keys);
                let value = typed(shape, text)
                    .map_err(|message| reader.wrong(None, &keys.join("."), message))
                    .ok()
                    .and_then(|value| reader.read(shape, &keys.join("."), None, &value));
                let value = value.map_or_else(|| ValueKind::Nil.into(), |value| nest(keys, value));
                let places = std::mem::take(&mut reader.places);
                self.layers.push(Layer { origin: origin.into(), value, places });
            }
            Err((key, message)) => reader.wrong(None, &key, message),
        }
        self.problems.append(&mut reader.problems);
    }
}

/// The shape at a key, or the first part of the key that is not there and why.
fn descend(keys: &[String]) -> Result<&'static Shape, (String, String)> {
    let mut shape: &'static Shape = &schema::ROOT;
    let mut path = String::new();
    for key in keys {
        path = join(&path, key);
        let inner = match shape {
            Shape::Table(fields) | Shape::Source(fields) => field(fields, key),
            Shape::Named(inner) => grammar::name(key).map(|()| *inner),
            Shape::Object => Ok(&Shape::Any),
            _ => Err("unknown key; nothing stands below it".into()),
        };
        shape = inner.map_err(|message| (path.clone(), message))?;
    }
    Ok(shape)
}

/// Text stands for itself where text is wanted; everything else is written as in TOML. Where
/// anything may stand, what is not TOML is text.
fn typed<'t>(shape: &Shape, text: &'t str) -> Result<DeValue<'t>, String> {
    let plain = || DeValue::String(text.into());
    if matches!(shape, Shape::Text(_) | Shape::Date(_)) {
        return Ok(plain());
    }
    match DeValue::parse(text.trim()) {
        Ok(value) => Ok(value.into_inner()),
        Err(_) if matches!(shape, Shape::Any) => Ok(plain()),
        Err(error) => Err(format!("is not a TOML value: {}", error.message())),
    }
}
