//! Reading `[credentials.…]`.

use super::{
    credential::{
        Asked, CredentialShape, CredentialSpec, DEFAULT_OVERLAP, Exchange, Lifetime, Need, Rotate,
        Source, TokenList, Way,
    },
    expr::{Expr, Template},
    kind_read::expr_at,
    provider_read::Common,
    read::{Node, Table},
    request::RequestTemplate,
    request_read::{RequestScope, all, optional, read_auth, read_request},
    scope::Scope,
};

#[derive(Clone, Copy)]
enum ShapeName {
    Exchange,
    Rotate,
}

/// Reads one credential; problems are reported.
pub(super) fn read_credential(
    name: &str,
    node: &Node<'_>,
    common: &Common,
) -> Option<CredentialSpec> {
    let table = node.table()?;
    let shape = table.need("shape", "exchange or rotate");
    let words = [("exchange", ShapeName::Exchange), ("rotate", ShapeName::Rotate)];
    let shape = shape.and_then(|node| node.word(&words))?;
    let title = optional(table.get("title"), |node| node.text().map(str::to_owned));
    let timeout = table.get("timeout").map_or(Some(common.timeout), |node| node.duration());
    let shape = match shape {
        ShapeName::Exchange => read_exchange(name, &table, common).map(CredentialShape::Exchange),
        ShapeName::Rotate => {
            read_rotate(&table, common).map(|r| CredentialShape::Rotate(Box::new(r)))
        }
    };
    table.finish();
    Some(CredentialSpec { name: name.to_owned(), title: title?, shape: shape?, timeout: timeout? })
}

fn read_exchange(name: &str, table: &Table<'_>, common: &Common) -> Option<Exchange> {
    let scope = common.scope.clone().with("refresh_token");
    let revoke = read_revoke(table, common);
    let ways = match table.get("alternatives") {
        None => vec![read_way(table, &scope)?],
        Some(node) => {
            let items = node.array()?;
            if items.is_empty() {
                node.problem("`alternatives` needs at least one");
            }
            all(items.iter().map(|item| {
                let inner = item.table()?;
                let way = read_way(&inner, &scope);
                inner.finish();
                way
            }))?
        }
    };
    let needed = |need: &Need| ways.iter().any(|way| way.needs.contains(need));
    let brings_refresh_token = ways.iter().any(|way| match &way.source {
        Source::Asked(asked) => asked.refresh_token.is_some(),
        Source::Given(_) => false,
    });
    if needed(&Need::RefreshToken) && !brings_refresh_token {
        table.problem("uses `refresh_token`, but no `refresh_token = …` takes one of an answer");
        return None;
    }
    if needed(&Need::Credential(name.to_owned())) {
        table.problem(format!("`credentials.{name}` is needed to obtain itself"));
        return None;
    }
    let revoke = revoke?.map(Box::new);
    Some(Exchange { ways, revoke }).filter(|exchange| !exchange.ways.is_empty())
}

/// The request that revokes a `value`. The outer `None` is a problem.
fn read_revoke(table: &Table<'_>, common: &Common) -> Option<Option<RequestTemplate>> {
    let scope = common.scope.clone().with("value");
    optional(table.get("revoke"), |node| read_plain_request(node, &scope).map(Some))
}

/// A way: `given`, or `request` with what to take of its answer.
fn read_way(table: &Table<'_>, scope: &Scope) -> Option<Way> {
    let answer = scope.clone().with_answer();
    if let Some(node) = table.get("given") {
        const ASKED: [&str; 8] = [
            "request",
            "value",
            "auth",
            "success",
            "refused_when",
            "maybe_refused_when",
            "retry_after",
            "refresh_token",
        ];
        for key in ASKED {
            table.misplaced(key, "`given` is the value itself: nothing is asked");
        }
        let given = Template::read(&node, scope);
        let lifetime = read_lifetime(table, None);
        let given = given?;
        let needs = needs_of(given.refs().iter().map(String::as_str));
        return Some(Way { needs, source: Source::Given(given), lifetime: lifetime? });
    }
    let request = table.need("request", "the token request; or give `given`, a secret as value");
    let request = request.and_then(|node| read_plain_request(&node, scope));
    let auth = optional(table.get("auth"), |node| read_auth(node, scope));
    let value = table.need("value", "the credential, such as \"response.access_token\"");
    let value = value.and_then(|node| Expr::read(&node, &answer));
    let refresh_token = expr_at(table, "refresh_token", &answer);
    let success = expr_at(table, "success", &answer);
    let refused_when = expr_at(table, "refused_when", &answer);
    let maybe_refused_when = expr_at(table, "maybe_refused_when", &answer);
    let retry_after = expr_at(table, "retry_after", &answer);
    let lifetime = read_lifetime(table, Some(&answer));
    let (request, auth) = (request?, auth?);
    let refs = request.refs().into_iter().chain(auth.iter().flat_map(super::Auth::refs));
    let needs = needs_of(refs);
    let asked = Asked {
        request,
        auth,
        success: success?,
        refused_when: refused_when?,
        maybe_refused_when: maybe_refused_when?,
        retry_after: retry_after?,
        value: value?,
        refresh_token: refresh_token?,
    };
    Some(Way { needs, source: Source::Asked(Box::new(asked)), lifetime: lifetime? })
}

fn read_plain_request(node: &Node<'_>, scope: &Scope) -> Option<RequestTemplate> {
    read_request(node, RequestScope { scope, args: None })
}

fn needs_of<'a>(refs: impl Iterator<Item = &'a str>) -> Vec<Need> {
    let mut needs: Vec<_> = refs.filter_map(need_of).collect();
    needs.sort_unstable();
    needs.dedup();
    needs
}

fn need_of(reference: &str) -> Option<Need> {
    let mut parts = reference.split('.');
    match (parts.next()?, parts.next()) {
        ("secrets", Some(name)) => Some(Need::Secret(name.to_owned())),
        ("credentials", Some(name)) => Some(Need::Credential(name.to_owned())),
        ("refresh_token", None) => Some(Need::RefreshToken),
        _ => None,
    }
}

/// A given value has no answer to take a time from.
fn read_lifetime(table: &Table<'_>, answer: Option<&Scope>) -> Option<Lifetime> {
    let expr = |key| {
        let Some(scope) = answer else {
            table.misplaced(key, "`given` has no answer to read: use `jwt_exp` or `ttl`");
            return Some(None);
        };
        expr_at(table, key, scope)
    };
    let (expires_in, expires_at) = (expr("expires_in"), expr("expires_at"));
    let jwt_exp = optional(table.get("jwt_exp"), Node::boolean);
    let ttl = optional(table.get("ttl"), |node| node.duration().map(Some));
    Some(Lifetime {
        expires_in: expires_in?,
        expires_at: expires_at?,
        jwt_exp: jwt_exp?,
        ttl: ttl?,
    })
}

fn read_rotate(table: &Table<'_>, common: &Common) -> Option<Rotate> {
    let scope = &common.scope;
    let answer = scope.clone().with_answer();
    let create = table.need("create", "the request that makes a new value");
    let create = create.and_then(|node| read_plain_request(&node, scope));
    let auth = match table.get("auth") {
        Some(node) => read_auth(&node, scope),
        None => common.auth.clone(),
    };
    let value = table.need("value", "the new value, such as \"response.token\"");
    let value = value.and_then(|node| Expr::read(&node, &answer));
    let success = expr_at(table, "success", &answer);
    let lifetime = read_lifetime(table, Some(&answer));
    let list = optional(table.get("list"), |node| read_list(node, scope).map(Some));
    let revoke = read_revoke(table, common);
    let overlap = table.get("overlap").map_or(Some(DEFAULT_OVERLAP), |node| node.duration());
    let lifetime = lifetime?;
    let (none, ttl) =
        (lifetime.expires_in.is_none() && lifetime.expires_at.is_none(), lifetime.ttl);
    if none && !lifetime.jwt_exp && ttl.is_none() {
        table.problem("says when to rotate: `expires_in`, `expires_at`, `jwt_exp` or `ttl`");
        return None;
    }
    Some(Rotate {
        create: create?,
        auth: auth?,
        success: success?,
        value: value?,
        lifetime,
        list: list?,
        revoke: revoke?,
        overlap: overlap?,
    })
}

fn read_list(node: &Node<'_>, scope: &Scope) -> Option<TokenList> {
    let table = node.table()?;
    let request = table.need("request", "the request that lists the values");
    let request = request.and_then(|node| read_plain_request(&node, scope));
    let answer = scope.clone().with_answer();
    let item = answer.clone().with("item");
    let items = table.need("items", "the entries, such as \"response\"");
    let items = items.and_then(|node| Expr::read(&node, &answer));
    let value = table.need("value", "the value of an entry, such as \"item.token\"");
    let value = value.and_then(|node| Expr::read(&node, &item));
    let created_at = expr_at(&table, "created_at", &item);
    let expires_at = expr_at(&table, "expires_at", &item);
    table.finish();
    Some(TokenList {
        request: request?,
        items: items?,
        value: value?,
        created_at: created_at?,
        expires_at: expires_at?,
    })
}
