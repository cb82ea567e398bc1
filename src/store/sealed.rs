//! Everything that is kept sealed, to be gone through and sealed anew.

use super::{Hash16, JobSeq, QueueId};
use crate::types::{Generation, JobId};

/// A column of sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SealedColumn {
    Args,
    Result,
    /// Words of last errors.
    Error,
    /// Words of attempts.
    Attempt,
    /// Observed statuses.
    Status,
    Artifact,
    CredentialValue,
    CredentialError,
    /// Secrets that jobs changed.
    SecretChange,
}

impl SealedColumn {
    pub const ALL: [Self; 9] = [
        Self::Args,
        Self::Result,
        Self::Error,
        Self::Attempt,
        Self::Status,
        Self::Artifact,
        Self::CredentialValue,
        Self::CredentialError,
        Self::SecretChange,
    ];

    /// How people and programs are told of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Args => "args",
            Self::Result => "results",
            Self::Error => "errors",
            Self::Attempt => "attempts",
            Self::Status => "observations",
            Self::Artifact => "artifacts",
            Self::CredentialValue => "credentials",
            Self::CredentialError => "credential_errors",
            Self::SecretChange => "changed_secrets",
        }
    }
}

/// Where a sealed value stands within its column. In the order of pages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedAt {
    /// Of the job, or the number of the credential's or secret's queue.
    pub row: i64,
    /// The attempt's generation, the status's number, 1 for a secret whose change is pending; 0
    /// where there is one per row.
    pub n: i64,
    /// The artifact's, the credential's or the secret's name; empty elsewhere.
    pub name: String,
}

impl SealedAt {
    #[must_use]
    pub const fn job(seq: JobSeq) -> Self {
        Self { row: seq, n: 0, name: String::new() }
    }

    #[must_use]
    pub const fn attempt(seq: JobSeq, generation: Generation) -> Self {
        Self { row: seq, n: generation.0, name: String::new() }
    }

    #[must_use]
    pub const fn credential(queue: QueueId, name: String) -> Self {
        Self { row: queue, n: 0, name }
    }
}

/// A sealed value with what it takes to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedValue {
    pub at: SealedAt,
    /// `None` for a credential or a secret.
    pub job: Option<JobId>,
    /// `None` once its chain is erased.
    pub salt: Option<Hash16>,
    pub sealed: Vec<u8>,
}

/// A value sealed anew, to take the place of exactly the one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resealed {
    pub at: SealedAt,
    pub was: Vec<u8>,
    pub sealed: Vec<u8>,
}
