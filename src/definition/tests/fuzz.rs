//! Definitions and values that nobody would write: whatever they are, they are refused with words
//! or do something; nothing panics.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Registry, acme, load, object};
use crate::{
    any_json::any_json,
    definition::{Provider, Vars},
};

/// A cut, a change or an insertion, at a place told in parts of a thousand.
type Edit = (usize, u8, String);

fn edit() -> impl Strategy<Value = Edit> {
    let bits = prop::sample::select(vec![
        "\n",
        "\"",
        "'",
        "{{",
        "}}",
        "{%",
        "[",
        "]",
        "[[",
        "=",
        "\\",
        "\0",
        "é",
        "1e999",
        "9999999999999999999",
        " | ",
        "credentials.",
        "args.",
        "response",
        "range(99999999)",
        "''' ''' ",
        "-1h",
    ]);
    (0_usize..1000, 0_u8..3, prop_oneof![bits.prop_map(str::to_owned), ".{0,6}"])
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, how, bit) in edits {
        let at = at * chars.len() / 1000;
        match how {
            0 => drop(chars.drain(at..(at + bit.chars().count() + 1).min(chars.len()))),
            1 => drop(chars.splice(at..(at + 1).min(chars.len()), bit.chars())),
            _ => drop(chars.splice(at..at, bit.chars())),
        }
    }
    chars.into_iter().collect()
}

static SHIPPED: LazyLock<Registry> = LazyLock::new(|| Registry::load(None).unwrap());

/// Every request, verdict and extraction of a provider, applied to these values.
fn apply(provider: &Provider, args: &Value, response: &Value) {
    let args = if args.is_object() { args.clone() } else { json!({ "id": args }) };
    for kind in provider.kinds.values() {
        let vars = Vars::new().args(&object(args.clone()));
        let _ = kind.request.render(&vars);
        let text = response.to_string();
        let vars = vars.answer(200, &http::HeaderMap::new(), &text, Some(response));
        for expr in
            [&kind.success, &kind.status, &kind.retry_when, &kind.retry_after].into_iter().flatten()
        {
            let _ = expr.eval(&vars);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_definition_is_taken_or_refused_with_words(
        which in 0_usize..5, edits in prop::collection::vec(edit(), 1..8),
        args in any_json(), response in any_json(),
    ) {
        let shipped = SHIPPED.providers().nth(which).unwrap();
        let text = edited(&shipped.source_toml, &edits);
        match load(&[("fuzzed.toml", &text)]) {
            Ok(registry) => registry.providers().for_each(|one| apply(one, &args, &response)),
            Err(problems) => prop_assert!(!problems.to_string().is_empty()),
        }
    }

    #[test]
    fn any_answer_to_a_shipped_definition_means_something(args in any_json(), response in any_json()) {
        for provider in SHIPPED.providers() {
            apply(provider, &args, &response);
        }
    }

    #[test]
    fn a_template_never_panics(text in "[ -~]{0,24}", path in "(/[a-z{} .%|]{0,9}){1,3}", args in any_json()) {
        let quoted = Value::from(text.clone()).to_string();
        let lines = format!(
            "provider = \"acme\"\ntitle = \"Acme\"\n[jobs.k]\nshape = \"call\"\n\
             args = {{ id = {{ type = \"any\" }} }}\nsuccess = {quoted}\n\
             request = {{ path = {}, json = {{ a = {quoted} }} }}\n",
            Value::from(path),
        );
        if let Ok(registry) = load(&[("fuzzed.toml", &lines)]) {
            registry.providers().for_each(|one| apply(one, &args, &json!({})));
        }
    }
}

#[test]
fn a_template_cannot_eat_the_machine() {
    let provider = acme(
        "[jobs.k]\nshape = \"call\"\n\
         request = { path = \"/\", json = { a = \"range(99999999)|list|length\" } }\n",
    );
    let error = provider.kinds["k"].request.render(&Vars::new()).unwrap_err();
    assert!(!error.to_string().is_empty());
}
