//! The one place that sends requests to providers.
//!
//! No redirect is followed: on an unsafe request it would send it twice or turn it into a GET, and
//! on any it would carry a credential elsewhere. Bodies are read up to a limit. What a failure
//! means is told by where it happened: before the request left, or after.
//!
//! What carries a request is the network, or in a simulation a script ([`Carrier`]).

use std::{
    error::Error as _,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    chance::Chance,
    clock::Clock,
    definition::{BasicEncoding, Body, Rendered},
    policy::classify::{Ambiguous, NotSent},
};

/// How often a request that did not get out is tried within one attempt.
const TRIES: usize = 3;
/// Connecting takes at most this part of a request's time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers that stall for so long are given up, whatever the whole may take.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// A complete answer.
#[derive(Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Headers and body hold tokens and data of people.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.body.len();
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    /// It surely never left.
    #[error("{words}")]
    NotSent { what: NotSent, words: String },
    /// It may have been carried out.
    #[error("{words}")]
    Ambiguous { what: Ambiguous, words: String },
    /// The answer is larger than this account's definition allows.
    #[error("the answer is larger than {limit} bytes (max_body of the definition)")]
    TooLarge { limit: u64 },
    /// What the definition makes is not a request.
    #[error("{0}")]
    Invalid(String),
}

/// How a request is sent.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    pub timeout: Duration,
    pub max_body: u64,
    pub basic: BasicEncoding,
    /// On a connection of its own: a kept one that dies under a request leaves it unknown whether
    /// the request arrived.
    pub fresh_connection: bool,
}

/// Carries one request to its provider and brings the whole answer.
#[async_trait]
pub trait Carrier: fmt::Debug + Send + Sync {
    async fn carry(&self, request: reqwest::Request, manner: Manner) -> Result<Answer, SendError>;
}

/// Makes requests of what definitions say, and has them carried.
#[derive(Debug, Clone)]
pub struct Outbound {
    maker: Client,
    carrier: Arc<dyn Carrier>,
    clock: Clock,
    chance: Chance,
}

/// The network.
#[derive(Debug)]
struct Network {
    pooled: Client,
    fresh: Client,
}

impl Outbound {
    /// # Errors
    /// Where the TLS library cannot be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        // A second daemon in one process (tests) finds the provider installed, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            Client::builder()
                .user_agent(concat!("attendant/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .tcp_nodelay(true)
                // One protocol whatever a proxy offers; HTTP/2 would share one connection's fate.
                .http1_only()
        };
        let pooled = builder().pool_idle_timeout(Duration::from_secs(30)).build()?;
        let fresh = builder().pool_max_idle_per_host(0).build()?;
        let maker = pooled.clone();
        let carrier = Arc::new(Network { pooled, fresh });
        Ok(Self { maker, carrier, clock: Clock::System, chance: Chance::System })
    }

    /// The same, carried by another; waits between tries are by this clock and this chance.
    #[must_use]
    pub fn carried_by(self, carrier: Arc<dyn Carrier>, clock: Clock, chance: Chance) -> Self {
        Self { carrier, clock, chance, ..self }
    }

    /// Sends a request and reads its whole answer. What did not get out is tried again at once, a
    /// few times; `permit` is asked before each further try, and says why there is to be none.
    pub async fn send<'p>(
        &self,
        base: &Url,
        rendered: &Rendered,
        manner: Manner,
        permit: impl Fn() -> BoxFuture<'p, Result<(), &'static str>> + Send + Sync,
    ) -> Result<Answer, SendError> {
        let request = self.build(base, rendered, manner)?;
        let (tries, refused) = (AtomicUsize::new(0), AtomicBool::new(false));
        let once = || async {
            if tries.fetch_add(1, Ordering::Relaxed) > 0
                && let Err(words) = permit().await
            {
                refused.store(true, Ordering::Relaxed);
                let words = words.to_owned();
                return Err(SendError::NotSent { what: NotSent::Connect, words });
            }
            let request = request
                .try_clone()
                .ok_or_else(|| SendError::Invalid("the body cannot be sent twice".to_owned()))?;
            self.carrier.carry(request, manner).await
        };
        let pause = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_millis(400))
            .with_max_times(TRIES - 1)
            .with_jitter()
            .with_jitter_seed(self.chance.seed());
        let clock = self.clock.clone();
        once.retry(pause)
            .sleep(move |wait| {
                let clock = clock.clone();
                async move { clock.sleep(wait).await }
            })
            .when(|error| {
                matches!(error, SendError::NotSent { .. }) && !refused.load(Ordering::Relaxed)
            })
            .await
    }

    fn build(
        &self,
        base: &Url,
        rendered: &Rendered,
        manner: Manner,
    ) -> Result<reqwest::Request, SendError> {
        let url = join(base, rendered)?;
        let mut request = self.maker.request(rendered.method.clone(), url);
        for (name, value) in &rendered.headers {
            request = request.header(name, sensitive(value.expose_secret())?);
        }
        if let Some((user, password)) = &rendered.basic {
            request = request.header(header::AUTHORIZATION, basic(user, password, manner.basic)?);
        }
        request = match &rendered.body {
            Body::None => request,
            Body::Json(value) => request.json(value),
            Body::Form(fields) => {
                let fields: Vec<(&str, &str)> = fields
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.expose_secret()))
                    .collect();
                request.form(&fields)
            }
        };
        request
            .timeout(manner.timeout)
            .build()
            .map_err(|error| SendError::Invalid(error.without_url().to_string()))
    }
}

#[async_trait]
impl Carrier for Network {
    async fn carry(&self, request: reqwest::Request, manner: Manner) -> Result<Answer, SendError> {
        let client = if manner.fresh_connection { &self.fresh } else { &self.pooled };
        let place = place(request.url());
        let response = client.execute(request).await.map_err(|error| no_head(&error, &place))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_body(response, manner.max_body).await?;
        Ok(Answer { status, headers, body })
    }
}

/// The definition's path under the account's base URL, whose own path it keeps.
fn join(base: &Url, rendered: &Rendered) -> Result<Url, SendError> {
    let text = format!("{}{}", base.as_str().trim_end_matches('/'), rendered.path);
    let mut url = Url::parse(&text).map_err(|error| SendError::Invalid(error.to_string()))?;
    if url.origin() != base.origin() {
        return Err(SendError::Invalid("the path leads to another host".to_owned()));
    }
    if !rendered.query.is_empty() {
        let mut pairs = url.query_pairs_mut();
        for (name, value) in &rendered.query {
            pairs.append_pair(name, value.expose_secret());
        }
    }
    Ok(url)
}

fn sensitive(text: &str) -> Result<HeaderValue, SendError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| SendError::Invalid("a header value with a control character".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 7617; the parts raw, or form-encoded first as RFC 6749, 2.3.1 has it.
fn basic(
    user: &SecretString,
    password: &SecretString,
    encoding: BasicEncoding,
) -> Result<HeaderValue, SendError> {
    let (user, password) = (user.expose_secret(), password.expose_secret());
    let pair = match encoding {
        BasicEncoding::Raw => format!("{user}:{password}"),
        BasicEncoding::Rfc6749 => format!(
            "{}:{}",
            utf8_percent_encode(user, NON_ALPHANUMERIC),
            utf8_percent_encode(password, NON_ALPHANUMERIC)
        ),
    };
    sensitive(&format!("Basic {}", STANDARD.encode(pair)))
}

/// Reads at most `limit` bytes of a body that may be compressed, endless or cut short.
async fn read_body(mut response: reqwest::Response, limit: u64) -> Result<Bytes, SendError> {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body.freeze()),
            Ok(Some(chunk)) => {
                if (body.len() + chunk.len()) as u64 > limit {
                    return Err(SendError::TooLarge { limit });
                }
                body.extend_from_slice(&chunk);
            }
            Err(error) => {
                let what = if error.is_timeout() {
                    Ambiguous::Timeout
                } else if error.is_decode() && !broke_off(&error) {
                    Ambiguous::Unreadable
                } else {
                    Ambiguous::Truncated
                };
                return Err(SendError::Ambiguous { what, words: words(&error) });
            }
        }
    }
}

/// Whether it was the connection that failed: a decoder that waits for more reports that as its own
/// error.
fn broke_off(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<hyper::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A request without an answer's head: did it leave?
fn no_head(error: &reqwest::Error, place: &str) -> SendError {
    let text = format!("{place}: {}", words(error));
    if error.is_builder() {
        return SendError::Invalid(text);
    }
    if error.is_connect() {
        let what = if text.contains("dns error") {
            NotSent::Dns
        } else if ["certificate", "tls", "TLS", "handshake"].iter().any(|word| text.contains(word))
        {
            NotSent::Tls
        } else {
            NotSent::Connect
        };
        return SendError::NotSent { what, words: text };
    }
    let what = if error.is_timeout() { Ambiguous::Timeout } else { Ambiguous::Reset };
    SendError::Ambiguous { what, words: text }
}

/// Host and port: where to look when nothing answers.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The whole chain of causes, without the URL, which may hold ids of people.
fn words(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(one) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&one.to_string());
        cause = one.source();
    }
    if !text.is_empty() {
        text
    } else if error.is_timeout() {
        "no complete answer in time".to_owned()
    } else {
        "the request failed".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn rendered(path: &str) -> Rendered {
        Rendered {
            method: http::Method::GET,
            path: path.to_owned(),
            query: vec![],
            headers: vec![],
            basic: None,
            body: Body::None,
        }
    }

    #[test]
    fn a_path_stays_under_its_base() {
        let table = BTreeMap::from([
            ("https://api.test", "https://api.test/a/"),
            ("https://api.test/", "https://api.test/a/"),
            ("https://api.test/api/v1", "https://api.test/api/v1/a/"),
            ("https://api.test/api/v1/", "https://api.test/api/v1/a/"),
        ]);
        for (base, expected) in table {
            let url = join(&base.parse().unwrap(), &rendered("/a/")).unwrap();
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn a_path_cannot_change_the_host() {
        let base: Url = "https://api.test".parse().unwrap();
        for path in ["@evil.test/", ".evil.test/", ":81/"] {
            assert!(join(&base, &rendered(path)).is_err(), "{path}");
        }
    }

    #[tokio::test]
    async fn what_did_not_get_out_is_tried_again_only_while_that_is_wanted() {
        // Nobody listens on this port, and nobody can: it is 0.
        let base: Url = "http://127.0.0.1:0".parse().unwrap();
        let manner = Manner {
            timeout: Duration::from_secs(5),
            max_body: 1,
            basic: BasicEncoding::Raw,
            fresh_connection: false,
        };
        let (outbound, asked) = (Outbound::new().unwrap(), AtomicUsize::new(0));
        let answers = [(Ok(()), TRIES - 1), (Err("it was to stop"), 1)];
        for (answer, times) in answers {
            asked.store(0, Ordering::Relaxed);
            let permit = || {
                asked.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move { answer }) as BoxFuture<'_, _>
            };
            let sent = outbound.send(&base, &rendered("/"), manner, permit).await;
            let Err(SendError::NotSent { words, .. }) = sent else { panic!("it was sent") };
            assert_eq!(words == "it was to stop", answer.is_err(), "{words}");
            assert_eq!(asked.load(Ordering::Relaxed), times);
        }
    }

    #[test]
    fn basic_is_raw_unless_the_definition_asks_otherwise() {
        let (user, password) = (SecretString::from("a"), SecretString::from("p%+/"));
        let raw = basic(&user, &password, BasicEncoding::Raw).unwrap();
        assert_eq!(raw.to_str().unwrap(), format!("Basic {}", STANDARD.encode("a:p%+/")));
        let form = basic(&user, &password, BasicEncoding::Rfc6749).unwrap();
        assert_eq!(form.to_str().unwrap(), format!("Basic {}", STANDARD.encode("a:p%25%2B%2F")));
        assert_eq!(format!("{raw:?}"), "Sensitive");
    }
}
