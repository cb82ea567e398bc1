//! Table by table and key by key: what the parser says of a definition that is wrong in one place,
//! and what the schema says of the same.

use std::collections::BTreeSet;

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use serde_json::{Value, json};

use super::{document, validator};
use crate::{
    definition::{provider_read::read_file, schema::schema},
    diagnostic::Diagnostic,
};

/// Every table that the format has, in every shape.
const ALL_TABLES: &str = r#"
provider = "acme"
title = "Acme"
base_url = "https://acme.test/v1"
hosts = { test = "https://acme.test" }
limits = ["5/1m"]
timeout = "20s"
basic_encoding = "rfc6749"
auth = { bearer = "{{ secrets.a }}" }
[secrets]
a = { title = "A" }
b = "B"
[params]
p = { type = "id" }
[credentials.asked]
shape = "exchange"
request = { path = "/" }
auth = { basic = ["u", "p"] }
revoke = { method = "POST", path = "/", form = { token = "{{ value }}" } }
value = "response"
[credentials.given]
shape = "exchange"
given = "{{ secrets.a }}"
[credentials.ways]
shape = "exchange"
[[credentials.ways.alternatives]]
request = { path = "/" }
auth = { bearer = "x" }
value = "response"
[[credentials.ways.alternatives]]
given = "{{ secrets.a }}"
[credentials.turned]
shape = "rotate"
auth = { header = { X-Key = "x" } }
create = { method = "POST", path = "/" }
list = { request = { path = "/" }, items = "response", value = "item" }
revoke = { method = "DELETE", path = "/{{ value }}" }
value = "response"
ttl = "1h"
[jobs.order]
shape = "call"
repeat = "never"
args = { x = { type = "string" }, y = { enum = ["a"], default = "a" } }
request = { method = "POST", path = "/", query = { a = "b" }, headers = { A = "b" }, basic = ["u", "p"], json = { x = "args.x" } }
auth = { bearer = "x" }
reconcile = { request = { path = "/" }, found = "response" }
then = [{ when = "true", kind = "acme.file", args = {} }]
[jobs.listed]
shape = "call"
request = { method = "POST", path = "/", form = { a = "b" } }
pages = { items = "response", next = "none" }
sets = { secret = "a", to = "'x'" }
[jobs.file]
shape = "download"
request = { path = "/" }
artifact = "a.pdf"
[jobs.followed]
shape = "follow"
request = { path = "/" }
until = "true"
deadline = "1d"
[webhook]
signature = { header = "S", scheme = "t-v1-hmac-sha256", secret = "a" }
wakes = { kind = "acme.followed", args = {} }
"#;

/// A table of the document that may have certain keys only.
struct Strict<'s> {
    /// Where it is, as a JSON pointer.
    at: String,
    rule: &'s Value,
}

impl Strict<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}/{key}", self.at)
    }

    /// The keys that the schema lets the table have.
    fn keys(&self, document: &Value) -> BTreeSet<String> {
        let mut forbidden = Vec::new();
        forbid(self.rule, document.pointer(&self.at).unwrap(), &mut forbidden);
        let keys = self.rule["properties"].as_object().unwrap().keys();
        keys.filter(|key| !forbidden.contains(key)).cloned().collect()
    }
}

/// The keys that conditions exclude for this table.
fn forbid<'s>(rule: &'s Value, table: &Value, forbidden: &mut Vec<&'s String>) {
    let keys = rule["properties"].as_object().into_iter().flatten();
    forbidden.extend(keys.filter(|(_, rule)| **rule == json!(false)).map(|(key, _)| key));
    if let Some(condition) = rule.get("if") {
        let holds = jsonschema::is_valid(condition, table);
        forbid(&rule[if holds { "then" } else { "else" }], table, forbidden);
    }
}

/// The schemas of what is in a schema: by a key, or `None` for any.
fn within(rule: &Value) -> impl Iterator<Item = (Option<&String>, &Value)> {
    let keys = rule["properties"].as_object().into_iter().flatten();
    let any = [rule.get("additionalProperties"), rule.get("items")].into_iter().flatten();
    keys.map(|(key, rule)| (Some(key), rule)).chain(any.map(|rule| (None, rule)))
}

fn is_strict(rule: &Value) -> bool {
    rule["additionalProperties"] == json!(false)
}

fn strict_tables<'s>(rule: &'s Value, value: &Value, at: &str, found: &mut Vec<Strict<'s>>) {
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(table) => table.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(n, item)| (n.to_string(), item)).collect()
        }
        _ => return,
    };
    if is_strict(rule) {
        found.push(Strict { at: at.to_owned(), rule });
    }
    for (key, value) in entries {
        let rules: Vec<_> = within(rule).collect();
        let own = rules.iter().find(|(name, _)| *name == Some(&key));
        if let Some((_, rule)) = own.or_else(|| rules.iter().find(|(name, _)| name.is_none())) {
            strict_tables(rule, value, &format!("{at}/{key}"), found);
        }
    }
}

fn count_strict(rule: &Value, seen: &mut Vec<*const Value>) {
    if is_strict(rule) {
        seen.push(rule);
    }
    within(rule).for_each(|(_, rule)| count_strict(rule, seen));
}

/// What the parser says of a document.
fn said(document: &Value) -> Vec<Diagnostic> {
    let lines = document.as_object().unwrap().iter();
    let lines: Vec<String> = lines.map(|(key, value)| format!("{key} = {}", toml(value))).collect();
    let text = lines.join("\n");
    read_file("acme.toml".into(), "acme", &text).report.into_problems()
}

/// A value on one line.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let entries = table.iter().map(|(key, value)| format!("{key:?} = {}", toml(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A JSON pointer as the parser writes keys.
fn key_of(pointer: &str) -> String {
    let parts = pointer.split('/').skip(1);
    parts.fold(String::new(), |key, part| match part.parse::<usize>() {
        Ok(index) => format!("{key}[{index}]"),
        Err(_) if key.is_empty() => part.to_owned(),
        Err(_) => format!("{key}.{part}"),
    })
}

fn with(document: &Value, table: &str, key: &str, value: Value) -> Value {
    let mut changed = document.clone();
    changed.pointer_mut(table).unwrap()[key] = value;
    changed
}

/// The words after `use` of a problem at this key that begins so.
fn words(problems: &[Diagnostic], key: &str, start: &str) -> Option<BTreeSet<String>> {
    let found = problems.iter().find(|one| one.key == key && one.message.starts_with(start))?;
    let (_, words) = found.message.split_once(": use ")?;
    Some(words.replace(" or ", ", ").split(", ").map(str::to_owned).collect())
}

fn errors<'i>(validator: &'i Validator, document: &'i Value) -> Vec<ValidationError<'i>> {
    validator.iter_errors(document).collect()
}

/// Runs a check on every table of the document.
fn each_table(check: impl Fn(&Strict<'_>, &Value, &Validator)) {
    let (document, validator, schema) = (document(ALL_TABLES), validator(), schema());
    assert_eq!(said(&document).iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
    assert!(validator.is_valid(&document));
    let mut tables = Vec::new();
    strict_tables(&schema, &document, "", &mut tables);
    let mut all = Vec::new();
    count_strict(&schema, &mut all);
    let unseen = all.iter().filter(|rule| !tables.iter().any(|t| std::ptr::eq(t.rule, **rule)));
    assert_eq!(unseen.count(), 0, "a table of the schema is not in ALL_TABLES");
    assert!(tables.len() > 30, "{}", tables.len());
    for table in &tables {
        check(table, &document, &validator);
    }
}

#[test]
fn each_table_has_the_keys_of_the_parser() {
    each_table(|table, document, validator| {
        let wrong = with(document, &table.at, "zzz", json!(1));
        let known = words(&said(&wrong), &key_of(&table.key("zzz")), "`zzz` is not a key here");
        assert_eq!(known, Some(table.keys(document)), "{}", table.at);
        assert!(!validator.is_valid(&wrong), "{}", table.at);
    });
}

#[test]
fn each_key_has_the_type_and_the_words_of_the_parser() {
    let probes = [json!(true), json!(7), json!(1.5), json!("zzz"), json!([]), json!({})];
    each_table(|table, document, validator| {
        for key in table.keys(document) {
            let (at, place) = (table.key(&key), key_of(&table.key(&key)));
            for probe in &probes {
                let wrong = with(document, &table.at, &key, probe.clone());
                let problems = said(&wrong);
                let refused = |one: &Diagnostic| {
                    one.key == place
                        && one.message.starts_with("must be ")
                        && one.message.contains(", not ")
                };
                let by_schema = errors(validator, &wrong).iter().any(|error| {
                    error.instance_path().as_str() == at
                        && matches!(error.kind(), ValidationErrorKind::Type { .. })
                });
                if problems.iter().any(refused) {
                    assert!(by_schema, "{at} = {probe}: only the parser refuses the type");
                }
                // What excludes another key is told of that, before types are looked at.
                if by_schema {
                    assert!(!problems.is_empty(), "{at} = {probe}: only the schema refuses it");
                }
            }
            // With an `enum`, no word at all is right.
            let excluded = key == "type" && document.pointer(&table.key("enum")).is_some();
            let allowed = table.rule["properties"][&key]["enum"].as_array();
            if let Some(allowed) = allowed.filter(|_| !excluded) {
                let wrong = with(document, &table.at, &key, json!("zzz"));
                let known = words(&said(&wrong), &place, "`zzz` is not allowed here");
                let allowed = allowed.iter().map(|word| word.as_str().unwrap().to_owned());
                assert_eq!(known, Some(allowed.collect()), "{at}");
            }
        }
    });
}

#[test]
fn each_table_misses_what_the_parser_misses() {
    each_table(|table, document, validator| {
        let keys: Vec<_> =
            document.pointer(&table.at).unwrap().as_object().unwrap().keys().collect();
        for key in keys {
            let mut without = document.clone();
            without.pointer_mut(&table.at).unwrap().as_object_mut().unwrap().remove(key);
            let problems = said(&without);
            let missing = format!("`{key}` is missing: ");
            let place = key_of(&table.at);
            let by_parser =
                problems.iter().any(|one| one.key == place && one.message.starts_with(&missing));
            let by_schema = errors(validator, &without).iter().any(|error| {
                error.instance_path().as_str() == table.at
                    && matches!(error.kind(), ValidationErrorKind::Required { property } if property == key)
            });
            assert!(by_schema || !by_parser, "{}: only the parser misses `{key}`", table.at);
            assert!(
                !by_schema || !problems.is_empty(),
                "{}: only the schema misses `{key}`",
                table.at
            );
        }
    });
}
