//! Definitions of providers: `jobs/*.toml`, parsed, checked and compiled.
//!
//! A provider is data, not code. One file describes its base URL, limits, secrets, credentials
//! and job kinds; [`Registry::load`] reads the built-in files and those of `jobs_dir`, or returns
//! every problem of all of them as file, line, key and what would be right.
//!
//! # The language
//! Texts (paths, headers, form fields, an artifact's name) are minijinja **templates**. What is
//! decided or taken (`until`, `success`, `value`, …) are minijinja **expressions**. Both are
//! compiled when loaded. Unknown variables, arguments, secrets, filters and tests are problems
//! then; using a value that turns out not to be there is an [`EvalError`] later, which names the
//! key and never shows a value.
//!
//! - A template's values are strings, numbers and booleans. A null, list or object in a text is
//!   an error: nobody means to send `Bearer none`.
//! - In a `path`, every value becomes one percent-encoded segment, or part of one; empty values,
//!   `.` and `..` are refused.
//! - In `json`, a string is an expression (so a literal text is `"'text'"`), tables and arrays
//!   are built of such, and numbers and booleans stand for themselves. Types are kept.
//! - A `json` leaf `args.x`, or a `query` or `form` field `{{ args.x }}`, whose argument is
//!   optional and was not given, is left out.
//!
//! # Variables
//! | variable | where |
//! | --- | --- |
//! | `params` | everywhere but in a webhook |
//! | `args` | in a kind |
//! | `secrets`, `credentials` | in requests and `auth`; in all of a credential |
//! | `response`, `body`, `http.status`, `http.headers` | after an answer |
//! | `status` | in `until`, `success` and `then`: what `status` took from the answer, or null |
//! | `refresh_token` | in an exchange that takes one from its answers |
//! | `value` | in a credential's `revoke` |
//! | `item` | in `value`, `created_at` and `expires_at` of a rotation's `list` |
//! | `payload` | in a webhook's `wakes` |
//!
//! # For editors
//! [`schema`] is the format as a JSON Schema, kept as `jobs/schema.json`. A key that is added to
//! the parser is added there too: the tests compare the two, table by table.

// While a file is read, an outer `None` is a problem that has been reported, an inner one a key
// that is not there.
#![allow(clippy::option_option)]

mod args;
mod args_read;
mod credential;
mod credential_read;
mod engine;
mod expr;
mod kind;
mod kind_read;
mod links;
mod provider;
mod provider_read;
mod read;
mod registry;
mod request;
mod request_read;
mod schema;
mod scope;
mod vars;

#[cfg(test)]
mod tests;

pub use args::{ArgSpec, ArgType, ArgsSchema, FieldProblem};
pub use credential::{
    Asked, CredentialShape, CredentialSpec, DEFAULT_OVERLAP, Exchange, Lifetime, Need, Rotate,
    Source, TokenList, Way,
};
pub(crate) use engine::TEXT as PLAIN_TEXT;
pub use expr::{EvalError, Expr, RenderError, Template, Trouble};
pub use kind::{
    DEFAULT_MAX_BODY, DEFAULT_MAX_DOWNLOAD, DEFAULT_MAX_ERRORS, Kind, Pages, Reconcile, Repeat,
    SetsSecret, Shape, Then,
};
pub use provider::{
    BasicEncoding, DEFAULT_TIMEOUT, DEFAULT_TOLERANCE, Provider, SecretSpec, Signature,
    SignatureScheme, Wakes, Webhook,
};
pub use registry::Registry;
pub use request::{Auth, Body, Rendered, RequestTemplate};
pub use schema::{schema, schema_text};
pub use vars::Vars;
