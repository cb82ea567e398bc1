//! `--args` and `--arg K=V`: texts become the arguments that a kind takes.

use serde_json::{Map, Value};

use super::{console::Console, exit::Failure, fields, session::Session};

/// Makes a job's arguments of the flags. Only `--arg` needs to know the kind's arguments.
pub(super) async fn arguments(
    session: &mut Session<'_, '_>,
    kind: &str,
    whole: Option<&str>,
    single: &[String],
) -> Result<Map<String, Value>, Failure> {
    let mut args = match whole {
        Some(text) => object(text, session.console)?,
        None => Map::new(),
    };
    if single.is_empty() {
        return Ok(args);
    }
    let kinds = session.get(&["kinds"], &[]).await?.value()?;
    let specs = specs(&kinds, kind)?;
    let mut problems = vec![];
    for text in single {
        match argument(specs, kind, text, session.console) {
            Ok((name, value)) => {
                args.insert(name, value);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(args) } else { Err(wrong(&problems)) }
}

/// All of what is wrong with the arguments at once.
fn wrong(problems: &[String]) -> Failure {
    match problems {
        [one] => Failure::usage(one),
        all => {
            let count = all.len();
            Failure::usage(format!("{count} arguments are not valid\n  {}", all.join("\n  ")))
        }
    }
}

/// One `--arg`.
fn argument(
    specs: &[Value],
    kind: &str,
    text: &str,
    console: &mut Console<'_>,
) -> Result<(String, Value), String> {
    let (name, text) = split(text)?;
    let spec = spec(specs, kind, name)?;
    let text = match text.strip_prefix('@') {
        Some(file) => file_text(file, console)
            .map_err(|failure| format!("--arg {name}: {}", failure.words()))?,
        None => text.to_owned(),
    };
    Ok((name.to_owned(), convert(spec, name, &text)?))
}

/// JSON from the command line itself or, for `-`, from standard input.
pub(super) fn json(flag: &str, text: &str, console: &mut Console<'_>) -> Result<Value, Failure> {
    let bytes = if text == "-" { console.read("-")? } else { text.as_bytes().to_vec() };
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::usage(format!("{flag} is not JSON: {error}")))
}

fn object(text: &str, console: &mut Console<'_>) -> Result<Map<String, Value>, Failure> {
    match json("--args", text, console)? {
        Value::Object(args) => Ok(args),
        _ => Err(Failure::usage("--args must be a JSON object, such as '{\"id\": \"42\"}'")),
    }
}

fn specs<'a>(kinds: &'a Value, kind: &str) -> Result<&'a [Value], Failure> {
    let kinds = fields::list(kinds, "kinds");
    let found = kinds.iter().find(|one| fields::text(one, "name") == kind);
    found.map(|one| fields::list(one, "args")).ok_or_else(|| {
        let names: Vec<String> = kinds.iter().map(|one| fields::text(one, "name")).collect();
        Failure::usage(format!("there is no kind `{kind}`; there are: {}", names.join(", ")))
    })
}

fn spec<'a>(specs: &'a [Value], kind: &str, name: &str) -> Result<&'a Value, String> {
    specs.iter().find(|one| fields::text(one, "name") == name).ok_or_else(|| {
        let known: Vec<String> = specs.iter().map(|one| fields::text(one, "name")).collect();
        let known = if known.is_empty() {
            "it takes none".to_owned()
        } else {
            format!("it takes: {}", known.join(", "))
        };
        format!("--arg {name}: {kind} has no such argument; {known}")
    })
}

fn split(text: &str) -> Result<(&str, &str), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("--arg `{text}`: write NAME=VALUE, or NAME=@FILE"))
}

/// A file's text, less the newline that editors add.
fn file_text(file: &str, console: &mut Console<'_>) -> Result<String, Failure> {
    let text = String::from_utf8(console.read(file)?)
        .map_err(|_| Failure::usage(format!("{file} is not UTF-8 text")))?;
    let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    Ok(line.unwrap_or(&text).to_owned())
}

/// The value that a text stands for. Problems do not quote it: it may be a secret.
fn convert(spec: &Value, name: &str, text: &str) -> Result<Value, String> {
    let wanted = match fields::text(spec, "type").as_str() {
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "object" => "an object, written as JSON",
        "array" => "an array, written as JSON",
        _ => return word(spec, name, text),
    };
    let value: Option<Value> = serde_json::from_str(text).ok();
    let fits = value.filter(|value| match fields::text(spec, "type").as_str() {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        _ => value.is_array(),
    });
    fits.ok_or_else(|| format!("--arg {name}: must be {wanted}"))
}

fn word(spec: &Value, name: &str, text: &str) -> Result<Value, String> {
    let words: Vec<&str> = fields::list(spec, "enum").iter().filter_map(Value::as_str).collect();
    if words.is_empty() || words.contains(&text) {
        return Ok(text.into());
    }
    Err(format!("--arg {name}: must be one of {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_become_what_the_argument_is() {
        let table = [
            ("string", "42", json!("42")),
            ("id", "0042", json!("0042")),
            ("integer", "42", json!(42)),
            ("number", "1.5", json!(1.5)),
            ("boolean", "true", json!(true)),
            ("object", r#"{"a":1}"#, json!({"a": 1})),
            ("array", "[1]", json!([1])),
        ];
        for (kind, text, value) in table {
            assert_eq!(convert(&json!({"type": kind}), "x", text), Ok(value), "{kind}");
        }
    }

    #[test]
    fn a_text_that_does_not_fit_is_told_but_not_shown() {
        let table = [
            ("integer", "secret1", "a whole number"),
            ("integer", "1.5", "a whole number"),
            ("number", "\"1\"", "a number"),
            ("boolean", "yes", "true or false"),
            ("object", "[]", "an object, written as JSON"),
            ("array", "", "an array, written as JSON"),
        ];
        for (kind, text, wanted) in table {
            let expected = format!("--arg x: must be {wanted}");
            assert_eq!(convert(&json!({"type": kind}), "x", text), Err(expected), "{kind} {text}");
        }
        let industry = json!({"type": "enum", "enum": ["hr", "pm"]});
        let expected = Err("--arg x: must be one of hr, pm".to_owned());
        assert_eq!(convert(&industry, "x", "it"), expected);
        assert_eq!(convert(&industry, "x", "hr"), Ok(json!("hr")));
    }

    #[test]
    fn names_are_split_at_the_first_equals_sign() {
        assert_eq!(split("q=a=b"), Ok(("q", "a=b")));
        assert_eq!(split("q="), Ok(("q", "")));
        assert!(split("q").is_err());
        assert!(split("=v").is_err());
    }
}
