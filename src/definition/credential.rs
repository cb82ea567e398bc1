//! A credential as the engine uses it: obtained by an exchange, or rotated.

use std::time::Duration;

use serde_json::Value;

use super::{
    expr::{EvalError, Expr, Template},
    request::{Auth, RequestTemplate},
    vars::Vars,
};

/// How long a rotated value stays valid beside its successor, where nothing says otherwise.
pub const DEFAULT_OVERLAP: Duration = Duration::from_hours(1);

/// One `[credentials.…]` of a definition.
#[derive(Debug)]
pub struct CredentialSpec {
    pub name: String,
    /// What it is, for people; may be empty.
    pub title: String,
    pub shape: CredentialShape,
    /// The credential's, or the provider's.
    pub timeout: Duration,
}

impl CredentialSpec {
    /// Whether its requests go with another credential of the account.
    pub fn needs_credential(&self, name: &str) -> bool {
        match &self.shape {
            CredentialShape::Exchange(exchange) => exchange
                .ways
                .iter()
                .flat_map(|way| &way.needs)
                .any(|need| matches!(need, Need::Credential(other) if other == name)),
            CredentialShape::Rotate(rotate) => rotate.credentials().any(|other| other == name),
        }
    }
}

impl Rotate {
    /// The credentials that its requests go with.
    pub(super) fn credentials(&self) -> impl Iterator<Item = &str> {
        let list = self.list.as_ref().map(|list| &list.request);
        let requests = [Some(&self.create), list, self.revoke.as_ref()].into_iter().flatten();
        let own = requests.flat_map(RequestTemplate::refs);
        own.chain(self.auth.iter().flat_map(Auth::refs))
            .filter_map(|reference| reference.strip_prefix("credentials."))
    }
}

#[derive(Debug)]
pub enum CredentialShape {
    Exchange(Exchange),
    Rotate(Box<Rotate>),
}

impl CredentialShape {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exchange(_) => "exchange",
            Self::Rotate(_) => "rotate",
        }
    }
}

/// A value that is asked for anew before the old one expires.
#[derive(Debug)]
pub struct Exchange {
    /// Never empty, in order of preference: the first whose needs are all there is used.
    pub ways: Vec<Way>,
    /// Has the provider revoke a value (RFC 7009), which it refers to as `value`, when an operator
    /// withdraws it. Without it, a withdrawn value is only dropped here.
    pub revoke: Option<Box<RequestTemplate>>,
}

/// One way to come by a value.
#[derive(Debug)]
pub struct Way {
    /// What it refers to, and cannot do without.
    pub needs: Vec<Need>,
    pub source: Source,
    pub lifetime: Lifetime,
}

/// Something that a way cannot do without.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    Secret(String),
    /// Another credential of the account.
    Credential(String),
    /// The refresh token that an earlier answer for this credential brought.
    RefreshToken,
}

impl Way {
    /// The secrets that it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.needs.iter().filter_map(|need| match need {
            Need::Secret(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

#[derive(Debug)]
pub enum Source {
    /// A secret that is itself the value.
    Given(Template),
    Asked(Box<Asked>),
}

/// A token request.
#[derive(Debug)]
pub struct Asked {
    pub request: RequestTemplate,
    /// Token requests use the provider's `auth` only where they repeat it.
    pub auth: Option<Auth>,
    /// Whether a 2xx answer is a success; without it every 2xx is.
    pub success: Option<Expr>,
    /// Whether the answer is a refused login, which is not tried again.
    pub refused_when: Option<Expr>,
    /// Whether the answer may be a refused login (a provider that masks it as a 500): a few more
    /// tries than a plain refusal, and then as one.
    pub maybe_refused_when: Option<Expr>,
    /// Seconds, or an HTTP date, to wait before anything else is sent for the account.
    pub retry_after: Option<Expr>,
    pub value: Expr,
    /// A refresh token to keep for the next time, where the answer has one.
    pub refresh_token: Option<Expr>,
}

/// How long a value lives. The first of these that yields something counts; a value with none
/// lives until it is refused.
#[derive(Debug, Default)]
pub struct Lifetime {
    /// Seconds from the moment the request was sent.
    pub expires_in: Option<Expr>,
    /// RFC 3339, or seconds since the epoch.
    pub expires_at: Option<Expr>,
    /// Read `exp` of the value, which is a JWT.
    pub jwt_exp: bool,
    pub ttl: Option<Duration>,
}

/// A value that is created, published, and revoked once its successor has been in use.
#[derive(Debug)]
pub struct Rotate {
    pub create: RequestTemplate,
    /// The authentication in force for all its requests.
    pub auth: Option<Auth>,
    pub success: Option<Expr>,
    pub value: Expr,
    pub lifetime: Lifetime,
    /// Verifies a created value, and finds one whose answer was lost.
    pub list: Option<TokenList>,
    /// Refers to the old value as `value`. Without it, old values are left to expire.
    pub revoke: Option<RequestTemplate>,
    pub overlap: Duration,
}

/// The values that the provider's side knows.
#[derive(Debug)]
pub struct TokenList {
    pub request: RequestTemplate,
    /// An array of entries, or an object whose values they are.
    pub items: Expr,
    /// Of one entry, which is called `item`.
    pub value: Expr,
    pub created_at: Option<Expr>,
    pub expires_at: Option<Expr>,
}

impl TokenList {
    /// The entries of an answer; none where it is null.
    pub fn entries(&self, vars: &Vars) -> Result<Vec<Value>, EvalError> {
        Ok(match self.items.eval_defined(vars)? {
            Value::Array(items) => items,
            Value::Object(entries) => entries.into_iter().map(|(_, item)| item).collect(),
            Value::Null => Vec::new(),
            other => vec![other],
        })
    }
}
