//! Reading `args` of a kind and `params` of a provider.

use super::{
    args::{ArgSpec, ArgType, ArgsSchema},
    read::{Node, Table, one_of},
};

/// Reads a table of arguments. The names are returned even of those that are not right, so that
/// one mistake is not reported again wherever the argument is used.
pub(super) fn read_args(node: Option<Node<'_>>) -> (Vec<String>, Option<ArgsSchema>) {
    let Some(node) = node else { return (Vec::new(), Some(ArgsSchema::default())) };
    let Some(table) = node.table() else { return (Vec::new(), None) };
    let found = table.named();
    let names = found.iter().map(|(name, _)| (*name).to_owned()).collect();
    let complete = found.len() == table.entries().len();
    let specs: Vec<_> = found.iter().map(|(name, node)| read_arg(name, node)).collect();
    let specs: Option<Vec<_>> = specs.into_iter().collect();
    (names, specs.filter(|_| complete).map(ArgsSchema))
}

fn read_arg(name: &str, node: &Node<'_>) -> Option<ArgSpec> {
    let table = node.table()?;
    let title = table.get("title").and_then(|node| node.text()).unwrap_or_default().to_owned();
    let kind = read_type(&table);
    let flag = |key| table.get(key).map_or(Some(false), |node: Node<'_>| node.boolean());
    let (optional, personal, secret) = (flag("optional"), flag("personal"), flag("secret"));
    let default = read_default(&table, kind.as_ref());
    if default.is_some() && optional == Some(true) {
        node.problem("an argument with a `default` is never absent: leave out `optional`");
    }
    table.finish();
    Some(ArgSpec {
        name: name.to_owned(),
        title,
        kind: kind?,
        default,
        optional: optional?,
        personal: personal?,
        secret: secret?,
    })
}

fn read_type(table: &Table<'_>) -> Option<ArgType> {
    match (table.get("type"), table.get("enum")) {
        (Some(node), None) => node.word(&ArgType::NAMED).map(ArgType::from),
        (None, Some(node)) => read_enum(&node),
        (Some(node), Some(_)) => {
            node.problem("give either `type` or `enum`, not both");
            None
        }
        (None, None) => {
            let words: Vec<_> = ArgType::NAMED.iter().map(|(word, _)| *word).collect();
            let message = format!("`type` is missing: {}; or give `enum`", one_of(&words));
            table.problem(message);
            None
        }
    }
}

fn read_enum(node: &Node<'_>) -> Option<ArgType> {
    let words: Vec<_> = node.texts()?.into_iter().map(str::to_owned).collect();
    if words.is_empty() {
        node.problem("an `enum` needs at least one allowed value");
        return None;
    }
    Some(ArgType::Enum(words))
}

fn read_default(table: &Table<'_>, kind: Option<&ArgType>) -> Option<serde_json::Value> {
    let node = table.get("default")?;
    let value = node.json()?;
    match kind?.accept(&value) {
        Ok(value) => Some(value),
        Err(message) => {
            node.problem(message);
            None
        }
    }
}
