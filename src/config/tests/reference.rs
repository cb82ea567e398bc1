//! `docs/configuration.md` has every key, and no other.

use std::collections::BTreeSet;

use super::super::{schema::ROOT, shape::Shape};

/// Dotted keys as the page writes them: `<name>` for what the operator chooses, `[]` for lists of
/// tables.
fn keys(shape: &Shape, at: &str, found: &mut BTreeSet<String>) {
    match shape {
        Shape::Table(fields) | Shape::Source(fields) => {
            for (name, shape) in *fields {
                let key = if at.is_empty() { (*name).to_owned() } else { format!("{at}.{name}") };
                keys(shape, &key, found);
            }
        }
        Shape::Named(inner) => keys(inner, &format!("{at}.<name>"), found),
        Shape::List(inner) if matches!(inner, Shape::Table(_)) => {
            keys(inner, &format!("{at}[]"), found);
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

#[test]
fn every_key_is_on_the_page_with_type_default_and_meaning() {
    let mut expected = BTreeSet::new();
    keys(&ROOT, "", &mut expected);
    assert!(expected.contains("accounts.<name>.sinks[].mode"), "{expected:#?}");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut described = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "key, type, default, meaning: {line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        let key = cells[0].trim_matches('`').to_owned();
        assert!(described.insert(key), "twice: {line}");
    }
    let missing: Vec<_> = expected.difference(&described).collect();
    let unknown: Vec<_> = described.difference(&expected).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}

/// Each block of TOML is a configuration that loads.
#[test]
fn every_example_of_the_page_is_valid() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 5, "{}", examples.len());
    for example in examples {
        let setup = super::Setup::new(example);
        setup.config();
    }
}
