//! `[jobs.…]`, their arguments, and what one kind says of another.

use serde_json::{Value, json};

use super::{
    parts::{
        duration, expr, flag, free, has, kind_name, named, says, table, template, text, when,
        without, words,
    },
    requests::{auth, request},
};
use crate::definition::{
    args::ArgType,
    kind::{DEFAULT_MAX_BODY, DEFAULT_MAX_DOWNLOAD, DEFAULT_MAX_ERRORS},
};

const SENT: &str = "params, args, secrets and credentials";
const ANSWERED: &str = "May refer to response, body, http, params and args.";
const STATUS: &str = "May refer to status, response, body, http, params and args.";

pub(super) fn kind() -> Value {
    let mut kind = table(
        "A kind of jobs.",
        &["shape", "request"],
        json!({
            "title": text("What it does, for people. Default: empty."),
            "shape": words("call: one request, or all pages. download: a file. follow: asks again \
                until it is done.", &["call", "download", "follow"], None),
            "args": named("What a caller gives, by name.", arg()),
            "request": request("What to send.", SENT),
            "auth": auth(&format!("How the request shows who asks. May refer to {SENT}. Default: \
                the provider's.")),
            "success": expr(&format!("Whether a 2xx answer is a success; without it, every 2xx \
                is. {STATUS}")),
            "status": expr(&format!("The status to record; null is an unknown one. {ANSWERED}")),
            "retry_when": expr(&format!("Whether an answer means: later, again. {ANSWERED}")),
            "retry_after": expr(&format!("Seconds, or an HTTP date, to wait before anything else \
                is sent for the account. {ANSWERED}")),
            "then": {
                "type": "array",
                "description": "Jobs to enqueue when this one has completed.",
                "items": then(),
            },
            "sets": sets(),
            "secret_result": flag("The result holds secrets: it is shown to those who may have \
                credentials, and to no others."),
            "max_errors": {
                "type": "integer",
                "description": "Consecutive errors after which a job is dead.",
                "minimum": 1,
                "maximum": u32::MAX,
                "default": DEFAULT_MAX_ERRORS,
            },
            "timeout": duration("How long a request may take. Default: the provider's.", None),
            "max_body": {
                "type": "integer",
                "description": format!("The largest answer, in bytes. Default: {DEFAULT_MAX_BODY}; \
                    of a download, {DEFAULT_MAX_DOWNLOAD}."),
                "minimum": 0,
            },
            "pages": pages(),
            "repeat": words("Whether the request may be sent again when nobody knows what became \
                of it. never: callers give a key, and an unknown outcome is left to a person. \
                Shape call.", &["safe", "never"], Some("safe")),
            "reconcile": reconcile(),
            "artifact": template(&format!("The downloaded file's name, such as \"report.pdf\". \
                May refer to {SENT}. Shape download.")),
            "until": expr(&format!("Whether it is done, such as \"status == 'DONE'\". {STATUS} \
                Shape follow.")),
            "deadline": duration("When to give up. Shape follow.", None),
            "every": duration("The shortest time between two polls. Shape follow.", None),
            "unique": {
                "type": "array",
                "description": "The arguments that identify a follow while it is live: enqueueing \
                    the same again returns it. Default: none. Shape follow.",
                "items": text("The name of an argument."),
            },
        }),
    );
    let (mut download, mut follow) = (json!({}), json!({}));
    when(&mut follow, says("shape", "follow"), of_follow(), Value::Bool(true));
    when(&mut download, says("shape", "download"), of_download(), follow);
    when(&mut kind, says("shape", "call"), of_call(), download);
    kind
}

fn of_call() -> Value {
    let mut call = without(&["artifact", "until", "deadline", "every", "unique"]);
    let never = says("repeat", "never");
    let mut reconciled = json!({});
    when(&mut reconciled, has("reconcile"), never, Value::Bool(true));
    // Pages are requests that are sent again, and so is one that changes a secret.
    let sent_again = json!({ "anyOf": [has("pages"), has("sets")] });
    let safe = json!({
        "properties": { "repeat": { "const": "safe" } },
        "not": { "required": ["reconcile"] },
    });
    when(&mut call, sent_again, safe, reconciled);
    call
}

fn of_download() -> Value {
    let others = ["pages", "repeat", "reconcile", "until", "deadline", "every", "unique"];
    let mut download = without(&others);
    download["required"] = json!(["artifact"]);
    download
}

fn of_follow() -> Value {
    let mut follow = without(&["pages", "repeat", "reconcile", "artifact"]);
    follow["required"] = json!(["until", "deadline"]);
    follow
}

fn pages() -> Value {
    table(
        "An answer in several pages; the result is all their items. Shape call, not with repeat = \
         \"never\".",
        &["items", "next"],
        json!({
            "items": expr(&format!("The items of a page, such as \"response.results\". {ANSWERED}")),
            "next": expr(&format!("The URL of the next page, on the same origin, such as \
                \"response.next\"; null or empty on the last. {ANSWERED}")),
        }),
    )
}

fn reconcile() -> Value {
    table(
        "Asked before a request with an unknown outcome is left to a person. Shape call, with \
         repeat = \"never\".",
        &["request", "found"],
        json!({
            "request": request("What to ask.", SENT),
            "found": expr(&format!("What the lost answer would have been, or null where the \
                request was not carried out. {ANSWERED}")),
        }),
    )
}

fn sets() -> Value {
    table(
        "A secret of the account that a success of this job changes on the provider's side. Not with \
         repeat = \"never\".",
        &["secret", "to"],
        json!({
            "secret": text("The name of the secret, declared in [secrets]."),
            "to": expr(&format!("The new secret, such as \"args.pass\". May refer to {SENT}.")),
            "when": expr(&format!("Whether this job changes the account's own; without it, \
                always. May refer to {SENT}.")),
        }),
    )
}

fn then() -> Value {
    let when = expr(&format!("Whether to; without it, always. {STATUS}"));
    link(
        "A job to enqueue when this one has completed.",
        "The kind, with its provider, such as certn.report.",
        &format!("Its arguments, each an expression. {STATUS}"),
        &json!({ "when": when }),
    )
}

/// A kind and its arguments, and what else the table has.
pub(super) fn link(description: &str, kind: &str, args: &str, others: &Value) -> Value {
    let mut keys = others.clone();
    keys["kind"] = kind_name(kind);
    keys["args"] = free(args, expr("The argument's value."));
    table(description, &["kind"], keys)
}

pub(super) fn arg() -> Value {
    let types: Vec<_> = ArgType::NAMED.iter().map(|(word, _)| *word).collect();
    let mut arg = table(
        "One argument or parameter: its `type`, or its allowed values as `enum`.",
        &[],
        json!({
            "title": text("What it is, for people. Default: empty."),
            "type": words("What it may be. id: a string, or a whole number that becomes one, fit \
                for a path.", &types, None),
            "enum": {
                "type": "array",
                "description": "The allowed values, instead of a type.",
                "items": { "type": "string" },
                "minItems": 1,
            },
            "default": { "description": "Its value where none is given. Not with optional = true." },
            "optional": flag("It may be left out. What is nothing but this argument is then left \
                out of a query, form or body."),
            "personal": flag("It is personal data."),
            "secret": flag("It is a secret: shown as ***."),
        }),
    );
    arg["not"] = json!({
        "required": ["default", "optional"],
        "properties": { "optional": { "const": true } },
    });
    let one_of_words = json!({
        "not": { "required": ["type"] },
        "properties": { "default": { "type": "string" } },
    });
    let mut by_type = default_by_type(&types);
    by_type["required"] = json!(["type"]);
    when(&mut arg, has("enum"), one_of_words, by_type);
    arg
}

/// What `default` may be, by the word of `type`.
fn default_by_type(types: &[&str]) -> Value {
    types.iter().rev().fold(json!({}), |otherwise, word| {
        let default = match *word {
            "id" => json!({ "type": ["string", "integer"], "pattern": "^[^/]+$" }),
            other => json!({ "type": other }),
        };
        let mut rule = json!({});
        when(
            &mut rule,
            says("type", word),
            json!({ "properties": { "default": default } }),
            otherwise,
        );
        rule
    })
}
