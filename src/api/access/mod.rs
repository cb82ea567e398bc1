//! Who asks, and what they may do: the one place that decides it.
//!
//! A peer on the Unix socket is known by the credentials that the kernel gives with the connection;
//! on TCP, by a token. The daemon's own user and root may do everything; others what the rules of
//! the configuration give them ([`Grants`]). Which right a route takes is said in
//! `rights`, and handlers look at the account and kind.

mod caller;
mod grants;
mod people;
mod refusals;
mod tokens;

use std::{
    collections::HashMap,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use http::HeaderMap;
use nix::unistd::Uid;
use tokio::net::unix::UCred;

pub use self::{
    caller::{Caller, Peer},
    grants::Grants,
    people::{gid_of, uid_of},
};
use self::{people::Person, refusals::Refusals, tokens::Tokens};
use super::problem::{Kind, Problem};
use crate::{
    clock::Clock,
    config::{self, Allow, Config},
    types::Timestamp,
};

/// A user's name and groups are looked up again after this time.
const FRESH: Duration = Duration::from_mins(1);
/// So many are remembered.
const MOST: usize = 4096;

/// Where others are allowed, the socket's file is open to all and the daemon looks at who connects:
/// a file has one group, and the rules may name many.
#[must_use]
pub const fn socket_mode(config: &config::Api) -> u32 {
    if config.allow.is_empty() { 0o600 } else { 0o666 }
}

/// Who is let in.
#[derive(Debug)]
pub struct Access {
    /// The users who may do everything.
    owners: Vec<u32>,
    rules: RwLock<Arc<Rules>>,
    /// The configuration that they are of.
    of: Mutex<Option<Arc<Config>>>,
    /// The socket's file, where it is the daemon's own.
    socket: Option<PathBuf>,
    refusals: Arc<Refusals>,
    clock: Clock,
}

/// What the configuration says; replaced as a whole by a reload.
#[derive(Debug, Default)]
struct Rules {
    allow: Vec<Allow>,
    tokens: Tokens,
    /// By uid and gid.
    callers: Mutex<HashMap<(u32, u32), Seen>>,
}

/// When a caller was looked up, and who it is.
type Seen = (Timestamp, Arc<Caller>);

impl Access {
    /// The daemon's own user and root, and those whom the configuration allows.
    #[must_use]
    pub fn new(config: &config::Api, clock: Clock) -> Self {
        let access = Self::of(vec![Uid::effective().as_raw(), 0], clock);
        access.replace(config);
        access
    }

    /// Only these users, with every right.
    #[must_use]
    pub fn of(owners: Vec<u32>, clock: Clock) -> Self {
        let refusals = Arc::new(Refusals::new(clock.clone()));
        Self {
            owners,
            rules: RwLock::default(),
            of: Mutex::default(),
            socket: None,
            refusals,
            clock,
        }
    }

    /// Also keeps the mode of this socket's file.
    #[must_use]
    pub fn at(self, socket: PathBuf) -> Self {
        Self { socket: Some(socket), ..self }
    }

    /// Takes the rules of this configuration, unless it has them.
    pub(super) fn follow(&self, config: &Arc<Config>) {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if of.as_ref().is_some_and(|known| Arc::ptr_eq(known, config)) {
            return;
        }
        *of = Some(Arc::clone(config));
        self.replace(&config.api);
        if let Some(socket) = &self.socket {
            let mode = std::fs::Permissions::from_mode(socket_mode(&config.api));
            if let Err(error) = std::fs::set_permissions(socket, mode) {
                tracing::warn!(target: "attendant", "{}: {error}", socket.display());
            }
        }
    }

    /// Takes new rules, for connections that are open too: from the next request on.
    pub fn replace(&self, config: &config::Api) {
        let tokens = Tokens::of(&config.tokens, &self.refusals);
        let rules = Rules { allow: config.allow.clone(), tokens, callers: Mutex::default() };
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn owns(&self, uid: u32) -> bool {
        self.owners.contains(&uid)
    }

    pub(super) async fn peer(&self, peer: &UCred) -> Arc<Caller> {
        let (who, now) = ((peer.uid(), peer.gid()), self.clock.wall());
        let rules = self.rules();
        let callers = || rules.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, caller)) = callers().get(&who)
            && now >= *at
            && now.since(*at) < FRESH
        {
            return Arc::clone(caller);
        }
        let owner = self.owns(who.0);
        let allow = Arc::clone(&rules);
        let found = tokio::task::spawn_blocking(move || {
            let person = Person::look_up(who.0, who.1);
            let meant = allow.allow.iter().filter(|rule| !owner && person.is_meant(rule));
            let grants = Grants::of(meant.map(|rule| rule.access.clone()).collect());
            (person.name, if owner { Grants::everything() } else { grants })
        });
        // The database of users could not be asked: nobody is let in for it.
        let (name, grants) = found.await.unwrap_or_default();
        let caller = Arc::new(Caller::user(who.0, name, grants, Arc::clone(&self.refusals)));
        let mut callers = callers();
        if callers.len() >= MOST {
            callers.clear();
        }
        callers.insert(who, (now, Arc::clone(&caller)));
        caller
    }

    /// Whose token a request on TCP brings, or why it is refused. `from` is the peer's address.
    pub(super) fn bearer(&self, headers: &HeaderMap, from: &str) -> Result<Arc<Caller>, Problem> {
        let Some(token) = tokens::bearer(headers) else {
            self.refusals.tell(from, "no token");
            let words = "this takes a token: send it as `Authorization: Bearer …`";
            return Err(Problem::new(Kind::Unauthenticated, words));
        };
        self.rules().tokens.whose(token).ok_or_else(|| {
            self.refusals.tell(from, "an unknown token");
            let words = format!(
                "this is none of the tokens of [[api.tokens]] (one has at least {} characters, and \
                 its `sha256` is of it without a line end)",
                tokens::SHORTEST
            );
            Problem::new(Kind::Unauthenticated, words).about_token()
        })
    }

    /// The answer to somebody who may do nothing.
    pub(super) fn stranger(&self, caller: &Caller) -> Problem {
        self.refusals.tell(
            &caller.name,
            "neither the daemon's own user nor root, nor allowed by [[api.allow]]",
        );
        Problem::new(
            Kind::Refused,
            format!(
                "`{}` is not let in: only the daemon's own user and root are, and whom [[api.allow]] \
                 of the configuration names",
                caller.name
            ),
        )
    }

    /// The answer to a web page: browsers send what pages tell them to.
    pub(super) fn browser(&self, from: &str) -> Problem {
        self.refusals.tell(from, "a web page in a browser");
        Problem::new(Kind::Refused, "web pages are not let in")
    }
}
