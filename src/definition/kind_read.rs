//! Reading `[jobs.…]`.

use std::{sync::Arc, time::Duration};

use super::{
    args_read::read_args,
    expr::{Expr, Template},
    kind::{
        DEFAULT_MAX_BODY, DEFAULT_MAX_DOWNLOAD, DEFAULT_MAX_ERRORS, Kind, Pages, Reconcile, Repeat,
        SetsSecret, Shape,
    },
    links::{Links, read_then},
    provider_read::Common,
    read::{Node, Table, is_name, one_of},
    request_read::{RequestScope, optional, read_auth, read_request},
    scope::Scope,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShapeName {
    Call,
    Download,
    Follow,
}

/// Keys that only some shapes have, with the reason for the one who wrote them elsewhere.
const SHAPED: [(&str, &[ShapeName], &str); 8] = {
    use ShapeName::{Call, Download, Follow};
    [
        ("pages", &[Call], "`pages` belongs to shape call"),
        ("repeat", &[Call], "`repeat` belongs to shape call: the others only read"),
        ("reconcile", &[Call], "`reconcile` belongs to shape call"),
        ("artifact", &[Download], "`artifact` belongs to shape download"),
        ("until", &[Follow], "`until` belongs to shape follow"),
        ("deadline", &[Follow], "`deadline` belongs to shape follow"),
        ("every", &[Follow], "`every` belongs to shape follow"),
        ("unique", &[Follow], "`unique` belongs to shape follow; elsewhere callers give a key"),
    ]
};

/// What the expressions of one kind may refer to.
struct Scopes {
    request: Scope,
    /// After an answer.
    answer: Scope,
    /// And with the status extracted from it.
    status: Scope,
}

impl Scopes {
    fn new(common: &Common, args: &[String]) -> Self {
        let request = common.scope.clone().with_names("args", args);
        // What is decided or kept after an answer has no use for secrets.
        let answer = request.clone().without("secrets").without("credentials").with_answer();
        let status = answer.clone().with("status");
        Self { request, answer, status }
    }
}

/// Reads one kind; problems are reported. Its arguments and links are declared even if it is bad.
pub(super) fn read_kind(
    name: &str,
    node: &Node<'_>,
    common: &Common,
    links: &mut Links,
) -> Option<Arc<Kind>> {
    let table = node.table()?;
    let shape_name = read_shape_name(&table);
    let (arg_names, args) = read_args(table.get("args"));
    let scopes = Scopes::new(common, &arg_names);
    let full_name = format!("{}.{name}", common.provider);
    links.declare(&full_name, shape_name == Some(ShapeName::Follow), args.as_ref());
    let at = RequestScope { scope: &scopes.request, args: args.as_ref() };

    let request = table.need("request", "what to send, such as { path = \"/users/\" }");
    let request = request.and_then(|node| read_request(&node, at));
    let auth = match table.get("auth") {
        Some(node) => read_auth(&node, &scopes.request),
        None => common.auth.clone(),
    };
    let verdict = read_verdict(&table, &scopes);
    let then = read_then(table.get("then"), &scopes.status, links);
    let limits = read_limits(&table, shape_name, common.timeout);
    let title = optional(table.get("title"), |node| node.text().map(str::to_owned));
    let unique = read_unique(&table, shape_name, &arg_names);
    let repeat = read_repeat(&table, shape_name);
    let reconcile = read_reconcile(&table, shape_name, at, &scopes.answer);
    let sets = optional(table.get("sets"), |node| {
        if table.get("repeat").and_then(|repeat| repeat.text()) == Some("never") {
            node.problem("`sets` would send a repeat = \"never\" request again");
        }
        read_sets(node, common, &scopes).map(Some)
    });
    let secret_result = optional(table.get("secret_result"), Node::boolean);
    let shape = shape_name.and_then(|name| read_shape(&table, name, &scopes));
    finish(table, shape_name);
    let (verdict, limits) = (verdict?, limits?);
    Some(Arc::new(Kind {
        name: full_name,
        provider: common.provider.clone(),
        title: title?,
        shape: shape?,
        args: args?,
        unique: unique?,
        repeat: repeat?,
        request: request?,
        auth: auth?,
        success: verdict.success,
        status: verdict.status,
        retry_when: verdict.retry_when,
        retry_after: verdict.retry_after,
        reconcile: reconcile?,
        then: then?,
        sets: sets?,
        secret_result: secret_result?,
        max_errors: limits.max_errors,
        timeout: limits.timeout,
        max_body: limits.max_body,
    }))
}

/// What a kind makes of an answer.
struct Verdict {
    success: Option<Expr>,
    status: Option<Expr>,
    retry_when: Option<Expr>,
    retry_after: Option<Expr>,
}

fn read_verdict(table: &Table<'_>, scopes: &Scopes) -> Option<Verdict> {
    let success = expr_at(table, "success", &scopes.status);
    let status = expr_at(table, "status", &scopes.answer);
    let retry_when = expr_at(table, "retry_when", &scopes.answer);
    let retry_after = expr_at(table, "retry_after", &scopes.answer);
    Some(Verdict {
        success: success?,
        status: status?,
        retry_when: retry_when?,
        retry_after: retry_after?,
    })
}

/// What one attempt, and all of them, may take.
struct KindLimits {
    max_errors: u32,
    timeout: Duration,
    max_body: u64,
}

fn read_limits(
    table: &Table<'_>,
    shape: Option<ShapeName>,
    timeout: Duration,
) -> Option<KindLimits> {
    let max_errors = read_max_errors(table);
    let timeout = table.get("timeout").map_or(Some(timeout), |node| node.duration());
    let max_body = read_max_body(table, shape);
    Some(KindLimits { max_errors: max_errors?, timeout: timeout?, max_body: max_body? })
}

fn read_shape_name(table: &Table<'_>) -> Option<ShapeName> {
    let node = table.need("shape", "call, download or follow")?;
    if matches!(node.text()?, "exchange" | "rotate") {
        node.problem("exchange and rotate keep credentials: write it as [credentials.NAME]");
        return None;
    }
    node.word(&[
        ("call", ShapeName::Call),
        ("download", ShapeName::Download),
        ("follow", ShapeName::Follow),
    ])
}

/// Reports keys of other shapes as such, and then the unknown ones.
fn finish(table: Table<'_>, shape: Option<ShapeName>) {
    for (key, shapes, why) in SHAPED {
        match shape {
            Some(shape) if !shapes.contains(&shape) => table.misplaced(key, why),
            Some(_) => {}
            // Nothing can be said about them until the shape is right.
            None => drop(table.get(key)),
        }
    }
    table.finish();
}

/// An optional expression: the outer `None` is a problem, the inner one an absent key.
pub(super) fn expr_at(table: &Table<'_>, key: &'static str, scope: &Scope) -> Option<Option<Expr>> {
    optional(table.get(key), |node| Expr::read(node, scope).map(Some))
}

fn read_max_errors(table: &Table<'_>) -> Option<u32> {
    let Some(node) = table.get("max_errors") else { return Some(DEFAULT_MAX_ERRORS) };
    let number = u32::try_from(node.whole_number()?).ok().filter(|number| *number > 0);
    if number.is_none() {
        node.problem("must be between 1 and 4294967295");
    }
    number
}

fn read_max_body(table: &Table<'_>, shape: Option<ShapeName>) -> Option<u64> {
    match table.get("max_body") {
        Some(node) => node.whole_number(),
        None if shape == Some(ShapeName::Download) => Some(DEFAULT_MAX_DOWNLOAD),
        None => Some(DEFAULT_MAX_BODY),
    }
}

fn read_unique(
    table: &Table<'_>,
    shape: Option<ShapeName>,
    args: &[String],
) -> Option<Vec<String>> {
    if shape != Some(ShapeName::Follow) {
        return Some(Vec::new());
    }
    let Some(node) = table.get("unique") else { return Some(Vec::new()) };
    let mut good = true;
    for item in node.array()? {
        let Some(name) = item.text() else { continue };
        if !args.iter().any(|arg| arg == name) {
            item.problem(format!("`{name}` is not an argument of this kind: use {}", one_of(args)));
            good = false;
        }
    }
    let names = node.array()?.iter().map(|item| item.text().map(str::to_owned)).collect();
    if good { names } else { None }
}

fn read_repeat(table: &Table<'_>, shape: Option<ShapeName>) -> Option<Repeat> {
    if shape != Some(ShapeName::Call) {
        return Some(Repeat::Safe);
    }
    let words = [("safe", Repeat::Safe), ("never", Repeat::Never)];
    optional(table.get("repeat"), |node| node.word(&words))
}

fn read_reconcile(
    table: &Table<'_>,
    shape: Option<ShapeName>,
    at: RequestScope<'_>,
    answer: &Scope,
) -> Option<Option<Reconcile>> {
    if shape != Some(ShapeName::Call) {
        return Some(None);
    }
    optional(table.get("reconcile"), |node| {
        if table.get("repeat").is_none_or(|repeat| repeat.text() != Some("never")) {
            node.problem("`reconcile` needs repeat = \"never\": other requests are sent again");
        }
        let inner = node.table()?;
        let request = inner.need("request", "what to ask").and_then(|n| read_request(&n, at));
        let found = inner.need("found", "what the lost answer would have been, or null");
        let found = found.and_then(|node| Expr::read(&node, answer));
        inner.finish();
        Some(Some(Reconcile { request: request?, found: found? }))
    })
}

fn read_sets(node: &Node<'_>, common: &Common, scopes: &Scopes) -> Option<SetsSecret> {
    let table = node.table()?;
    let secret = table.need("secret", "the name of the secret that changes, such as \"pass\"");
    let secret = secret.and_then(|node| {
        let name = node.text()?.to_owned();
        let known = common.scope.names("secrets");
        if !known.contains(&name.as_str()) {
            node.problem(format!("`{name}` is not in [secrets]: use {}", one_of(&known)));
            return None;
        }
        Some(name)
    });
    let to = table.need("to", "the new secret, such as \"args.pass\"");
    let to = to.and_then(|node| Expr::read(&node, &scopes.request));
    let when = expr_at(&table, "when", &scopes.request);
    table.finish();
    Some(SetsSecret { secret: secret?, when: when?, to: to? })
}

fn read_shape(table: &Table<'_>, name: ShapeName, scopes: &Scopes) -> Option<Shape> {
    match name {
        ShapeName::Call => {
            let pages = optional(table.get("pages"), |node| {
                if table.get("repeat").and_then(|repeat| repeat.text()) == Some("never") {
                    node.problem("`pages` would send a repeat = \"never\" request again");
                }
                read_pages(node, scopes).map(Some)
            });
            Some(Shape::Call { pages: pages? })
        }
        ShapeName::Download => {
            let artifact = table.need("artifact", "the file's name, such as \"report.pdf\"")?;
            Template::read(&artifact, &scopes.request).map(|artifact| Shape::Download { artifact })
        }
        ShapeName::Follow => read_follow(table, scopes),
    }
}

fn read_pages(node: &Node<'_>, scopes: &Scopes) -> Option<Pages> {
    let table = node.table()?;
    let items = table.need("items", "the items of a page, such as \"response.results\"");
    let next = table.need("next", "the URL of the next page, such as \"response.next\"");
    let read = |node: Option<Node<'_>>| node.and_then(|node| Expr::read(&node, &scopes.answer));
    let (items, next) = (read(items), read(next));
    table.finish();
    Some(Pages { items: items?, next: next? })
}

fn read_follow(table: &Table<'_>, scopes: &Scopes) -> Option<Shape> {
    let until = table.need("until", "a follow says when it is done, \"status == 'DONE'\"");
    let until = until.and_then(|node| Expr::read(&node, &scopes.status));
    let deadline = table.need("deadline", "a follow says when to give up, such as \"60d\"");
    let deadline = deadline.and_then(|node| node.duration());
    let every: Option<Option<Duration>> =
        optional(table.get("every"), |node| node.duration().map(Some));
    Some(Shape::Follow { until: until?, deadline: deadline?, every: every? })
}

/// Whether a text is a kind with its provider.
pub(super) fn is_kind_name(text: &str) -> bool {
    text.split_once('.').is_some_and(|(provider, kind)| is_name(provider) && is_name(kind))
}
