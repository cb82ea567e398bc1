//! Reading a TOML file so that every problem found in it knows its line and key.
//!
//! Serde stops at the first problem; an operator who mends a definition wants all of them. So the
//! parsed document is walked by hand: asking a [`Table`] for a key makes the key known, and
//! [`Table::finish`] reports the keys that nobody asked for.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostic;

/// Collects the problems of one file.
pub(super) struct Report {
    file: PathBuf,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Diagnostic>>,
}

impl Report {
    pub(super) fn new(file: PathBuf, text: &str) -> Self {
        let line_starts = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self { file, line_starts, problems: RefCell::default() }
    }

    /// The one-based line of a byte offset.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset) + 1
    }

    pub(super) fn add(&self, place: &Place, message: impl Into<String>) {
        let problem = Diagnostic::new(self.file.clone(), place.key.clone(), message);
        self.problems.borrow_mut().push(problem.at_line(place.line));
    }

    /// All problems, in the order of their lines.
    pub(super) fn into_problems(self) -> Vec<Diagnostic> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }
}

/// Where something stands in its file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) key: String,
}

/// One value of the document.
#[derive(Clone)]
pub(super) struct Node<'a> {
    pub(super) report: &'a Report,
    pub(super) place: Place,
    value: &'a DeValue<'a>,
}

impl<'a> Node<'a> {
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.report.add(&self.place, message);
    }

    fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        self.problem(format!("must be {wanted}, not {}", type_name(self.value)));
        None
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str().or_else(|| self.wrong_type("a string"))
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.wrong_type("true or false"))
    }

    pub(super) fn whole_number(&self) -> Option<u64> {
        let number = integer(self.value).and_then(|number| number.as_u64());
        number.or_else(|| self.wrong_type("a whole number"))
    }

    pub(super) fn array(&self) -> Option<Vec<Node<'a>>> {
        let Some(items) = self.value.as_array() else { return self.wrong_type("an array") };
        let nodes = items.iter().enumerate().map(|(n, item)| Node {
            report: self.report,
            place: Place {
                line: self.report.line(item.span().start),
                key: format!("{}[{n}]", self.place.key),
            },
            value: item.get_ref(),
        });
        Some(nodes.collect())
    }

    pub(super) fn table(&self) -> Option<Table<'a>> {
        let Some(entries) = self.value.as_table() else { return self.wrong_type("a table") };
        Some(Table::new(self.report, self.place.clone(), entries))
    }

    /// The strings of an array of strings; what is none is reported and left out.
    pub(super) fn texts(&self) -> Option<Vec<&'a str>> {
        Some(self.array()?.iter().filter_map(Node::text).collect())
    }

    /// A duration such as `30s`, longer than nothing.
    pub(super) fn duration(&self) -> Option<Duration> {
        let text = self.text()?;
        match humantime::parse_duration(text) {
            Ok(duration) if !duration.is_zero() => Some(duration),
            _ => {
                self.problem(format!(
                    "`{text}` is not a duration: write such as \"30s\", \"12h\" or \"60d\""
                ));
                None
            }
        }
    }

    /// One of the allowed words.
    pub(super) fn word<T: Copy>(&self, allowed: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = allowed.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<_> = allowed.iter().map(|(word, _)| *word).collect();
            self.problem(format!("`{text}` is not allowed here: use {}", one_of(&words)));
        }
        found
    }

    /// The value as JSON, for defaults.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        json(self.value).or_else(|| self.wrong_type("a value that JSON has"))
    }

    /// What stands in the file as an array or table of JSON values.
    pub(super) fn is_array(&self) -> bool {
        self.value.is_array()
    }
}

/// One table of the document.
pub(super) struct Table<'a> {
    report: &'a Report,
    pub(super) place: Place,
    entries: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    pub(super) fn new(report: &'a Report, place: Place, entries: &'a DeTable<'a>) -> Self {
        Self { report, place, entries, asked: RefCell::default() }
    }

    pub(super) fn file(&self) -> &Path {
        &self.report.file
    }

    pub(super) fn problem(&self, message: impl Into<String>) {
        self.report.add(&self.place, message);
    }

    /// The value of a key, which is thereby known.
    pub(super) fn get(&self, key: &'static str) -> Option<Node<'a>> {
        self.asked.borrow_mut().push(key);
        self.find(key)
    }

    /// The value of a key that must be there; `what` says what it holds.
    pub(super) fn need(&self, key: &'static str, what: &str) -> Option<Node<'a>> {
        let found = self.get(key);
        if found.is_none() {
            self.problem(format!("`{key}` is missing: {what}"));
        }
        found
    }

    /// Reports a key that is a key elsewhere, but not here.
    pub(super) fn misplaced(&self, key: &'static str, why: &str) {
        if let Some(node) = self.find(key) {
            self.asked.borrow_mut().push(key);
            node.problem(why);
        }
    }

    fn find(&self, key: &str) -> Option<Node<'a>> {
        self.nodes().find(|(name, _)| *name == key).map(|(_, node)| node)
    }

    fn nodes(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        let (report, entries) = (self.report, self.entries);
        let parent = self.place.key.clone();
        entries.iter().map(move |(key, value)| {
            let name = key.get_ref().as_ref();
            let key = Place { line: report.line(key.span().start), key: dotted(&parent, name) };
            (name, Node { report, place: key, value: value.get_ref() })
        })
    }

    /// The entries of a table whose keys are not names of ours (header names, form fields).
    pub(super) fn entries(&self) -> Vec<(&'a str, Node<'a>)> {
        self.nodes().collect()
    }

    /// The entries of a table whose keys are names that the file gives; bad names are reported.
    pub(super) fn named(&self) -> Vec<(&'a str, Node<'a>)> {
        let (good, bad): (Vec<_>, Vec<_>) = self.nodes().partition(|(name, _)| is_name(name));
        for (_, node) in bad {
            node.problem("a name is made of a-z, 0-9 and _");
        }
        good
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        let mut known = self.asked.borrow().clone();
        known.sort_unstable();
        known.dedup();
        for (name, node) in self.nodes().filter(|(name, _)| !known.contains(name)) {
            node.problem(format!("`{name}` is not a key here: use {}", one_of(&known)));
        }
    }
}

/// Names of providers, kinds, credentials, secrets, parameters and arguments.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// `a, b or c`.
pub(super) fn one_of<S: AsRef<str>>(words: &[S]) -> String {
    match words {
        [] => "nothing (none are declared)".to_owned(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(AsRef::as_ref).collect();
            format!("{} or {}", first.join(", "), last.as_ref())
        }
    }
}

fn dotted(parent: &str, name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let name = if plain && !name.is_empty() { name.to_owned() } else { format!("{name:?}") };
    if parent.is_empty() { name } else { format!("{parent}.{name}") }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date (put it in quotes)",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn integer(value: &DeValue<'_>) -> Option<serde_json::Number> {
    let number = value.as_integer()?;
    let (text, radix) = (number.as_str(), number.radix());
    let signed = i64::from_str_radix(text, radix).map(Into::into);
    signed.or_else(|_| u64::from_str_radix(text, radix).map(Into::into)).ok()
}

fn json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    Some(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(_) => serde_json::Value::Number(integer(value)?),
        DeValue::Float(number) => {
            let number = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            serde_json::Value::Number(number?)
        }
        DeValue::Boolean(truth) => (*truth).into(),
        DeValue::Datetime(_) => return None,
        DeValue::Array(items) => {
            items.iter().map(|item| json(item.get_ref())).collect::<Option<_>>()?
        }
        DeValue::Table(entries) => entries
            .iter()
            .map(|(key, value)| Some((key.get_ref().to_string(), json(value.get_ref())?)))
            .collect::<Option<_>>()?,
    })
}
