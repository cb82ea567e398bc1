//! The JSON Schema of definitions, compared with the parser that it speaks for.

mod parser;

use std::path::Path;

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::Value;

use super::{HEAD, Registry, mistakes};
use crate::{definition::schema::schema_text, policy::limit::Limit};

fn validator() -> Validator {
    let schema = serde_json::from_str(&schema_text()).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// A definition as an editor hands it to the schema.
fn document(text: &str) -> Value {
    toml::from_str(text).unwrap()
}

#[test]
fn the_kept_schema_is_the_one_that_is_made() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/schema.json");
    assert!(
        std::fs::read_to_string(kept).unwrap() == schema_text(),
        "jobs/schema.json is not what src/definition/schema.rs makes. Make it anew:\n\
         cargo run -- definitions schema > schema.tmp && mv schema.tmp jobs/schema.json"
    );
}

#[test]
fn every_shipped_definition_is_valid() {
    let validator = validator();
    let registry = Registry::load(None).unwrap();
    for provider in registry.providers() {
        let document = document(&provider.source_toml);
        let errors: Vec<_> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", provider.name);
    }
    assert!(registry.providers().count() >= 5);
}

/// What is said of mistakes that a schema cannot know: they are in the language of templates and
/// expressions, or one place does not fit another.
const BEYOND: [&str; 14] = [
    "is not declared",
    "is not known here",
    "there is no filter",
    "there is no test",
    "syntax error",
    "is not an argument of",
    "is not an argument of this kind",
    "there is no kind",
    "is missing: certn.report requires it",
    "is needed to obtain itself",
    "needs itself",
    "uses `refresh_token`, but",
    "is no follow",
    "is not in [secrets]",
];
/// A default that is none of the words of its `enum`.
const BEYOND_WORDS: &str = "args.a.default: must be x or y";

#[test]
fn mistakes_of_shape_are_refused_and_only_those() {
    let validator = validator();
    let (mut refused, mut beyond) = (0, 0);
    for (head, text, problem) in mistakes::ALL {
        let document = document(&format!("{HEAD}{head}{text}"));
        let unknowable = BEYOND.iter().any(|said| problem.contains(said));
        let unknowable = unknowable || problem.contains(BEYOND_WORDS);
        assert_eq!(validator.is_valid(&document), unknowable, "{problem}, for\n{head}{text}");
        *if unknowable { &mut beyond } else { &mut refused } += 1;
    }
    assert!(refused > beyond, "{refused} mistakes refused, {beyond} beyond a schema");
    for said in BEYOND {
        let used = mistakes::ALL.iter().any(|(_, _, problem)| problem.contains(said));
        assert!(used, "no mistake is said to be: {said}");
    }
}

fn takes(validator: &Validator, key: &str, text: &str) -> bool {
    let mut definition = document(HEAD);
    definition[key] = if key == "limits" { [text].as_slice().into() } else { text.into() };
    validator.is_valid(&definition)
}

thread_local!(static VALIDATOR: Validator = validator());

proptest! {
    #[test]
    fn durations_are_those_of_the_parser(
        text in "( |[0-9]{1,3}|\\.|s|ms|m|h|d|w|M|min|hours|days|year|y|x|-){0,6}",
    ) {
        let parsed = humantime::parse_duration(&text).is_ok_and(|duration| !duration.is_zero());
        let taken = VALIDATOR.with(|validator| takes(validator, "timeout", &text));
        // A schema cannot see that a number is too large or that a fraction is too fine.
        let beyond = humantime::parse_duration(&text) == Err(humantime::DurationError::NumberOverflow);
        prop_assert!(parsed == taken || beyond && taken, "{text:?}: {parsed}");
    }

    #[test]
    fn limits_are_those_of_the_parser(
        text in "( |[0-9]{1,4}|\\+|-){0,2}/?([0-9]{1,2}(s|m|h|d)| |/){0,2}",
    ) {
        let parsed = text.parse::<Limit>().is_ok();
        let taken = VALIDATOR.with(|validator| takes(validator, "limits", &text));
        prop_assert_eq!(parsed, taken, "{:?}", text);
    }
}

#[test]
fn a_default_of_the_code_is_a_default_of_the_schema() {
    let schema: Value = serde_json::from_str(&schema_text()).unwrap();
    assert_eq!(schema["properties"]["timeout"]["default"], "30s");
    let kind = &schema["properties"]["jobs"]["additionalProperties"]["properties"];
    assert_eq!(kind["max_errors"]["default"], crate::definition::DEFAULT_MAX_ERRORS);
    let credential = &schema["properties"]["credentials"]["additionalProperties"]["properties"];
    assert_eq!(credential["overlap"]["default"], "1h");
    let signature = &schema["properties"]["webhook"]["properties"]["signature"];
    assert_eq!(signature["properties"]["tolerance"]["default"], "5m");
}
