//! A real OAuth2 and JWT server for tests: `tests/oauth/server.py`, in a process of its own.

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

pub const CLIENT_ID: &str = "oauth-client";
pub const CLIENT_SECRET: &str = "oauth-secret";
/// Who may log in at `/api/v2/auth/jwt/`.
pub const EMAIL: &str = "user@example.org";
pub const PASSWORD: &str = "password";

/// Django starts in about a second; a loaded machine gets its time.
const PATIENCE: Duration = Duration::from_mins(1);

/// The server, killed when this is dropped, and ending by itself when the test process does.
pub struct OauthServer {
    base_url: String,
    http: reqwest::Client,
    // Held for what their drop does: the process is killed, its pipe closed, its files removed.
    _process: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
    _folder: tempfile::TempDir,
}

impl OauthServer {
    /// Starts it with access tokens and JWTs that live this long, in whole seconds.
    pub async fn start(token_life: Duration) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(python(root))
            .arg(root.join("tests/oauth/server.py"))
            .args(["--until-stdin-closes", "--token-life"])
            .arg(token_life.as_secs().to_string())
            .arg("--database")
            .arg(folder.path().join("oauth.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = timeout(PATIENCE, stdout.next_line()).await;
        let ready = ready.expect("the OAuth server is not ready after a minute").unwrap();
        let port = ready.as_deref().and_then(|line| line.strip_prefix("ready "));
        let port: u16 = port.and_then(|port| port.parse().ok()).unwrap_or_else(|| {
            panic!("the OAuth server said {ready:?} instead of `ready PORT`; see its error above")
        });
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            base_url: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::new(),
            _process: process,
            _stdout: stdout,
            _folder: folder,
        }
    }

    /// Without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Deletes every access token: the next use of one is a 401.
    pub async fn revoke_tokens(&self) {
        self.control("revoke", &json!({})).await;
    }

    /// Sets the expiry of every access token into the past.
    pub async fn expire_tokens(&self) {
        self.control("expire", &json!({})).await;
    }

    /// Throttles the protected views from now on, such as at `1/min`, or no more.
    pub async fn throttle(&self, rate: Option<&str>) {
        let settings = match rate {
            Some(rate) => json!({ "on": true, "rate": rate }),
            None => json!({ "on": false }),
        };
        self.control("throttle", &settings).await;
    }

    /// Logs in; the status.
    pub async fn login(&self) -> u16 {
        let login = json!({ "email": EMAIL, "password": PASSWORD });
        let url = format!("{}/api/v2/auth/jwt/", self.base_url);
        self.http.post(url).json(&login).send().await.unwrap().status().as_u16()
    }

    /// Uses a JWT; the status.
    pub async fn me(&self, jwt: &str) -> u16 {
        let request = self.http.get(format!("{}/api/v2/me/", self.base_url));
        let response = request.header("authorization", format!("JWT {jwt}")).send().await;
        response.unwrap().status().as_u16()
    }

    /// How it answers: `{login_rate: "1/min" or null, login_status, retry_after: bool}`, each where
    /// it is given.
    pub async fn set(&self, settings: Value) {
        self.control("set", &settings).await;
    }

    /// `{requests: {path: n}, orders, polls: {applicant: n}, reports: {applicant: n}, tokens}`.
    pub async fn stats(&self) -> Value {
        let url = format!("{}/_control/stats", self.base_url);
        let response = self.http.get(url).send().await.unwrap();
        response.error_for_status().unwrap().json().await.unwrap()
    }

    async fn control(&self, what: &str, body: &Value) {
        let url = format!("{}/_control/{what}", self.base_url);
        let response = self.http.post(url).json(body).send().await.unwrap();
        response.error_for_status().unwrap();
    }
}

fn python(root: &Path) -> PathBuf {
    let python = root.join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make test-setup`", python.display());
    python
}

mod tests {
    use reqwest::{Client, RequestBuilder, Response, StatusCode};
    use serde_json::Value;

    use super::{CLIENT_ID, CLIENT_SECRET, Duration, EMAIL, OauthServer, PASSWORD, json};

    async fn token(server: &OauthServer, secret: &str) -> Response {
        let url = format!("{}/token/", server.base_url());
        let request = Client::new().post(url).basic_auth(CLIENT_ID, Some(secret));
        request.form(&[("grant_type", "client_credentials")]).send().await.unwrap()
    }

    async fn access_token(server: &OauthServer) -> String {
        let body: Value = token(server, CLIENT_SECRET).await.json().await.unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    fn users(server: &OauthServer) -> RequestBuilder {
        Client::new().get(format!("{}/api/v1/users/", server.base_url()))
    }

    #[tokio::test]
    async fn the_real_server_expires_revokes_throttles_and_refuses() {
        let server = OauthServer::start(Duration::from_mins(10)).await;
        let refused = token(&server, "guess").await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refused.json::<Value>().await.unwrap(), json!({ "error": "invalid_client" }));

        let first = access_token(&server).await;
        let allowed = users(&server).bearer_auth(&first).send().await.unwrap();
        assert_eq!(allowed.status(), StatusCode::OK);
        server.expire_tokens().await;
        let expired = users(&server).bearer_auth(&first).send().await.unwrap();
        assert_eq!(expired.status(), StatusCode::UNAUTHORIZED);
        assert!(expired.headers()["www-authenticate"].to_str().unwrap().contains("expired"));

        let second = access_token(&server).await;
        server.throttle(Some("1/min")).await;
        users(&server).bearer_auth(&second).send().await.unwrap();
        let throttled = users(&server).bearer_auth(&second).send().await.unwrap();
        assert_eq!(throttled.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(throttled.headers().contains_key("retry-after"));
        server.throttle(None).await;

        server.revoke_tokens().await;
        let revoked = users(&server).bearer_auth(&second).send().await.unwrap();
        assert_eq!(revoked.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(server.stats().await["requests"]["/token/"], 3);
    }

    #[tokio::test]
    async fn the_real_server_logs_in_with_a_jwt() {
        let server = OauthServer::start(Duration::from_mins(10)).await;
        let login = json!({ "email": EMAIL, "password": PASSWORD });
        let url = format!("{}/api/v2/auth/jwt/", server.base_url());
        let answer = Client::new().post(url).json(&login).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let body: Value = answer.json().await.unwrap();
        let header = format!("JWT {}", body["token"].as_str().unwrap());
        let url = format!("{}/api/v2/me/", server.base_url());
        let me = Client::new().get(url).header("authorization", header).send().await.unwrap();
        assert_eq!(me.json::<Value>().await.unwrap()["email"], EMAIL);
    }
}
