//! A job kind as the engine uses it.

use std::{collections::BTreeMap, time::Duration};

use super::{
    args::ArgsSchema,
    expr::{Expr, Template},
    request::{Auth, RequestTemplate},
};

/// Consecutive errors after which a job is dead, where the definition does not say.
pub const DEFAULT_MAX_ERRORS: u32 = 20;
/// The largest answer read into memory, where the definition does not say: 16 MiB.
pub const DEFAULT_MAX_BODY: u64 = 16 << 20;
/// The largest download, where the definition does not say: 64 MiB. It is held in memory, sealed,
/// and kept in the database with its job.
pub const DEFAULT_MAX_DOWNLOAD: u64 = 64 << 20;

/// One `[jobs.…]` of a definition.
#[derive(Debug)]
pub struct Kind {
    /// With its provider: `certn.applicant`.
    pub name: String,
    pub provider: String,
    /// What it does, for people; may be empty.
    pub title: String,
    pub shape: Shape,
    pub args: ArgsSchema,
    /// The arguments that identify a follow while it is live; may be empty.
    pub unique: Vec<String>,
    pub repeat: Repeat,
    pub request: RequestTemplate,
    /// The authentication in force: its own, or the provider's, or none.
    pub auth: Option<Auth>,
    /// Whether a 2xx answer is a success; without it every 2xx is.
    pub success: Option<Expr>,
    /// The status to record. Null: not known.
    pub status: Option<Expr>,
    /// Whether an answer means: later, again.
    pub retry_when: Option<Expr>,
    /// Seconds, or an HTTP date, to wait before anything else is sent for the account.
    pub retry_after: Option<Expr>,
    /// How to find out whether a request that may not be repeated was carried out.
    pub reconcile: Option<Reconcile>,
    pub then: Vec<Then>,
    /// A secret of the account that a success of this kind changes on the provider's side.
    pub sets: Option<SetsSecret>,
    /// The result holds secrets: it is shown to those who may have credentials, and to no others.
    pub secret_result: bool,
    pub max_errors: u32,
    /// The kind's, or the provider's.
    pub timeout: Duration,
    /// In bytes.
    pub max_body: u64,
}

impl Kind {
    /// The credentials that its request goes with.
    pub fn credentials(&self) -> impl Iterator<Item = &str> {
        let own = self.request.refs().into_iter();
        own.chain(self.auth.iter().flat_map(Auth::refs))
            .filter_map(|reference| reference.strip_prefix("credentials."))
    }
}

/// What an attempt is and when it ends.
#[derive(Debug)]
pub enum Shape {
    Call {
        pages: Option<Pages>,
    },
    Download {
        /// The artifact's name.
        artifact: Template,
    },
    Follow {
        until: Expr,
        deadline: Duration,
        /// The shortest time between two polls, where the definition sets one.
        every: Option<Duration>,
    },
}

impl Shape {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Call { .. } => "call",
            Self::Download { .. } => "download",
            Self::Follow { .. } => "follow",
        }
    }
}

/// Whether a request may be sent again when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeat {
    #[default]
    Safe,
    Never,
}

/// An answer in several pages.
#[derive(Debug)]
pub struct Pages {
    /// The items of one page: an array.
    pub items: Expr,
    /// The URL of the next page, on the same origin; null or empty on the last.
    pub next: Expr,
}

/// Asked before a never-repeat request with an unknown outcome is left to a person.
#[derive(Debug)]
pub struct Reconcile {
    pub request: RequestTemplate,
    /// What the lost answer would have been; null where the request was not carried out.
    pub found: Expr,
}

/// A job to enqueue when this one has completed.
#[derive(Debug)]
pub struct Then {
    pub when: Option<Expr>,
    /// With its provider: `certn.report`.
    pub kind: String,
    pub args: BTreeMap<String, Expr>,
}

/// From now on the account's secret is what this job sent.
#[derive(Debug)]
pub struct SetsSecret {
    /// The secret's name.
    pub secret: String,
    /// Whether this job changes the account's own; without it, always.
    pub when: Option<Expr>,
    /// The new secret, such as `args.pass`.
    pub to: Expr,
}
