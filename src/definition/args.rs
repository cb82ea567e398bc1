//! The arguments of a kind: what a caller may give, checked before a job exists.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::read::one_of;

/// What an argument may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgType {
    String,
    Integer,
    Number,
    Boolean,
    Object,
    Array,
    /// An opaque id: a string, or a whole number that becomes one. It is fit for a path.
    Id,
    Enum(Vec<String>),
}

impl ArgType {
    /// The types that a definition can name; an enum is written as its values.
    pub(super) const NAMED: [(&str, ArgTypeName); 7] = [
        ("string", ArgTypeName::String),
        ("integer", ArgTypeName::Integer),
        ("number", ArgTypeName::Number),
        ("boolean", ArgTypeName::Boolean),
        ("object", ArgTypeName::Object),
        ("array", ArgTypeName::Array),
        ("id", ArgTypeName::Id),
    ];

    /// The word that a definition uses for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Array => "array",
            Self::Id => "id",
            Self::Enum(_) => "enum",
        }
    }

    /// The value as it is kept, or what would be right.
    pub(super) fn accept(&self, value: &Value) -> Result<Value, String> {
        let fits = match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::Id => return accept_id(value),
            Self::Enum(words) => return accept_word(words, value),
        };
        if fits { Ok(value.clone()) } else { Err(format!("must be {}", self.wanted())) }
    }

    fn wanted(&self) -> String {
        match self {
            Self::String => "a string".to_owned(),
            Self::Integer => "a whole number".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Object => "an object".to_owned(),
            Self::Array => "an array".to_owned(),
            Self::Id => "an id: a string or a whole number".to_owned(),
            Self::Enum(words) => one_of(words),
        }
    }
}

/// [`ArgType`] without an enum's values.
#[derive(Debug, Clone, Copy)]
pub(super) enum ArgTypeName {
    String,
    Integer,
    Number,
    Boolean,
    Object,
    Array,
    Id,
}

impl From<ArgTypeName> for ArgType {
    fn from(name: ArgTypeName) -> Self {
        match name {
            ArgTypeName::String => Self::String,
            ArgTypeName::Integer => Self::Integer,
            ArgTypeName::Number => Self::Number,
            ArgTypeName::Boolean => Self::Boolean,
            ArgTypeName::Object => Self::Object,
            ArgTypeName::Array => Self::Array,
            ArgTypeName::Id => Self::Id,
        }
    }
}

fn accept_id(value: &Value) -> Result<Value, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => return Err(format!("must be {}", ArgType::Id.wanted())),
    };
    // Also kept out of paths when they are rendered; a caller is told here, before it waits.
    if super::engine::no_segment(&text) || text.contains('/') || text.contains(char::is_control) {
        return Err("is no id: it may not be empty, `.` or `..`, nor contain `/` or control \
                    characters"
            .to_owned());
    }
    Ok(text.into())
}

fn accept_word(words: &[String], value: &Value) -> Result<Value, String> {
    let known = value.as_str().is_some_and(|text| words.iter().any(|word| word == text));
    if known { Ok(value.clone()) } else { Err(format!("must be {}", one_of(words))) }
}

/// One argument.
#[derive(Debug, Clone, PartialEq)]
pub struct ArgSpec {
    pub name: String,
    /// What it is, for people; may be empty.
    pub title: String,
    pub kind: ArgType,
    /// What it is when it is not given.
    pub default: Option<Value>,
    /// Undefined when it is not given.
    pub optional: bool,
    /// Holds data about a person.
    pub personal: bool,
    /// Is shown to nobody.
    pub secret: bool,
}

impl ArgSpec {
    /// Must be given.
    pub fn required(&self) -> bool {
        !self.optional && self.default.is_none()
    }

    fn describe(&self) -> Value {
        let mut described = json!({
            "name": self.name, "title": self.title, "type": self.kind.name(),
            "required": self.required(), "default": self.default,
            "secret": self.secret, "personal": self.personal,
        });
        if let ArgType::Enum(words) = &self.kind {
            described["enum"] = json!(words);
        }
        described
    }
}

/// What is wrong with one argument. It never quotes the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldProblem {
    /// The argument's name; empty where the arguments as a whole are meant.
    pub field: String,
    pub message: String,
}

impl FieldProblem {
    fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }
}

/// The arguments of a kind, in the order of its definition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ArgsSchema(pub(super) Vec<ArgSpec>);

impl ArgsSchema {
    pub fn iter(&self) -> impl Iterator<Item = &ArgSpec> {
        self.0.iter()
    }

    pub fn get(&self, name: &str) -> Option<&ArgSpec> {
        self.0.iter().find(|arg| arg.name == name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|arg| arg.name.as_str())
    }

    /// The arguments that are shown to nobody.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|arg| arg.secret).map(|arg| arg.name.as_str())
    }

    /// The arguments as kept with a job: checked, ids as strings, defaults filled in. A null
    /// counts as not given. All problems are returned, not only the first.
    pub fn validate(&self, args: &Value) -> Result<Map<String, Value>, Vec<FieldProblem>> {
        let Value::Object(given) = args else {
            return Err(vec![FieldProblem::new("", "the arguments must be an object")]);
        };
        let unknown = given.keys().filter(|name| self.get(name).is_none());
        let mut problems: Vec<_> = unknown.map(|name| self.unknown(name)).collect();
        let mut checked = Map::new();
        for arg in &self.0 {
            match arg.take(given.get(&arg.name).filter(|value| !value.is_null())) {
                Ok(Some(value)) => drop(checked.insert(arg.name.clone(), value)),
                Ok(None) => {}
                Err(message) => problems.push(FieldProblem::new(&arg.name, message)),
            }
        }
        if problems.is_empty() { Ok(checked) } else { Err(problems) }
    }

    /// The arguments as JSON: an array of `{name, title, type, required, default, secret,
    /// personal}`, with `enum` where there is one.
    pub fn describe(&self) -> Value {
        self.0.iter().map(ArgSpec::describe).collect()
    }

    fn unknown(&self, name: &str) -> FieldProblem {
        let names: Vec<_> = self.names().collect();
        let known = match names.as_slice() {
            [] => "this kind takes none".to_owned(),
            names => format!("use {}", one_of(names)),
        };
        FieldProblem::new(name, format!("is not an argument: {known}"))
    }
}

impl ArgSpec {
    fn take(&self, given: Option<&Value>) -> Result<Option<Value>, String> {
        match given {
            Some(value) => self.kind.accept(value).map(Some),
            None if self.required() => Err(format!("is missing: {}", self.kind.wanted())),
            None => Ok(self.default.clone()),
        }
    }
}
