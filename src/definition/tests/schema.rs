//! Arguments.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::definition::ArgsSchema;

fn schema() -> ArgsSchema {
    kind(
        "shape = \"call\"\nrequest = { path = \"/\" }\n[jobs.k.args]\n\
         s = { type = \"string\", optional = true, secret = true }\n\
         i = { type = \"integer\", optional = true }\n\
         n = { type = \"number\", optional = true }\n\
         b = { type = \"boolean\", default = true }\n\
         o = { type = \"object\", optional = true, personal = true }\n\
         a = { type = \"array\", optional = true }\n\
         id = { type = \"id\", title = \"An id\" }\n\
         e = { enum = [\"x\", \"y\"], default = \"x\" }\n",
    )
    .args
    .clone()
}

/// The problems as texts.
fn refused(args: &Value) -> Vec<String> {
    schema().validate(args).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_are_filled_in_and_ids_become_strings() {
    let args = schema().validate(&json!({"id": 3_816_414_018_u64, "s": null})).unwrap();
    assert_eq!(Value::Object(args), json!({"id": "3816414018", "b": true, "e": "x"}));
    let all = json!({"s": "", "i": u64::MAX, "n": 1.5, "b": false, "o": {}, "a": [], "id": "a b", "e": "y"});
    assert_eq!(Value::Object(schema().validate(&all).unwrap()), all);
}

#[test]
fn every_problem_is_named() {
    assert_eq!(refused(&json!([])), [": the arguments must be an object"]);
    assert_eq!(
        refused(
            &json!({"s": 1, "i": 1.0, "n": "1", "b": "true", "o": [], "a": {}, "e": "z", "q": 1})
        ),
        [
            "q: is not an argument: use s, i, n, b, o, a, id or e",
            "s: must be a string",
            "i: must be a whole number",
            "n: must be a number",
            "b: must be true or false",
            "o: must be an object",
            "a: must be an array",
            "id: is missing: an id: a string or a whole number",
            "e: must be x or y",
        ]
    );
    for id in
        [json!(""), json!("."), json!(".."), json!("a/b"), json!("a\u{7f}"), json!(1.5), json!({})]
    {
        assert_eq!(refused(&json!({"id": id})).len(), 1, "{id}");
    }
}

#[test]
fn a_schema_describes_itself() {
    let described = schema().describe();
    assert_eq!(
        described[6],
        json!({"name": "id", "title": "An id", "type": "id", "required": true, "default": null, "secret": false, "personal": false})
    );
    assert_eq!(described[7]["enum"], json!(["x", "y"]));
    assert_eq!(schema().secret_names().collect::<Vec<_>>(), ["s"]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let key = prop_oneof!["[sinboae]", Just("id".to_owned()), any::<String>()];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_arguments_are_taken_or_refused(args in any_json()) {
        thread_local!(static SCHEMA: ArgsSchema = schema());
        SCHEMA.with(|schema| {
            if let Ok(checked) = schema.validate(&args) {
                // What was accepted is accepted again, unchanged.
                let again = schema.validate(&Value::Object(checked.clone()));
                prop_assert_eq!(again.ok(), Some(checked));
            }
            Ok(())
        })?;
    }
}
