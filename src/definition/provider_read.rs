//! Reading a whole definition file.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use http::HeaderName;
use toml::de::DeTable;

use super::{
    args_read::read_args,
    credential::{CredentialShape, CredentialSpec, Need},
    credential_read::read_credential,
    kind::Kind,
    kind_read::read_kind,
    links::{Links, read_link},
    provider::{
        BasicEncoding, DEFAULT_TIMEOUT, DEFAULT_TOLERANCE, Provider, SecretSpec, Signature,
        SignatureScheme, Wakes, Webhook,
    },
    read::{Node, Place, Report, Table, is_name, one_of},
    request::Auth,
    request_read::{all, optional, read_auth},
    scope::Scope,
};
use crate::policy::limit::Limit;

/// What the kinds and credentials of a file share.
pub(super) struct Common {
    pub(super) provider: String,
    pub(super) timeout: Duration,
    /// `params`, `secrets` and `credentials`.
    pub(super) scope: Scope,
    /// As [`read_auth`] returns it.
    pub(super) auth: Option<Option<Auth>>,
}

/// One file, read; not yet checked against the others.
pub(super) struct Loaded {
    pub(super) report: Report,
    /// `None` where it has problems.
    pub(super) provider: Option<Provider>,
    pub(super) links: Links,
}

/// Reads a file's text. `stem` is the name that the provider must have.
pub(super) fn read_file(file: PathBuf, stem: &str, text: &str) -> Loaded {
    let report = Report::new(file.clone(), text);
    let mut links = Links::default();
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = report.line(error.span().map_or(0, |span| span.start));
        report.add(&Place { line, key: String::new() }, error.message());
    }
    let provider = if errors.is_empty() {
        let top = Place { line: 1, key: String::new() };
        let table = Table::new(&report, top, document.get_ref());
        let provider = read_provider(table, stem, &mut links);
        provider.map(|provider| Provider { file, source_toml: text.to_owned(), ..provider })
    } else {
        None
    };
    Loaded { report, provider, links }
}

fn read_provider(table: Table<'_>, stem: &str, links: &mut Links) -> Option<Provider> {
    let name = read_name(&table, stem);
    let title = table.need("title", "what the provider is, for people").and_then(|n| n.text());
    let base_url = optional(table.get("base_url"), |node| read_url(node).map(Some));
    let hosts = optional(table.get("hosts"), read_hosts);
    let limits = optional(table.get("limits"), read_limits);
    let timeout = table.get("timeout").map_or(Some(DEFAULT_TIMEOUT), |node| node.duration());
    let encodings = [("raw", BasicEncoding::Raw), ("rfc6749", BasicEncoding::Rfc6749)];
    let basic_encoding = optional(table.get("basic_encoding"), |node| node.word(&encodings));
    let secrets = optional(table.get("secrets"), read_secrets);
    let (param_names, params) = read_args(table.get("params"));
    let credentials = tables(table.get("credentials"));
    let scope = Scope::default()
        .with_names("params", param_names)
        .with_names("secrets", named(table.get("secrets")).into_iter().map(|(name, _)| name))
        .with_names("credentials", credentials.iter().map(|(name, _)| *name));
    let auth = optional(table.get("auth"), |node| read_auth(node, &scope));
    let timeout_or_default = timeout.unwrap_or(DEFAULT_TIMEOUT);
    let common = Common { provider: stem.to_owned(), timeout: timeout_or_default, scope, auth };
    let credentials = read_credentials(&credentials, &common);
    let kinds = read_kinds(tables(table.get("jobs")), &common, links);
    let webhook = optional(table.get("webhook"), |node| {
        read_webhook(node, secrets.as_ref(), links).map(Some)
    });
    table.finish();
    Some(Provider {
        name: name?,
        title: title?.to_owned(),
        file: PathBuf::new(),
        source_toml: String::new(),
        base_url: base_url?,
        hosts: hosts?,
        limits: limits?,
        timeout: timeout?,
        secrets: secrets?,
        params: params?,
        auth: common.auth?,
        basic_encoding: basic_encoding?,
        credentials: credentials?,
        kinds: kinds?,
        webhook: webhook?,
    })
}

/// The named entries of a table, which nobody else reads.
fn tables(node: Option<Node<'_>>) -> Vec<(&str, Node<'_>)> {
    node.and_then(|node| node.table()).map_or_else(Vec::new, |table| table.named())
}

/// The named entries; where the value is no table, that is reported once, by who reads it.
fn named(node: Option<Node<'_>>) -> Vec<(&str, Node<'_>)> {
    node.filter(Node::is_table).and_then(|node| node.table()).map_or_else(Vec::new, |t| t.named())
}

fn read_name(table: &Table<'_>, stem: &str) -> Option<String> {
    let node = table.need("provider", "the provider's name, as in the file's name")?;
    let name = node.text()?;
    if !is_name(name) {
        node.problem("a name is made of a-z, 0-9 and _");
    } else if name != stem {
        let twin = table.file().with_file_name(format!("{name}.toml")).exists();
        let too = if twin { ", which is there too: one file per provider" } else { "" };
        node.problem(format!("the file of provider `{name}` must be called `{name}.toml`{too}"));
    } else {
        return Some(name.to_owned());
    }
    None
}

fn read_url(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    let url: Option<http::Uri> = text.parse().ok();
    let good = url.is_some_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.host().is_some_and(|host| !host.is_empty())
            && url.query().is_none()
            && !text.contains(['@', '#'])
    });
    if !good {
        node.problem("must be a URL such as \"https://api.example.com/v1\", without a query");
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn read_hosts(node: &Node<'_>) -> Option<BTreeMap<String, String>> {
    let hosts = node.table()?.named();
    Some(
        all(hosts.iter().map(|(name, node)| Some(((*name).to_owned(), read_url(node)?))))?
            .into_iter()
            .collect(),
    )
}

fn read_limits(node: &Node<'_>) -> Option<Vec<Limit>> {
    all(node.array()?.iter().map(|item| match item.text()?.parse::<Limit>() {
        Ok(limit) => Some(limit),
        Err(error) => {
            item.problem(error.to_string());
            None
        }
    }))
}

fn read_secrets(node: &Node<'_>) -> Option<BTreeMap<String, SecretSpec>> {
    let secrets = node.table()?.named();
    let secrets = secrets.iter().map(|(name, node)| {
        if node.is_text() {
            let title = node.text()?.to_owned();
            return Some(((*name).to_owned(), SecretSpec { title, optional: false }));
        }
        let table = node.table()?;
        let title = table.need("title", "what the secret is and where to get it");
        let title = title.and_then(|node| node.text());
        let optional = optional(table.get("optional"), Node::boolean);
        table.finish();
        let spec = SecretSpec { title: title?.to_owned(), optional: optional? };
        Some(((*name).to_owned(), spec))
    });
    Some(all(secrets)?.into_iter().collect())
}

fn read_credentials(
    named: &[(&str, Node<'_>)],
    common: &Common,
) -> Option<BTreeMap<String, CredentialSpec>> {
    let specs = all(named.iter().map(|(name, node)| read_credential(name, node, common)))?;
    let specs: BTreeMap<_, _> = specs.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
    let mut good = true;
    for (name, node) in named {
        if let Some(path) = circle(name, &specs) {
            node.problem(format!("needs itself: {}", path.join(" needs ")));
            good = false;
        }
    }
    good.then_some(specs)
}

/// The way from a credential back to itself, which would wait for itself forever.
fn circle(start: &str, specs: &BTreeMap<String, CredentialSpec>) -> Option<Vec<String>> {
    let mut paths = vec![vec![start.to_owned()]];
    let mut seen = Vec::new();
    while let Some(path) = paths.pop() {
        let Some(spec) = path.last().and_then(|name| specs.get(name)) else { continue };
        for next in needed_credentials(spec) {
            let longer: Vec<_> = path.iter().cloned().chain([next.clone()]).collect();
            if next == start {
                return Some(longer);
            }
            if !seen.contains(&next) {
                seen.push(next);
                paths.push(longer);
            }
        }
    }
    None
}

fn needed_credentials(spec: &CredentialSpec) -> Vec<String> {
    match &spec.shape {
        CredentialShape::Exchange(exchange) => {
            let needs = exchange.ways.iter().flat_map(|way| &way.needs);
            let names = needs.filter_map(|need| match need {
                Need::Credential(name) => Some(name.clone()),
                Need::Secret(_) | Need::RefreshToken => None,
            });
            let revoke = exchange.revoke.iter().flat_map(|request| request.refs());
            let revoked = revoke.filter_map(|name| name.strip_prefix("credentials."));
            names.chain(revoked.map(str::to_owned)).collect()
        }
        CredentialShape::Rotate(rotate) => rotate.credentials().map(str::to_owned).collect(),
    }
}

fn read_kinds(
    named: Vec<(&str, Node<'_>)>,
    common: &Common,
    links: &mut Links,
) -> Option<BTreeMap<String, Arc<Kind>>> {
    let kinds = named.into_iter().map(|(name, node)| {
        let kind = read_kind(name, &node, common, links)?;
        Some((name.to_owned(), kind))
    });
    Some(all(kinds)?.into_iter().collect())
}

fn read_webhook(
    node: &Node<'_>,
    secrets: Option<&BTreeMap<String, SecretSpec>>,
    links: &mut Links,
) -> Option<Webhook> {
    let table = node.table()?;
    let signature = table.need("signature", "how a webhook is known to be genuine");
    let signature = signature.and_then(|node| read_signature(&node, secrets));
    let wakes = table.need("wakes", "the follow to look at, such as { kind = …, args = … }");
    let wakes = wakes.and_then(|node| {
        let table = node.table()?;
        let scope = Scope::default().with("payload");
        let (kind, args) = read_link(&table, &scope, links, true);
        table.finish();
        Some(Wakes { kind: kind?, args: args? })
    });
    table.finish();
    Some(Webhook { signature: signature?, wakes: wakes? })
}

fn read_signature(
    node: &Node<'_>,
    secrets: Option<&BTreeMap<String, SecretSpec>>,
) -> Option<Signature> {
    let table = node.table()?;
    let header = table.need("header", "the header that carries it").and_then(|node| {
        let name = HeaderName::from_bytes(node.text()?.as_bytes());
        name.map_err(|_| node.problem("is not a header name")).ok()
    });
    let schemes = [("t-v1-hmac-sha256", SignatureScheme::TV1HmacSha256)];
    let scheme = table.need("scheme", "t-v1-hmac-sha256").and_then(|node| node.word(&schemes));
    let secret = table.need("secret", "the name of a secret, its key");
    let secret = secret.and_then(|node| read_secret_name(&node, secrets));
    let tolerance = table.get("tolerance").map_or(Some(DEFAULT_TOLERANCE), |n| n.duration());
    table.finish();
    Some(Signature { header: header?, scheme: scheme?, secret: secret?, tolerance: tolerance? })
}

fn read_secret_name(
    node: &Node<'_>,
    secrets: Option<&BTreeMap<String, SecretSpec>>,
) -> Option<String> {
    let name = node.text()?;
    let Some(secrets) = secrets else { return Some(name.to_owned()) };
    if !secrets.contains_key(name) {
        let known: Vec<_> = secrets.keys().collect();
        node.problem(format!("secret `{name}` is not declared: [secrets] has {}", one_of(&known)));
        return None;
    }
    Some(name.to_owned())
}
