//! The two minijinja environments: one writes plain text, one writes segments of a path.
//!
//! Compiled templates borrow their environment and their source, so both live as long as the
//! process: the environments are statics, and each distinct source text is kept once. Loading the
//! same definitions again keeps nothing more.

use std::{
    collections::BTreeSet,
    sync::{LazyLock, Mutex, PoisonError},
};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value,
    value::ValueKind,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Instructions that one evaluation may take; an honest one takes a few dozen.
const FUEL: u64 = 100_000;

/// RFC 3986's unreserved characters stay, all else is encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

type Formatter = fn(&mut Output<'_>, &mut State<'_, '_>, &Value) -> Result<(), Error>;

/// Values are written as they are.
pub(crate) static TEXT: LazyLock<Environment<'static>> = LazyLock::new(|| environment(write_text));

/// Each value is written as (a part of) one path segment.
pub(super) static PATH: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(write_segment));

fn environment(formatter: Formatter) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_fuel(Some(FUEL));
    // `debug` in either form would put every variable, secrets included, in a text.
    env.set_debug(false);
    env.remove_global("debug");
    env.set_formatter(formatter);
    env
}

/// Why a formatter refused a value; carried as the source of minijinja's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("a null, a list or an object in a text")]
    NotScalar,
    #[error("an empty value, `.` or `..` in a path")]
    Segment,
}

impl From<Refused> for Error {
    fn from(why: Refused) -> Self {
        Self::new(ErrorKind::InvalidOperation, "value refused").with_source(why)
    }
}

/// The text of a scalar; `None` for what has no place in a text.
fn scalar(value: &Value) -> Option<String> {
    match value.kind() {
        // Only `{{ a if b }}` without an else gets here; others are errors before.
        ValueKind::Undefined => Some(String::new()),
        ValueKind::String | ValueKind::Number | ValueKind::Bool => Some(value.to_string()),
        _ => None,
    }
}

fn write_text(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = scalar(value).ok_or(Refused::NotScalar)?;
    out.write_str(&text).map_err(Error::from)
}

fn write_segment(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = scalar(value).ok_or(Refused::NotScalar)?;
    if no_segment(&text) {
        return Err(Refused::Segment.into());
    }
    write!(out, "{}", utf8_percent_encode(&text, SEGMENT)).map_err(Error::from)
}

/// Texts that would change what a path means instead of naming something in it.
pub(super) fn no_segment(text: &str) -> bool {
    matches!(text, "" | "." | "..")
}

/// The one copy of a source text that lives as long as the process.
pub(super) fn keep(text: &str) -> &'static str {
    static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.get(text) {
        return known;
    }
    let text: &'static str = Box::leak(text.into());
    kept.insert(text);
    text
}
