//! `[api]`: where clients connect, and what each may do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    path::PathBuf,
};

use serde::Deserialize;

use super::{
    Account, Env,
    check::{Check, account_exists},
    grammar::{self, words},
    places,
};

words! {
    /// What a client may do.
    Right: "a right" {
        Enqueue = "enqueue",
        /// Jobs without their results, queues, schedules.
        Read = "read",
        Results = "results",
        /// Credentials' values and secret results.
        Credentials = "credentials",
        /// Cancel, retry, resolve, erase, pause, renew, reload.
        Operate = "operate",
    }
}

/// `[api]`.
#[derive(Debug, Clone)]
pub struct Api {
    pub socket: PathBuf,
    /// The socket is written down, not the default.
    pub socket_is_configured: bool,
    pub listen: Option<SocketAddr>,
    /// By peer credentials; without any, only the daemon's own user and root.
    pub allow: Vec<Allow>,
    pub tokens: Vec<Token>,
}

/// What somebody may do, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub may: BTreeSet<Right>,
    /// `None`: all.
    pub accounts: Option<BTreeSet<String>>,
    /// `None`: all.
    pub kinds: Option<BTreeSet<String>>,
}

/// `[[api.allow]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    pub peer: Peer,
    pub access: Access,
}

/// Whom a peer's credentials show: a name, or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    User(String),
    Group(String),
}

/// `[[api.tokens]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub name: String,
    pub sha256: TokenDigest,
    pub access: Access,
}

/// The SHA-256 of a token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenDigest(pub [u8; 32]);

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawApi {
    socket: Option<PathBuf>,
    listen: Option<SocketAddr>,
    allow: Vec<RawClient>,
    tokens: Vec<RawClient>,
}

/// An entry of `allow` or of `tokens`: the schema has seen to it that each has only its own keys.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawClient {
    user: Option<String>,
    group: Option<String>,
    name: Option<String>,
    sha256: Option<String>,
    may: Vec<Right>,
    accounts: Option<BTreeSet<String>>,
    kinds: Option<BTreeSet<String>>,
}

const SOCKET: &str = "api.socket";

pub(super) fn build(
    raw: RawApi,
    accounts: &BTreeMap<String, Account>,
    env: &Env,
    check: &mut Check,
) -> Option<Api> {
    listen(&raw, check);
    let socket_is_configured = raw.socket.is_some();
    let socket = socket(raw.socket, env, check);
    let allow = collect(raw.allow, "api.allow", accounts, check, allow);
    let tokens = collect(raw.tokens, "api.tokens", accounts, check, token);
    unique(&tokens, check);
    Some(Api { socket: socket?, socket_is_configured, listen: raw.listen, allow, tokens })
}

fn socket(written: Option<PathBuf>, env: &Env, check: &mut Check) -> Option<PathBuf> {
    let path = match written {
        Some(path) => check.path(SOCKET, &path),
        None => default_socket(env, check)?,
    };
    if path.as_os_str().len() > grammar::SOCKET_PATH_MAX {
        let max = grammar::SOCKET_PATH_MAX;
        check
            .wrong(SOCKET, format!("is longer than the {max} bytes that a socket's path may have"));
    }
    Some(path)
}

fn default_socket(env: &Env, check: &mut Check) -> Option<PathBuf> {
    let path = places::daemon_socket(env);
    // A bad path has been told already.
    if path.is_none() && !check.is_written(SOCKET) {
        check.wrong(
            SOCKET,
            "is not set, and there is no folder for a default: write socket = \"/absolute/path\"",
        );
    }
    path
}

fn listen(raw: &RawApi, check: &mut Check) {
    const KEY: &str = "api.listen";
    let Some(address) = raw.listen else { return };
    if raw.tokens.is_empty() && !check.is_written("api.tokens") {
        check.wrong(KEY, "needs at least one [[api.tokens]]: TCP shows no peer credentials");
    } else if !address.ip().is_loopback() {
        check.warn(KEY, "is not loopback: tokens travel in clear unless a TLS proxy is in front");
    }
}

fn collect<T>(
    raw: Vec<RawClient>,
    key: &str,
    accounts: &BTreeMap<String, Account>,
    check: &mut Check,
    read: fn(RawClient, &str, &mut Check) -> Option<T>,
) -> Vec<T> {
    let mut made = Vec::with_capacity(raw.len());
    for (n, client) in raw.into_iter().enumerate() {
        let key = format!("{key}[{n}]");
        check.missing(&key, "may", "[\"read\"]");
        for account in client.accounts.iter().flatten() {
            account_exists(&format!("{key}.accounts"), account, accounts, check);
        }
        made.extend(read(client, &key, check));
    }
    made
}

fn allow(raw: RawClient, key: &str, check: &mut Check) -> Option<Allow> {
    let peer = match (raw.user, raw.group) {
        (Some(user), None) => Peer::User(user),
        (None, Some(group)) => Peer::Group(group),
        _ => {
            check.wrong(key, "write exactly one of `user` and `group`");
            return None;
        }
    };
    let access =
        Access { may: raw.may.into_iter().collect(), accounts: raw.accounts, kinds: raw.kinds };
    Some(Allow { peer, access })
}

fn token(raw: RawClient, key: &str, check: &mut Check) -> Option<Token> {
    check.missing(key, "name", "\"…\"");
    check.missing(key, "sha256", "\"…\", the digest of the token");
    let sha256 = TokenDigest(grammar::sha256_from(&raw.sha256?).ok()?);
    let access =
        Access { may: raw.may.into_iter().collect(), accounts: raw.accounts, kinds: raw.kinds };
    Some(Token { name: raw.name?, sha256, access })
}

fn unique(tokens: &[Token], check: &mut Check) {
    for (n, token) in tokens.iter().enumerate() {
        let earlier = &tokens[..n];
        if earlier.iter().any(|other| other.name == token.name) {
            check.wrong("api.tokens", format!("two tokens are named `{}`", token.name));
        } else if let Some(other) = earlier.iter().find(|other| other.sha256 == token.sha256) {
            let names = (&other.name, &token.name);
            check
                .wrong("api.tokens", format!("`{}` and `{}` are the same token", names.0, names.1));
        }
    }
}
