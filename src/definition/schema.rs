//! The JSON Schema of `jobs/*.toml`, for editors: it completes keys, explains them, and marks what
//! the parser would refuse for its shape. `jobs/schema.json` is what [`schema_text`] gives.
//!
//! Its form is that of what editors can do with it. Those for TOML show nothing of what stands
//! beside a `$ref`, and nothing of a table that has an `allOf`: so the parts are written out where
//! they are used, and what depends on other keys is said by `if`, `then` and `else`, nested.

mod credentials;
mod kinds;
mod parts;
mod requests;

use serde_json::{Value, json};

use self::{
    kinds::link,
    parts::{duration, header_name, limit, name, named, shown, table, text, url, words},
};
use super::provider::{DEFAULT_TIMEOUT, DEFAULT_TOLERANCE};

/// The schema as the file that is kept, with a line end.
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

/// The schema of a definition.
pub fn schema() -> Value {
    let mut whole = table(
        "One external HTTP API, and what Attendant does with it. The file is called as the \
         provider: `acme.toml` for provider = \"acme\".",
        &["provider", "title"],
        json!({
            "provider": name("The provider's name, as in the file's name: a-z, 0-9 and _."),
            "title": text("What the provider is, for people."),
            "base_url": url("Where the paths of requests begin, such as \
                \"https://api.example.com/v1\". Without it, every account must give its own."),
            "hosts": named("Base URLs by name (live, test), suggested to whoever must choose one.",
                url("A base URL.")),
            "limits": {
                "type": "array",
                "description": "Requests allowed per rolling window, such as [\"240/1m\", \
                    \"14400/24h\"]; all of them hold. An account's own `limits` go first. \
                    Default: none.",
                "items": limit("At most so many requests in any window of that length."),
            },
            "timeout": duration("How long a request may take, where a kind or credential does not \
                say.", Some(DEFAULT_TIMEOUT)),
            "auth": requests::auth("How requests of kinds and rotations show who they are, where \
                these do not say. May refer to params, secrets and credentials. Default: none."),
            "basic_encoding": words("How user name and password are put into HTTP Basic: raw, as \
                they are; rfc6749, form-encoded first, as OAuth 2 demands.",
                &["raw", "rfc6749"], Some("raw")),
            "secrets": named("The secrets that an account is given, by name; never their values.",
                secret()),
            "params": named("What else an account is given, as `params.NAME` in its section.",
                kinds::arg()),
            "credentials": named("Values that expire, obtained and kept fresh, by name.",
                credentials::credential()),
            "jobs": named("The kinds of jobs, by name: [jobs.NAME] is the kind PROVIDER.NAME.",
                kinds::kind()),
            "webhook": webhook(),
        }),
    );
    whole["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    whole["title"] = json!("A definition of a provider, for Attendant");
    whole
}

/// A text, or a table: what is said of properties holds for tables only.
fn secret() -> Value {
    let mut secret = table(
        "What the secret is and where to get it; or a table with `title` and `optional`.",
        &["title"],
        json!({
            "title": text("What the secret is and where to get it."),
            "optional": {
                "type": "boolean",
                "description": "An account may do without it.",
                "default": false,
            },
        }),
    );
    secret["type"] = json!(["string", "object"]);
    secret
}

fn webhook() -> Value {
    let signature = table(
        "How a webhook is known to be genuine.",
        &["header", "scheme", "secret"],
        json!({
            "header": header_name("The header that carries the signature."),
            "scheme": words("t-v1-hmac-sha256: `t=<unix seconds>,v1=<hex>`, HMAC-SHA256 over \
                `<t>.<raw body>`.", &["t-v1-hmac-sha256"], None),
            "secret": text("The name of the secret, declared in [secrets], that is its key."),
            "tolerance": duration("How old it may be.", Some(DEFAULT_TOLERANCE)),
        }),
    );
    let wakes = link(
        "The follows to look at at once: those of `kind` whose arguments equal all of `args`.",
        "A kind of shape follow, with its provider, such as certn.applicant.",
        "Arguments of the follow, each an expression that may refer to payload, the webhook's body.",
        &json!({}),
    );
    table(
        &format!(
            "What the provider sends by itself. Received on the listener of [hooks] at \
             /hooks/ACCOUNT. A signature older than {} is refused, where `tolerance` does not say.",
            shown(DEFAULT_TOLERANCE)
        ),
        &["signature", "wakes"],
        json!({ "signature": signature, "wakes": wakes }),
    )
}
