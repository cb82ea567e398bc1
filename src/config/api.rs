//! `[api]`: where clients connect, and what each may do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    path::PathBuf,
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

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
    Uid(u32),
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
    uid: Option<u32>,
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
    for (n, one) in tokens.iter().enumerate().filter(|(_, one)| is_guessed(one)) {
        let words = format!(
            "is the digest of a token that anybody would guess: make `{}` one with `openssl rand \
             -hex 32`, and write the digest of it without a line end",
            one.name
        );
        check.wrong(&format!("api.tokens[{n}].sha256"), words);
    }
    for (n, one) in allow.iter().enumerate() {
        let key = format!("api.allow[{n}]");
        if one.access.may.is_empty() && check.is_written(&format!("{key}.may")) {
            check.warn(&key, "gives no right: write may = [\"read\"] or others");
        }
        if is_nobody(&one.peer) {
            check.warn(
                &key,
                "names the user that stands for all whom the kernel has no number for, such as \
                 those of other user namespaces: give the program a user of its own",
            );
        }
    }
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
    let peer = match (raw.user, raw.uid, raw.group) {
        (Some(user), None, None) => Peer::User(user),
        (None, Some(uid), None) => Peer::Uid(uid),
        (None, None, Some(group)) => Peer::Group(group),
        _ => {
            check.wrong(key, "write exactly one of `user`, `uid` and `group`");
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

/// What people write while they try something, and what a mistake in a pipe gives. A digest of
/// equal bytes is one that nobody computed.
fn is_guessed(token: &Token) -> bool {
    const WORDS: [&str; 12] = [
        "",
        "\n",
        "token",
        "secret",
        "password",
        "changeme",
        "test",
        "admin",
        "attendant",
        "example",
        "foo",
        "123456",
    ];
    let digest = &token.sha256.0;
    let of = |text: &str| *digest == <[u8; 32]>::from(Sha256::digest(text));
    digest.iter().all(|byte| *byte == digest[0])
        || WORDS.iter().any(|word| of(word) || of(&format!("{word}\n")))
        || of(&token.name)
        || of(&format!("{}\n", token.name))
}

fn is_nobody(peer: &Peer) -> bool {
    const OVERFLOW: [&str; 3] = ["nobody", "nogroup", "65534"];
    match peer {
        Peer::User(name) | Peer::Group(name) => OVERFLOW.contains(&name.as_str()),
        Peer::Uid(uid) => *uid == 65_534,
    }
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
