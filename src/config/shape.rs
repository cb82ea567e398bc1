//! Reads one layer's TOML against the keys and types that are allowed, and says all that is wrong.

use std::path::Path;

use config::{Map, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    grammar,
    position::{Place, PlaceKind},
};
use crate::diagnostic::Diagnostic;

/// Says what is wrong with a text, if anything.
pub(super) type Grammar = fn(&str) -> Result<(), String>;

/// What may stand at a key.
#[derive(Debug)]
pub(super) enum Shape {
    Text(Grammar),
    /// Text, or a TOML date or time.
    Date(Grammar),
    Integer {
        min: i64,
        max: i64,
    },
    Flag,
    List(&'static Shape),
    /// Exactly these keys.
    Table(&'static [(&'static str, Shape)]),
    /// A table that names where a value comes from; a later layer's source replaces an earlier one.
    Source(&'static [(&'static str, Shape)]),
    /// Keys that the operator chooses.
    Named(&'static Shape),
    /// Any keys and values that JSON has.
    Object,
    /// Any value that JSON has.
    Any,
}

/// The keys of [`Shape::Source`] of which exactly one may be given.
pub(super) const SOURCES: [&str; 3] = ["credential", "file", "env"];

/// Reads one layer: its values, its places, its problems.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    file: &'a Path,
    /// Where each line ends, for line numbers; `None` for variables and flags.
    line_ends: Option<Vec<usize>>,
    pub places: Vec<Place>,
    pub problems: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a Path, text: Option<&'a str>) -> Self {
        let ends = |text: &str| text.match_indices('\n').map(|(at, _)| at).collect();
        Self { file, line_ends: text.map(ends), places: Vec::new(), problems: Vec::new() }
    }

    /// The line of a byte offset.
    pub fn line(&self, offset: usize) -> Option<usize> {
        Some(self.line_ends.as_ref()?.partition_point(|end| *end < offset) + 1)
    }

    pub fn wrong(&mut self, line: Option<usize>, key: &str, message: impl Into<String>) {
        self.problems.push(Diagnostic { line, ..Diagnostic::new(self.file, key, message) });
    }

    /// The value at `key`, or `None` after saying why not.
    pub fn read(
        &mut self,
        shape: &Shape,
        key: &str,
        line: Option<usize>,
        value: &DeValue<'_>,
    ) -> Option<Value> {
        self.note(shape, key, line);
        match (shape, value) {
            (Shape::Text(check) | Shape::Date(check), DeValue::String(text)) => {
                self.checked(*check, key, line, text)
            }
            (Shape::Date(check), DeValue::Datetime(at)) => {
                self.checked(*check, key, line, &at.to_string())
            }
            (Shape::Integer { min, max }, DeValue::Integer(_)) => {
                self.integer(*min, *max, key, line, value)
            }
            (Shape::Flag, DeValue::Boolean(flag)) => Some((*flag).into()),
            (Shape::List(each), DeValue::Array(items)) => self.list(each, key, items),
            (Shape::Table(fields) | Shape::Source(fields), DeValue::Table(table)) => {
                Some(self.table(key, table, |name| field(fields, name)))
            }
            (Shape::Named(each), DeValue::Table(table)) => {
                Some(self.table(key, table, |name| grammar::name(name).map(|()| *each)))
            }
            (Shape::Object, DeValue::Table(_)) | (Shape::Any, _) => self.json(key, line, value),
            _ => {
                self.wrong(line, key, mismatch(shape, value));
                None
            }
        }
    }

    /// All allowed keys of a table; the others are problems.
    pub fn table<'s>(
        &mut self,
        key: &str,
        table: &DeTable<'_>,
        shape_of: impl Fn(&str) -> Result<&'s Shape, String>,
    ) -> Value {
        let mut read = Map::new();
        for (name, value) in table {
            let (inner, line) = (join(key, name.get_ref()), self.line(name.span().start));
            match shape_of(name.get_ref()) {
                Ok(shape) => {
                    if let Some(value) = self.read(shape, &inner, line, value.get_ref()) {
                        read.insert(name.get_ref().to_string(), value);
                    }
                }
                Err(message) => self.wrong(line, &inner, message),
            }
        }
        read.into()
    }

    /// The whole list or nothing, so that indices keep their meaning.
    fn list(&mut self, each: &Shape, key: &str, items: &[Spanned<DeValue<'_>>]) -> Option<Value> {
        let read: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(n, item)| {
                let line = self.line(item.span().start);
                self.read(each, &format!("{key}[{n}]"), line, item.get_ref())
            })
            .collect();
        read.into_iter().collect::<Option<Vec<_>>>().map(Value::from)
    }

    fn checked(
        &mut self,
        check: Grammar,
        key: &str,
        line: Option<usize>,
        text: &str,
    ) -> Option<Value> {
        match check(text) {
            Ok(()) => Some(text.into()),
            Err(message) => {
                self.wrong(line, key, message);
                None
            }
        }
    }

    fn integer(
        &mut self,
        min: i64,
        max: i64,
        key: &str,
        line: Option<usize>,
        value: &DeValue<'_>,
    ) -> Option<Value> {
        match grammar::integer(value) {
            Some(number) if (min..=max).contains(&number) => Some(number.into()),
            _ => {
                self.wrong(line, key, format!("expected an integer from {min} to {max}"));
                None
            }
        }
    }

    fn json(&mut self, key: &str, line: Option<usize>, value: &DeValue<'_>) -> Option<Value> {
        match value {
            DeValue::String(text) => Some(text.as_ref().into()),
            DeValue::Boolean(flag) => Some((*flag).into()),
            DeValue::Datetime(at) => Some(at.to_string().into()),
            DeValue::Integer(_) => self.integer(i64::MIN, i64::MAX, key, line, value),
            DeValue::Float(number) => {
                let number = number.as_str().parse().ok().filter(|number: &f64| number.is_finite());
                if number.is_none() {
                    self.wrong(line, key, "expected a finite number");
                }
                number.map(Value::from)
            }
            DeValue::Array(items) => self.list(&Shape::Any, key, items),
            DeValue::Table(table) => Some(self.table(key, table, |_| Ok(&Shape::Any))),
        }
    }

    /// The tables that a variable's key implies.
    pub fn note_above(&mut self, keys: &[String]) {
        for n in 1..keys.len() {
            self.places.push(Place {
                key: keys[..n].join("."),
                line: None,
                kind: PlaceKind::Table,
            });
        }
    }

    fn note(&mut self, shape: &Shape, key: &str, line: Option<usize>) {
        let kind = match shape {
            Shape::Table(_) | Shape::Named(_) | Shape::Source(_) | Shape::Object => {
                PlaceKind::Table
            }
            _ => PlaceKind::Value,
        };
        self.places.push(Place { key: key.to_owned(), line, kind });
    }
}

/// The shape of a named key, or which keys there are.
pub(super) fn field<'s>(fields: &'s [(&str, Shape)], name: &str) -> Result<&'s Shape, String> {
    fields.iter().find(|(known, _)| *known == name).map(|(_, shape)| shape).ok_or_else(|| {
        let names: Vec<_> = fields.iter().map(|(known, _)| *known).collect();
        format!("unknown key; allowed here: {}", names.join(", "))
    })
}

/// Dotted path of a key inside another.
pub(super) fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

/// Never says the value: it may be a secret in the wrong place.
fn mismatch(shape: &Shape, found: &DeValue<'_>) -> String {
    let found = match found {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    let expected = match shape {
        Shape::Text(_) => "text in quotes",
        Shape::Date(_) => "a date",
        Shape::Integer { .. } => "an integer",
        Shape::Flag => "true or false",
        Shape::List(_) => "an array",
        Shape::Table(_) | Shape::Named(_) | Shape::Object => "a table",
        Shape::Source(fields) => return source_wanted(fields, found),
        Shape::Any => "a value",
    };
    format!("expected {expected}, found {found}")
}

fn source_wanted(fields: &[(&str, Shape)], found: &str) -> String {
    let sources: Vec<_> = SOURCES
        .into_iter()
        .filter(|source| fields.iter().any(|(name, _)| name == source))
        .map(|source| format!("{{ {source} = \"…\" }}"))
        .collect();
    format!(
        "expected {}, found {found}; the value itself never stands in the configuration",
        sources.join(" or ")
    )
}
