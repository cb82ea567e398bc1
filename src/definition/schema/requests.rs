//! Requests and `auth`.

use serde_json::{Value, json};

use super::parts::{free, headers, table, template, words};
use crate::definition::request_read::METHODS;

/// A request; `scope` says what its templates and expressions may refer to.
pub(super) fn request(what: &str, scope: &str) -> Value {
    let methods: Vec<_> = METHODS.iter().map(|(word, _)| *word).collect();
    let mut request = table(
        &format!("{what} Its templates and expressions may refer to {scope}."),
        &["path"],
        json!({
            "method": words("The method.", &methods, Some("GET")),
            "path": path(),
            "query": free("Query parameters. One that is nothing but an optional argument which \
                was not given is left out.", template("The parameter's value, not encoded.")),
            "headers": headers("Headers."),
            "basic": basic("HTTP Basic for this request."),
            "json": {
                "type": ["string", "number", "boolean", "array", "object"],
                "description": "The body, as JSON. A string in it is an expression (a literal \
                    text is \"'text'\"), tables and arrays are built of such, numbers and booleans \
                    stand for themselves. One that is nothing but an optional argument which was \
                    not given is left out. Not beside `form`.",
            },
            "form": free("The body, as a form. Fields are left out as in `query`. Not beside \
                `json`.", template("The field's value, not encoded.")),
        }),
    );
    request["not"] = json!({ "required": ["json", "form"] });
    request
}

fn path() -> Value {
    json!({
        "type": "string",
        "description": "Template. What follows the base URL, such as \"/api/v1/users/\". Every \
            value in it becomes one percent-encoded segment, or part of one.",
        // One slash, for the host is the account's.
        "pattern": "^/([^/]|$)",
        // `.` and `..` as segments.
        "not": { "pattern": r"^[^?]*/\.\.?(/|\?|$)" },
    })
}

fn basic(description: &str) -> Value {
    json!({
        "type": "array",
        "description": format!("{description} Two templates: user name and password."),
        "items": template("User name or password."),
        "minItems": 2,
        "maxItems": 2,
    })
}

/// The word none, or a table with one key: each constraint but the type holds for one of the two
/// only.
pub(super) fn auth(description: &str) -> Value {
    let mut auth = table(
        &format!("{description} One of bearer, header and basic; or \"none\"."),
        &[],
        json!({
            "bearer": template("The token of `Authorization: Bearer …`."),
            "header": headers("Headers that show who asks."),
            "basic": basic("HTTP Basic."),
        }),
    );
    auth["type"] = json!(["string", "object"]);
    auth["pattern"] = json!("^none$");
    auth["minProperties"] = json!(1);
    auth["maxProperties"] = json!(1);
    auth
}
