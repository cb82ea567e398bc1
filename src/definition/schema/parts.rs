//! What the tables of the schema are made of.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// Names of providers, kinds, credentials, secrets, parameters and arguments.
const NAME: &str = "^[a-z0-9_]+$";
/// What humantime reads, but for the size of its numbers.
const DURATION: &str = concat!(
    r"(\s*[0-9][0-9\s]*(\.[0-9][0-9\s]*)?",
    "(nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h",
    "|days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y)",
    r"\s*)+$",
);

/// A table with these keys and no others.
pub(super) fn table(description: &str, required: &[&str], properties: Value) -> Value {
    let mut table = json!({
        "type": "object",
        "description": description,
        "additionalProperties": false,
    });
    table["properties"] = properties;
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

/// A table whose keys are names that the file gives.
pub(super) fn named(description: &str, value: Value) -> Value {
    let mut table = free(description, value);
    table["propertyNames"] = json!({ "pattern": NAME });
    table
}

/// A table whose keys are anything.
pub(super) fn free(description: &str, value: Value) -> Value {
    let mut table = json!({ "type": "object", "description": description });
    table["additionalProperties"] = value;
    table
}

/// These keys may not be there: they belong elsewhere.
pub(super) fn without(keys: &[&str]) -> Value {
    let keys: Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), Value::Bool(false))).collect();
    json!({ "properties": keys })
}

/// A condition: this key is there and has this value.
pub(super) fn says(key: &str, value: &str) -> Value {
    json!({ "required": [key], "properties": { key: { "const": value } } })
}

/// A condition: this key is there.
pub(super) fn has(key: &str) -> Value {
    json!({ "required": [key] })
}

/// Adds `if`, `then` and `else` to a schema.
pub(super) fn when(schema: &mut Value, condition: Value, then: Value, otherwise: Value) {
    schema["if"] = condition;
    schema["then"] = then;
    schema["else"] = otherwise;
}

pub(super) fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

/// What is decided or taken, in the words of minijinja.
pub(super) fn expr(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": format!("Expression. {description}") })
}

/// A text with values put in.
pub(super) fn template(description: &str) -> Value {
    text(&format!("Template. {description}"))
}

pub(super) fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description, "default": false })
}

pub(super) fn words(description: &str, words: &[&str], default: Option<&str>) -> Value {
    let mut schema = json!({ "type": "string", "description": description, "enum": words });
    if let Some(default) = default {
        schema["default"] = json!(default);
    }
    schema
}

pub(super) fn name(description: &str) -> Value {
    json!({ "type": "string", "description": description, "pattern": NAME })
}

pub(super) fn kind_name(description: &str) -> Value {
    json!({ "type": "string", "description": description, "pattern": r"^[a-z0-9_]+\.[a-z0-9_]+$" })
}

/// A duration longer than nothing.
pub(super) fn duration(description: &str, default: Option<Duration>) -> Value {
    let mut schema = json!({
        "type": "string",
        "description": format!("{description} A duration such as 30s, 12h or 60d."),
        "pattern": format!("^{DURATION}"),
        // All zeros.
        "not": { "pattern": "^[^1-9]*$" },
    });
    if let Some(default) = default {
        schema["default"] = json!(shown(default));
    }
    schema
}

/// As people write it.
pub(super) fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

pub(super) fn limit(description: &str) -> Value {
    json!({
        "type": "string",
        "description": format!("{description} Requests per window, such as 240/1m or 14400/24h; \
            a window has at least a second."),
        "pattern": format!(r"^\s*\+?0*[1-9][0-9]*\s*/{DURATION}"),
        "not": { "pattern": "/[^1-9]*$" },
    })
}

/// Without a query, and without credentials in it.
pub(super) fn url(description: &str) -> Value {
    json!({ "type": "string", "description": description, "pattern": "^https?://[^/?#@]+(/[^?#@]*)?$" })
}

const HEADER_NAME: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

pub(super) fn header_name(description: &str) -> Value {
    json!({ "type": "string", "description": description, "pattern": HEADER_NAME })
}

pub(super) fn headers(description: &str) -> Value {
    let mut headers = free(description, template("The header's value."));
    headers["propertyNames"] = json!({ "pattern": HEADER_NAME });
    headers
}
