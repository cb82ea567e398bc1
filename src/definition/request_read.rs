//! Reading requests and `auth`.

use http::{HeaderName, Method};

use super::{
    args::ArgsSchema,
    expr::{Expr, Template},
    read::{Node, Table},
    request::{Auth, BodyTemplate, Field, JsonTemplate, RequestTemplate},
    scope::Scope,
};

pub(super) const METHODS: [(&str, &Method); 6] = [
    ("GET", &Method::GET),
    ("POST", &Method::POST),
    ("PUT", &Method::PUT),
    ("PATCH", &Method::PATCH),
    ("DELETE", &Method::DELETE),
    ("HEAD", &Method::HEAD),
];

/// What a request may refer to, and which arguments of it can be absent.
#[derive(Clone, Copy)]
pub(super) struct RequestScope<'a> {
    pub(super) scope: &'a Scope,
    pub(super) args: Option<&'a ArgsSchema>,
}

impl RequestScope<'_> {
    /// `args.x` if the text is nothing else and `x` is optional.
    fn optional(self, text: &str) -> Option<String> {
        let text = text.trim();
        let arg = self.args?.get(text.strip_prefix("args.")?)?;
        arg.optional.then(|| text.to_owned())
    }
}

/// Reads a request; problems are reported.
pub(super) fn read_request(node: &Node<'_>, at: RequestScope<'_>) -> Option<RequestTemplate> {
    let table = node.table()?;
    let method = match table.get("method") {
        Some(node) => node.word(&METHODS),
        None => Some(&Method::GET),
    };
    let path = table.need("path", "what follows the base URL, such as \"/api/v1/users/\"");
    let path = path.and_then(|node| read_path(&node, at.scope));
    let query = optional(table.get("query"), |node| read_fields(node, at));
    let headers = optional(table.get("headers"), |node| read_headers(node, at.scope));
    let basic = optional(table.get("basic"), |node| read_basic(node, at.scope).map(Some));
    let body = read_body(&table, at);
    table.finish();
    Some(RequestTemplate {
        method: method?.clone(),
        path: path?,
        query: query?,
        headers: headers?,
        basic: basic?,
        body: body?,
    })
}

/// The default where there is nothing to read; `None` where it is not right.
pub(super) fn optional<'a, T: Default>(
    node: Option<Node<'a>>,
    read: impl FnOnce(&Node<'a>) -> Option<T>,
) -> Option<T> {
    node.map_or_else(|| Some(T::default()), |node| read(&node))
}

/// All or nothing, but every item is read, so that every problem is found.
pub(super) fn all<T>(items: impl IntoIterator<Item = Option<T>>) -> Option<Vec<T>> {
    let items: Vec<_> = items.into_iter().collect();
    items.into_iter().collect()
}

fn read_path(node: &Node<'_>, scope: &Scope) -> Option<Template> {
    let text = node.text()?;
    let literal = text.split('?').next().unwrap_or_default();
    if !text.starts_with('/') || text.starts_with("//") {
        node.problem("a path starts with one `/`; the host is the account's");
        return None;
    }
    if literal.split('/').any(|part| matches!(part, "." | "..")) {
        node.problem("a path may not contain `.` or `..` as a segment");
        return None;
    }
    if text.chars().any(|c| c.is_control() || c == '#' && !text.contains("{#")) {
        node.problem("a path may not contain `#` or control characters");
        return None;
    }
    Template::read_path(node, scope)
}

fn read_fields(node: &Node<'_>, at: RequestScope<'_>) -> Option<Vec<(String, Field)>> {
    all(node.table()?.entries().into_iter().map(|(name, node)| {
        let template = Template::read(&node, at.scope)?;
        let inner = template.text().strip_prefix("{{").and_then(|t| t.strip_suffix("}}"));
        let optional = inner.and_then(|inner| at.optional(inner));
        Some((name.to_owned(), Field { template, optional }))
    }))
}

fn read_headers(node: &Node<'_>, scope: &Scope) -> Option<Vec<(HeaderName, Template)>> {
    all(node.table()?.entries().into_iter().map(|(name, node)| {
        let value = Template::read(&node, scope);
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            node.problem("is not a header name");
            return None;
        };
        Some((name, value?))
    }))
}

fn read_basic(node: &Node<'_>, scope: &Scope) -> Option<(Template, Template)> {
    let parts = node.array()?;
    let [user, password] = parts.as_slice() else {
        node.problem("must be two templates: user name and password");
        return None;
    };
    let (user, password) = (Template::read(user, scope), Template::read(password, scope));
    Some((user?, password?))
}

fn read_body(table: &Table<'_>, at: RequestScope<'_>) -> Option<BodyTemplate> {
    match (table.get("json"), table.get("form")) {
        (None, None) => Some(BodyTemplate::None),
        (Some(node), None) => read_json(&node, at).map(BodyTemplate::Json),
        (None, Some(node)) => read_fields(&node, at).map(BodyTemplate::Form),
        (Some(_), Some(node)) => {
            node.problem("a request has one body: give `json` or `form`");
            None
        }
    }
}

fn read_json(node: &Node<'_>, at: RequestScope<'_>) -> Option<JsonTemplate> {
    if node.is_text() {
        let expr = Expr::read(node, at.scope)?;
        let optional = at.optional(expr.text());
        Some(JsonTemplate::Expr { expr, optional })
    } else if node.is_table() {
        let entries = node.table()?.entries().into_iter();
        let entries = entries.map(|(name, node)| Some((name.to_owned(), read_json(&node, at)?)));
        all(entries).map(JsonTemplate::Object)
    } else if node.is_array() {
        let items = node.array()?;
        all(items.iter().map(|item| read_json(item, at))).map(JsonTemplate::Array)
    } else {
        node.json().map(JsonTemplate::Literal)
    }
}

/// Reads `auth`: `{ bearer = … }`, `{ header = { … } }`, `{ basic = [ … ] }` or `"none"`.
/// The outer `None`: there is a problem; the inner one: no authentication.
pub(super) fn read_auth(node: &Node<'_>, scope: &Scope) -> Option<Option<Auth>> {
    if node.is_text() {
        return node.word(&[("none", ())]).map(|()| None);
    }
    let table = node.table()?;
    let (bearer, header, basic) = (table.get("bearer"), table.get("header"), table.get("basic"));
    let auth = match (bearer, header, basic) {
        (Some(node), None, None) => Template::read(&node, scope).map(Auth::Bearer),
        (None, Some(node), None) => read_headers(&node, scope).map(Auth::Header),
        (None, None, Some(node)) => {
            read_basic(&node, scope).map(|(user, password)| Auth::Basic(user, password))
        }
        _ => {
            table.problem("give one of `bearer`, `header` and `basic`, or auth = \"none\"");
            None
        }
    };
    table.finish();
    auth.map(Some)
}
