//! `[credentials.…]`.

use serde_json::{Map, Value, json};

use super::{
    parts::{duration, expr, flag, has, says, table, template, text, when, without, words},
    requests::{auth, request},
};
use crate::definition::credential::DEFAULT_OVERLAP;

/// Keys of a way that asks for the value, besides those of its life.
const ASKED: [&str; 8] = [
    "request",
    "value",
    "auth",
    "success",
    "refused_when",
    "maybe_refused_when",
    "retry_after",
    "refresh_token",
];
/// How long the value lives.
const LIFE: [&str; 4] = ["expires_in", "expires_at", "jwt_exp", "ttl"];
const ROTATES: [&str; 3] = ["create", "list", "overlap"];

pub(super) fn credential() -> Value {
    let mut keys = way_keys();
    keys.extend(rotate_keys());
    keys.insert(
        "shape".to_owned(),
        words(
            "exchange: asked for anew before the old one expires. rotate: a new value is made \
             beside the old one, which is revoked once `overlap` has passed.",
            &["exchange", "rotate"],
            None,
        ),
    );
    keys.insert("title".to_owned(), text("What it is, for people. Default: empty."));
    keys.insert(
        "timeout".to_owned(),
        duration("How long a request may take. Default: the provider's.", None),
    );
    keys.insert("alternatives".to_owned(), alternatives());
    let about = "A value that an account needs and that expires. Requests refer to it as \
                 credentials.NAME.";
    let mut credential = table(about, &["shape"], Value::Object(keys));
    let mut rotate = json!({});
    when(&mut rotate, says("shape", "rotate"), rotation(), Value::Bool(true));
    when(&mut credential, says("shape", "exchange"), exchange(), rotate);
    credential
}

fn exchange() -> Value {
    let mut exchange = without(&ROTATES);
    let not_beside: Vec<_> = ASKED.iter().chain(&LIFE).chain(&["given"]).copied().collect();
    when(&mut exchange, has("alternatives"), without(&not_beside), one_way());
    exchange
}

/// What a way needs: it is given, or asked for.
fn one_way() -> Value {
    let mut way = json!({});
    // What is given has no answer to take anything from.
    let no_answer: Vec<_> = ASKED.iter().chain(&["expires_in", "expires_at"]).copied().collect();
    let asked = json!({ "required": ["request", "value"] });
    when(&mut way, has("given"), without(&no_answer), asked);
    way
}

fn rotation() -> Value {
    let mut rotation = without(&[
        "alternatives",
        "given",
        "request",
        "refresh_token",
        "refused_when",
        "maybe_refused_when",
        "retry_after",
    ]);
    rotation["required"] = json!(["create", "value"]);
    // It says when to rotate.
    let mut reads_jwt = has("jwt_exp");
    reads_jwt["properties"] = json!({ "jwt_exp": { "const": true } });
    rotation["anyOf"] = json!([has("expires_in"), has("expires_at"), has("ttl"), reads_jwt]);
    rotation
}

fn alternatives() -> Value {
    let about = "One way to obtain the value.";
    let mut way = table(about, &[], Value::Object(way_keys()));
    for (key, rule) in one_way().as_object().into_iter().flatten() {
        way[key] = rule.clone();
    }
    json!({
        "type": "array",
        "description": "Ways to obtain the value, in order of preference: the first of which all \
            secrets, credentials and the refresh token are there is used.",
        "items": way,
        "minItems": 1,
    })
}

fn way_keys() -> Map<String, Value> {
    let scope = "params, secrets, credentials and refresh_token";
    let of_answer = "May refer to response, body, http, params, secrets, credentials and \
                     refresh_token.";
    let keys = json!({
        "given": template("A secret that is itself the value, such as \"{{ secrets.token }}\": \
            nothing is asked."),
        "request": request("The token request. It goes without the provider's `auth`.", scope),
        "auth": auth("How the request shows who asks. An exchange has only its own; a rotation's \
            default is the provider's."),
        "success": expr(&format!("Whether a 2xx answer is a success; without it, every 2xx is. \
            {of_answer}")),
        "refused_when": expr(&format!("Whether the answer is a refused login, which is not tried \
            over and over. {of_answer}")),
        "maybe_refused_when": expr(&format!("Whether the answer may be a refused login, where a \
            provider masks it: a few more tries, then as refused. {of_answer}")),
        "retry_after": expr(&format!("Seconds, or an HTTP date, to wait before anything else is \
            sent for the account. {of_answer}")),
        "value": expr(&format!("The value, such as \"response.access_token\". {of_answer}")),
        "refresh_token": expr(&format!("A refresh token to keep for the next time. {of_answer}")),
        "expires_in": expr(&format!("Seconds of life from the moment the request was sent. The \
            first of expires_in, expires_at, jwt_exp and ttl that yields something counts. \
            {of_answer}")),
        "expires_at": expr(&format!("The end of its life: RFC 3339, or seconds since the epoch. \
            {of_answer}")),
        "jwt_exp": flag("Read the end of its life from `exp` of the value, which is a JWT."),
        "ttl": duration("Its life where nothing else says it. Without any, it lives until it is \
            refused.", None),
    });
    entries(keys)
}

fn rotate_keys() -> Map<String, Value> {
    let scope = "params, secrets and credentials";
    let keys = json!({
        "create": request("Makes a new value.", scope),
        "list": list(scope),
        "revoke": request("Ends a value. Of a rotation, the old one once `overlap` has passed; \
            without it, old values are left to expire. Of an exchange, one that an operator \
            withdraws (RFC 7009); without it, it is only dropped here.",
            "params, secrets, credentials and value, which is what to end"),
        "overlap": duration("How long an old value stays valid beside its successor; an account's \
            own goes first.", Some(DEFAULT_OVERLAP)),
    });
    entries(keys)
}

fn list(scope: &str) -> Value {
    let item = "May refer to item, one of the entries, and to all that `items` may.";
    table(
        "The values that the provider's side knows: verifies a created one, and finds one whose \
         answer was lost.",
        &["request", "items", "value"],
        json!({
            "request": request("Lists the values.", scope),
            "items": expr("The entries, an array or an object whose values they are, such as \
                \"response\". May refer to response, body, http, params, secrets and credentials."),
            "value": expr(&format!("The value of an entry, such as \"item.token\". {item}")),
            "created_at": expr(&format!("When an entry was made. {item}")),
            "expires_at": expr(&format!("The end of its life. {item}")),
        }),
    )
}

fn entries(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(entries) => entries,
        _ => Map::new(),
    }
}
