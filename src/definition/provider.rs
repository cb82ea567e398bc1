//! A provider as the rest of the daemon uses it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use http::HeaderName;

use super::{args::ArgsSchema, credential::CredentialSpec, expr::Expr, kind::Kind, request::Auth};
use crate::policy::limit::Limit;

/// The timeout of a request, where the definition does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How old a webhook's signature may be, where the definition does not say.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_mins(5);

/// One definition file.
#[derive(Debug)]
pub struct Provider {
    pub name: String,
    pub title: String,
    /// Where it comes from: a path, or `built-in certn.toml`.
    pub file: std::path::PathBuf,
    /// The file's text, comments included.
    pub source_toml: String,
    /// Without a slash at its end. Where it is `None`, the account must give one.
    pub base_url: Option<String>,
    /// Base URLs by name (`test`, `live`), to suggest to who must choose one.
    pub hosts: BTreeMap<String, String>,
    pub limits: Vec<Limit>,
    pub timeout: Duration,
    pub secrets: BTreeMap<String, SecretSpec>,
    /// The parameters of an account: checked as a kind's arguments are.
    pub params: ArgsSchema,
    /// For every kind and rotation that does not bring its own.
    pub auth: Option<Auth>,
    pub basic_encoding: BasicEncoding,
    pub credentials: BTreeMap<String, CredentialSpec>,
    /// By name without the provider.
    pub kinds: BTreeMap<String, Arc<Kind>>,
    pub webhook: Option<Webhook>,
}

impl Provider {
    /// The credentials that no kind can do without.
    pub fn common_credentials(&self) -> BTreeSet<String> {
        let mut kinds = self.kinds.values().map(|kind| kind.credentials().collect());
        let first: BTreeSet<&str> = kinds.next().unwrap_or_default();
        let common = kinds.fold(first, |common, kind| &common & &kind);
        common.into_iter().map(str::to_owned).collect()
    }
}

/// A secret that an account is given. Its value is never here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSpec {
    pub title: String,
    pub optional: bool,
}

/// How user name and password are put into HTTP Basic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BasicEncoding {
    /// As they are.
    #[default]
    Raw,
    /// Form-encoded first, as RFC 6749 section 2.3.1 demands of OAuth 2 clients.
    Rfc6749,
}

/// What a provider sends by itself.
#[derive(Debug)]
pub struct Webhook {
    pub signature: Signature,
    pub wakes: Wakes,
}

/// How a webhook is known to be genuine.
#[derive(Debug)]
pub struct Signature {
    pub header: HeaderName,
    pub scheme: SignatureScheme,
    /// The name of the secret that is its key.
    pub secret: String,
    /// How old it may be.
    pub tolerance: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureScheme {
    /// `t=<unix seconds>,v1=<hex>`, HMAC-SHA256 over `<t>.<raw body>`; several `v1` are possible.
    TV1HmacSha256,
}

/// The follows that a webhook makes due: those of `kind` whose arguments equal all of `args`.
#[derive(Debug)]
pub struct Wakes {
    /// With its provider: `certn.applicant`.
    pub kind: String,
    /// Of the webhook's body, which is called `payload`.
    pub args: BTreeMap<String, Expr>,
}
