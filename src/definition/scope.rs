//! Which variables an expression or template may use where it stands, checked when it is loaded.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use minijinja::ErrorKind;

use super::{
    engine,
    read::{Node, one_of},
};

/// The variables there are: a name, and its attributes where they are known beforehand.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    roots: BTreeMap<&'static str, Option<BTreeSet<String>>>,
}

impl Scope {
    /// Adds a variable with any attributes.
    #[must_use]
    pub(super) fn with(mut self, root: &'static str) -> Self {
        self.roots.insert(root, None);
        self
    }

    /// Adds a variable that has these attributes and no others.
    #[must_use]
    pub(super) fn with_names<I>(mut self, root: &'static str, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.roots.insert(root, Some(names.into_iter().map(Into::into).collect()));
        self
    }

    /// Takes a variable away.
    #[must_use]
    pub(super) fn without(mut self, root: &str) -> Self {
        self.roots.remove(root);
        self
    }

    /// Adds what there is after an answer.
    #[must_use]
    pub(super) fn with_answer(self) -> Self {
        self.with("response").with("body").with_names("http", ["status", "headers"])
    }

    /// The attributes of a variable, where they are known beforehand.
    pub(super) fn names(&self, root: &str) -> Vec<&str> {
        self.roots.get(root).into_iter().flatten().flatten().map(String::as_str).collect()
    }

    /// Reports unknown variables, filters and tests. Returns the variables, sorted, if all is well.
    pub(super) fn check(
        &self,
        node: &Node<'_>,
        refs: HashSet<String>,
        code: &[&str],
    ) -> Option<Vec<String>> {
        let mut refs: Vec<_> = refs.into_iter().filter(|name| !is_global(name)).collect();
        refs.sort_unstable();
        let mut problems: Vec<_> = refs.iter().filter_map(|name| self.problem(name)).collect();
        problems.extend(code.iter().flat_map(|code| unknown_operators(code)));
        for problem in &problems {
            node.problem(problem);
        }
        problems.is_empty().then_some(refs)
    }

    fn problem(&self, reference: &str) -> Option<String> {
        let mut parts = reference.split('.');
        let (root, attribute) = (parts.next().unwrap_or_default(), parts.next());
        let Some(names) = self.roots.get(root) else {
            let roots: Vec<_> = self.roots.keys().copied().collect();
            return Some(format!("`{root}` is not known here: use {}", one_of(&roots)));
        };
        let (names, attribute) = (names.as_ref()?, attribute?);
        if names.contains(attribute) {
            return None;
        }
        let names: Vec<_> = names.iter().collect();
        let known = one_of(&names);
        Some(format!("`{root}.{attribute}` is not declared: {root} has {known}"))
    }
}

fn is_global(name: &str) -> bool {
    engine::TEXT.globals().any(|(global, _)| global == name)
}

/// What stands between `{{ }}` and `{% %}` in a template.
pub(super) fn code_of(template: &'static str) -> Vec<&'static str> {
    let mut code = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        rest = &rest[start + 1..];
        let end = match rest.as_bytes().first() {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => continue,
        };
        let inner = &rest[1..];
        let length = if end == "#}" { inner.find(end) } else { end_of_code(inner, end) };
        let length = length.unwrap_or(inner.len());
        if end != "#}" {
            code.push(&inner[..length]);
        }
        rest = &inner[length..];
    }
    code
}

fn end_of_code(code: &str, end: &str) -> Option<usize> {
    outside_strings(code).map(|(at, _)| at).find(|at| code[*at..].starts_with(end))
}

/// The characters that are not in a string literal.
fn outside_strings(code: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    let mut escaped = false;
    code.char_indices().filter(move |(_, c)| {
        let Some(open) = quote else {
            quote = matches!(c, '\'' | '"').then_some(*c);
            return quote.is_none();
        };
        if *c == open && !escaped {
            quote = None;
        }
        escaped = *c == '\\' && !escaped;
        false
    })
}

/// Filters and tests that do not exist. minijinja would notice only when one is used, which may
/// be after a request that bills was sent.
fn unknown_operators(code: &str) -> Vec<String> {
    let mut plain = String::with_capacity(code.len());
    let mut next = 0;
    for (at, c) in outside_strings(code) {
        if at != next {
            plain.push_str(" '' ");
        }
        plain.push(c);
        next = at + c.len_utf8();
    }
    let plain = plain.replace('|', " | ");
    let words: Vec<_> = plain.split_whitespace().collect();
    let mut problems = Vec::new();
    for (n, word) in words.iter().enumerate() {
        let next = words.get(n + 1).copied().map(leading_name).unwrap_or_default();
        match *word {
            "|" if lacks(next, "|", ErrorKind::UnknownFilter) => {
                problems.push(format!("there is no filter `{next}`"));
            }
            "is" => {
                let after = words.get(n + 2).copied().map(leading_name).unwrap_or_default();
                let test = if next == "not" { after } else { next };
                if lacks(test, "is", ErrorKind::UnknownTest) {
                    problems.push(format!("there is no test `is {test}`"));
                }
            }
            _ => {}
        }
    }
    problems
}

fn leading_name(word: &str) -> &str {
    let end = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
    &word[..end]
}

/// The environment does not list its filters and tests, so one is tried.
fn lacks(name: &str, operator: &str, unknown: ErrorKind) -> bool {
    !name.is_empty()
        && engine::TEXT
            .render_str(&format!("{{{{ '' {operator} {name} }}}}"), ())
            .is_err_and(|error| error.kind() == unknown)
}
