//! What one kind says of another: `then` and a webhook's `wakes`. They may point into another
//! file, so they are checked when all files are read.

use std::collections::BTreeMap;

use super::{
    args::ArgsSchema,
    expr::Expr,
    kind::Then,
    kind_read::{expr_at, is_kind_name},
    read::{Node, Place, Report, one_of},
    request_read::{all, optional},
    scope::Scope,
};

/// What is known of a kind before it is known to be right.
struct Declared {
    follows: bool,
    /// `None` where the arguments themselves have problems, reported elsewhere.
    args: Option<ArgsSchema>,
}

struct Link {
    place: Place,
    kind: String,
    args: Vec<(String, Place)>,
    /// A webhook names a follow and only some of its arguments.
    wakes: bool,
}

/// The kinds that one file declares, and where it refers to kinds.
#[derive(Default)]
pub(super) struct Links {
    declared: BTreeMap<String, Declared>,
    links: Vec<Link>,
}

impl Links {
    pub(super) fn declare(&mut self, kind: &str, follows: bool, args: Option<&ArgsSchema>) {
        let declared = Declared { follows, args: args.cloned() };
        self.declared.insert(kind.to_owned(), declared);
    }

    pub(super) fn add(&mut self, kind: &Node<'_>, args: Vec<(String, Place)>, wakes: bool) {
        let Some(text) = kind.text() else { return };
        if !is_kind_name(text) {
            kind.problem(format!("`{text}` is not a kind: write PROVIDER.KIND"));
            return;
        }
        self.links.push(Link { place: kind.place.clone(), kind: text.to_owned(), args, wakes });
    }

    /// Reports links to what is not there. `others` are all files, this one included; of the
    /// providers in `broken` nothing is known.
    pub(super) fn check(&self, report: &Report, others: &[&Self], broken: &[String]) {
        for link in &self.links {
            let found = others.iter().find_map(|file| file.declared.get(&link.kind));
            let provider = link.kind.split('.').next().unwrap_or_default();
            match found {
                Some(declared) => link.check(report, declared),
                None if broken.iter().any(|name| name == provider) => {}
                None => {
                    let known = one_of(&known_kinds(others, provider));
                    let message = format!("there is no kind `{}`: use {known}", link.kind);
                    report.add(&link.place, message);
                }
            }
        }
    }
}

/// The kinds of a provider; of all, if it has none.
fn known_kinds<'l>(files: &[&'l Links], provider: &str) -> Vec<&'l String> {
    let all: Vec<_> = files.iter().flat_map(|file| file.declared.keys()).collect();
    let of = |kind: &&&String| kind.split('.').next() == Some(provider);
    let own: Vec<_> = all.iter().filter(of).copied().collect();
    if own.is_empty() { all } else { own }
}

impl Link {
    fn check(&self, report: &Report, target: &Declared) {
        if self.wakes && !target.follows {
            report.add(&self.place, format!("`{}` is no follow: only follows wait", self.kind));
        }
        let Some(schema) = &target.args else { return };
        let names: Vec<_> = schema.names().collect();
        for (name, place) in &self.args {
            if !names.contains(&name.as_str()) {
                let known = one_of(&names);
                let message = format!("`{name}` is not an argument of {}: use {known}", self.kind);
                report.add(place, message);
            }
        }
        let given = |name: &str| self.args.iter().any(|(given, _)| given == name);
        for arg in schema.iter().filter(|arg| arg.required() && !self.wakes && !given(&arg.name)) {
            let message = format!("`args.{}` is missing: {} requires it", arg.name, self.kind);
            report.add(&self.place, message);
        }
    }
}

/// Reads `[[jobs.….then]]`.
pub(super) fn read_then(
    node: Option<Node<'_>>,
    scope: &Scope,
    links: &mut Links,
) -> Option<Vec<Then>> {
    let Some(node) = node else { return Some(Vec::new()) };
    let items = node.array()?;
    all(items.iter().map(|item| {
        let table = item.table()?;
        let when = expr_at(&table, "when", scope);
        let (kind, args) = read_link(&table, scope, links, false);
        table.finish();
        Some(Then { when: when?, kind: kind?, args: args? })
    }))
}

type LinkArgs = BTreeMap<String, Expr>;

/// Reads `kind` and `args`, and remembers to check them.
pub(super) fn read_link(
    table: &super::read::Table<'_>,
    scope: &Scope,
    links: &mut Links,
    wakes: bool,
) -> (Option<String>, Option<LinkArgs>) {
    let kind = table.need("kind", "the kind, such as \"certn.report\"");
    let given = table.get("args");
    let args = optional(given, |node| {
        let entries = node.table()?.entries().into_iter();
        let args = all(entries.map(|(name, node)| {
            Some((name.to_owned(), node.place.clone(), Expr::read(&node, scope)))
        }))?;
        Some(args)
    });
    let places = args.iter().flatten().map(|(name, place, _)| (name.clone(), place.clone()));
    if let Some(kind) = &kind {
        links.add(kind, places.collect(), wakes);
    }
    let args = args.and_then(|args| {
        args.into_iter().map(|(name, _, expr)| Some((name, expr?))).collect::<Option<_>>()
    });
    (kind.and_then(|node| node.text()).map(str::to_owned), args)
}
