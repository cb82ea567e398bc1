//! The variables of one evaluation.

use std::{collections::BTreeMap, fmt};

use http::HeaderMap;
use minijinja::{Value, value::Serde};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Map;

/// The variables that templates and expressions see. Cheap to clone: values are shared.
///
/// Secrets are in the clear inside, so keep it no longer than the attempt it is made for;
/// `Debug` shows only which variables are set.
#[derive(Clone, Default)]
pub struct Vars {
    roots: BTreeMap<&'static str, Value>,
}

impl Vars {
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, root: &'static str, value: Value) -> Self {
        self.roots.insert(root, value);
        self
    }

    /// `args`: as `ArgsSchema::validate` returned them.
    #[must_use]
    pub fn args(self, args: &Map<String, serde_json::Value>) -> Self {
        self.with("args", from_json(args))
    }

    /// `params`: the account's.
    #[must_use]
    pub fn params(self, params: &Map<String, serde_json::Value>) -> Self {
        self.with("params", from_json(params))
    }

    /// `secrets`: those that the account is given; the others are undefined.
    #[must_use]
    pub fn secrets<'a, I>(self, secrets: I) -> Self
    where
        I: IntoIterator<Item = (&'a str, &'a SecretString)>,
    {
        self.with("secrets", exposed(secrets))
    }

    /// `credentials`: the values that are there; the others are undefined.
    #[must_use]
    pub fn credentials<'a, I>(self, credentials: I) -> Self
    where
        I: IntoIterator<Item = (&'a str, &'a SecretString)>,
    {
        self.with("credentials", exposed(credentials))
    }

    /// `http`, `body` and, where the body is JSON, `response`. Several headers of one name are
    /// joined with `, `.
    #[must_use]
    pub fn answer(
        self,
        status: u16,
        headers: &HeaderMap,
        body: &str,
        response: Option<&serde_json::Value>,
    ) -> Self {
        let response = response.map_or(Value::UNDEFINED, from_json);
        let http = [("status", Value::from(status)), ("headers", joined(headers))];
        self.with("http", Value::from_pairs(http))
            .with("body", Value::from(body))
            .with("response", response)
    }

    /// `status`: what the kind's `status` extracted; null where it is not known.
    #[must_use]
    pub fn status(self, status: Option<&str>) -> Self {
        self.with("status", status.map_or_else(|| Value::from(()), Value::from))
    }

    /// `payload`: the body of a webhook.
    #[must_use]
    pub fn payload(self, payload: &serde_json::Value) -> Self {
        self.with("payload", from_json(payload))
    }

    /// `item`: one entry of a rotated credential's `list`.
    #[must_use]
    pub fn item(self, item: &serde_json::Value) -> Self {
        self.with("item", from_json(item))
    }

    /// `value`: the rotated value to revoke.
    #[must_use]
    pub fn value(self, value: &SecretString) -> Self {
        self.with("value", Value::from(value.expose_secret()))
    }

    /// `refresh_token`: the one that this credential's last answer brought.
    #[must_use]
    pub fn refresh_token(self, token: &SecretString) -> Self {
        self.with("refresh_token", Value::from(token.expose_secret()))
    }

    pub(super) fn context(&self) -> Value {
        Value::from_pairs(self.roots.iter().map(|(name, value)| (*name, value.clone())))
    }

    /// The value of a dotted reference, where it has one.
    fn find(&self, reference: &str) -> Option<Value> {
        let mut parts = reference.split('.');
        let root = self.roots.get(parts.next()?)?.clone();
        let found = parts.try_fold(root, |value, part| value.get_attr(part).ok())?;
        (!found.is_undefined()).then_some(found)
    }

    pub(super) fn text_of(&self, reference: &str) -> Option<String> {
        self.find(reference).map(|value| value.to_string())
    }

    pub(super) fn has(&self, reference: &str) -> bool {
        self.find(reference).is_some()
    }
}

impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.roots.keys()).finish()
    }
}

fn from_json(json: impl serde::Serialize) -> Value {
    Value::from(Serde(json))
}

fn exposed<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a SecretString)>) -> Value {
    let exposed = secrets.into_iter().map(|(name, secret)| (name, secret.expose_secret()));
    Value::from_pairs(exposed)
}

fn joined(headers: &HeaderMap) -> Value {
    Value::from_pairs(headers.keys().map(|name| {
        let values = headers.get_all(name).iter();
        let values: Vec<_> =
            values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        (name.as_str(), values.join(", "))
    }))
}
