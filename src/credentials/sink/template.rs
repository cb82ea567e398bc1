//! What a sink writes: a minijinja template over a handful of names.

use minijinja::{ErrorKind, context};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{definition::PLAIN_TEXT, types::Timestamp};

/// The names that a sink's template may use.
const NAMES: [&str; 5] = ["value", "expires_at", "account", "name", "generation"];

/// What a template is filled with.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub value: &'a SecretString,
    /// An empty text in the template where it is not known.
    pub expires_at: Option<Timestamp>,
    pub account: &'a str,
    /// The credential's.
    pub name: &'a str,
    pub generation: i64,
}

/// Says what is wrong with a template, if anything: its syntax, the names it uses, or what it does
/// with values.
pub fn check_template(text: &str) -> Result<(), String> {
    let template = PLAIN_TEXT
        .template_from_str(text)
        .map_err(|error| format!("is not a template: {error}"))?;
    let mut unknown: Vec<String> = template
        .undeclared_variables(true)
        .into_iter()
        .filter(|name| !NAMES.contains(&name.as_str()))
        .collect();
    unknown.sort();
    if let Some(name) = unknown.first() {
        return Err(format!("uses `{name}`, which is not there: write {}", NAMES.join(", ")));
    }
    let value = SecretString::from("x");
    for expires_at in [None, Some(Timestamp(0))] {
        let facts =
            Facts { value: &value, expires_at, account: "account", name: "name", generation: 1 };
        render(text, &facts).map_err(|why| format!("does not work: {why}"))?;
    }
    Ok(())
}

/// The content of the file.
///
/// # Errors
/// What minijinja says, without any value.
pub fn render(text: &str, facts: &Facts<'_>) -> Result<SecretString, String> {
    let context = context! {
        value => facts.value.expose_secret(),
        expires_at => facts.expires_at.map(|at| at.to_string()).unwrap_or_default(),
        account => facts.account,
        name => facts.name,
        generation => facts.generation,
    };
    let mut rendered = PLAIN_TEXT.render_str(text, context).map_err(|error| words(&error))?;
    // minijinja drops one line end at a template's end; in a file it is meant.
    if text.ends_with('\n') {
        rendered.push('\n');
    }
    Ok(rendered.into())
}

/// Of the details only those that cannot hold a value: names of filters and functions.
fn words(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" in its line {line}")).unwrap_or_default();
    match error.kind() {
        kind @ (ErrorKind::UnknownFilter
        | ErrorKind::UnknownTest
        | ErrorKind::UnknownFunction
        | ErrorKind::UnknownMethod) => {
            let detail = error.detail().map(|one| format!(": {one}")).unwrap_or_default();
            format!("{kind}{detail}{line}")
        }
        kind => format!("{kind}{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, expires_at: Option<Timestamp>) -> String {
        let value = SecretString::from("s3cret & <more>");
        let facts =
            Facts { value: &value, expires_at, account: "gate", name: "token", generation: 7 };
        render(text, &facts).unwrap().expose_secret().to_owned()
    }

    #[test]
    fn values_are_written_as_they_are() {
        let all = "{{ account }}/{{ name }}#{{ generation }}={{ value }} until {{ expires_at }}\n";
        assert_eq!(check_template(all), Ok(()));
        assert_eq!(
            rendered(all, Some(Timestamp(1_790_000_000_000))),
            "gate/token#7=s3cret & <more> until 2026-09-21T14:13:20.000Z\n"
        );
        assert_eq!(rendered("{{ value }}[{{ expires_at }}]", None), "s3cret & <more>[]");
        assert_eq!(rendered("{% if expires_at %}a{% else %}b{% endif %}", None), "b");
    }

    #[test]
    fn mistakes_are_told_when_the_configuration_is_read() {
        let table = [
            ("{{ value", "is not a template: syntax error: unexpected end of input"),
            (
                "{{ valeu }}",
                "uses `valeu`, which is not there: write value, expires_at, account, name, \
                 generation",
            ),
            ("{{ secrets.password }}", "uses `secrets.password`, which is not there"),
            ("{{ value.token }}", "uses `value.token`, which is not there"),
            ("{{ debug() }}", "uses `debug`, which is not there"),
            ("{{ value | base64 }}", "unknown filter"),
            ("{{ value / 2 }}", "does not work: invalid operation"),
        ];
        for (text, words) in table {
            let said = check_template(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }

    #[test]
    fn what_goes_wrong_is_told_without_the_value() {
        let value = SecretString::from("s3cret");
        let facts =
            Facts { value: &value, expires_at: None, account: "a", name: "n", generation: 1 };
        let said = render("{{ value | float }}", &facts).unwrap_err();
        assert!(!said.contains("s3cret"), "{said}");
    }
}
