//! The keys in use, and the names under which values are sealed.

use std::path::Path;

use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::seal::{ChainKey, EqualityKey, KeyError, OpenError, SealingKey, canonical_json};
use crate::{
    store::{Hash16, Store, StoreError, sqlite},
    types::{Generation, JobId},
};

/// What `meta` holds to tell whether a sealing key is the right one.
const EQUALITY_KEY: &str = "equality_key";

/// The sealing key and the equality key, opened.
#[derive(Debug)]
pub struct Vault {
    sealing: SealingKey,
    equality: EqualityKey,
}

/// Why the sealed values cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    #[error(
        "{database} was sealed with a key that is not there: {key}. Restore that file from its \
         backup; nothing was changed"
    )]
    Missing { database: String, key: String },
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error(
        "{key} is not the key of {database}: {error}. Put the right key there; nothing was \
         changed"
    )]
    Wrong { database: String, key: String, error: OpenError },
    #[error("{0}")]
    Open(#[from] sqlite::OpenError),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// A part of a job that is sealed: together with the job's id, the place it may stand in.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    Args,
    Result,
    /// The words of the last error.
    Error,
    /// The words of one attempt.
    Attempt(Generation),
    Status(i64),
    Artifact(&'a str),
}

impl Part<'_> {
    fn aad(self, id: JobId) -> Vec<u8> {
        let mut aad = id.0.as_bytes().to_vec();
        let (name, n) = match self {
            Self::Args => ("args", 0),
            Self::Result => ("result", 0),
            Self::Error => ("error", 0),
            Self::Attempt(generation) => ("attempt", generation.0),
            Self::Status(n) => ("status", n),
            Self::Artifact(name) => {
                aad.extend_from_slice(b"artifact\0");
                aad.extend_from_slice(name.as_bytes());
                return aad;
            }
        };
        aad.extend_from_slice(name.as_bytes());
        aad.extend_from_slice(&n.to_be_bytes());
        aad
    }
}

/// What is sealed as a job's arguments.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct Payload {
    #[serde(rename = "a")]
    pub args: Map<String, Value>,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Arguments of later requests for the same live follow, where they ask for more.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Map<String, Value>>,
}

impl Vault {
    /// Reads the key that `database` is sealed with, before anything is changed in it. `make` says
    /// whether a missing key may be made, which is so only beside a database that is new.
    pub async fn unlock(
        database: &Path,
        key_file: &Path,
        make: bool,
    ) -> Result<(Self, Option<String>), UnlockError> {
        let sealed = sqlite::peek_meta(database, EQUALITY_KEY).await?;
        let (sealing, warning) = match (&sealed, key_file.exists(), make) {
            (None, false, true) => (SealingKey::create_file(key_file)?, None),
            (Some(_), false, _) => {
                return Err(UnlockError::Missing {
                    database: database.display().to_string(),
                    key: key_file.display().to_string(),
                });
            }
            _ => {
                let file = SealingKey::read_file(key_file)?;
                (file.key, file.warning)
            }
        };
        let equality = match sealed {
            None => EqualityKey::generate(),
            Some(sealed) => {
                EqualityKey::open(&sealing, &sealed).map_err(|error| UnlockError::Wrong {
                    database: database.display().to_string(),
                    key: key_file.display().to_string(),
                    error,
                })?
            }
        };
        Ok((Self { sealing, equality }, warning))
    }

    /// Keys of no file, for tests and throw-away databases.
    #[must_use]
    pub fn ephemeral() -> Self {
        Self { sealing: SealingKey::generate(), equality: EqualityKey::generate() }
    }

    /// Leaves in a new database what tells its key from another.
    pub async fn mark(&self, store: &dyn Store) -> Result<(), StoreError> {
        if store.meta(EQUALITY_KEY).await?.is_some() {
            return Ok(());
        }
        store.set_meta(EQUALITY_KEY, self.equality.sealed(&self.sealing)).await
    }

    #[must_use]
    pub fn chain(&self, salt: &Hash16) -> ChainKey {
        self.sealing.chain_key(salt)
    }

    /// A keyed hash of `parts`, comparable only within `domain`.
    #[must_use]
    pub fn hash(&self, domain: &str, parts: &[&[u8]]) -> Hash16 {
        self.equality.hash(domain, parts)
    }

    /// Tells one request from another: kind and arguments as they were sent.
    #[must_use]
    pub fn request_hash(&self, kind: &str, args: &Value) -> Hash16 {
        self.hash("request", &[kind.as_bytes(), &canonical_json(args)])
    }

    #[must_use]
    pub fn key_hash(&self, key: &str) -> Hash16 {
        self.hash("key", &[key.as_bytes()])
    }

    /// The natural key of a follow, or an internal one.
    #[must_use]
    pub fn natural_key(&self, kind: &str, identity: &Value) -> Hash16 {
        self.hash("natural", &[kind.as_bytes(), &canonical_json(identity)])
    }
}

/// Seals bytes as a part of a job.
#[must_use]
pub fn seal(key: &ChainKey, id: JobId, part: Part<'_>, clear: &[u8]) -> Vec<u8> {
    key.seal(&part.aad(id), clear)
}

/// Opens what [`seal`] made.
pub fn open(
    key: &ChainKey,
    id: JobId,
    part: Part<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    key.open(&part.aad(id), sealed)
}

/// Seals a value as JSON. A value that JSON cannot hold does not come from JSON either.
#[must_use]
pub fn seal_json(key: &ChainKey, id: JobId, part: Part<'_>, value: &impl Serialize) -> Vec<u8> {
    let clear = Zeroizing::new(serde_json::to_vec(value).unwrap_or_default());
    seal(key, id, part, &clear)
}

/// Opens and parses what [`seal_json`] made.
pub fn open_json<T: serde::de::DeserializeOwned>(
    key: &ChainKey,
    id: JobId,
    part: Part<'_>,
    sealed: &[u8],
) -> Result<T, OpenError> {
    let clear = open(key, id, part, sealed)?;
    serde_json::from_slice(&clear).map_err(|_| OpenError::Tampered)
}

/// Opens a text.
pub fn open_text(key: &ChainKey, id: JobId, part: Part<'_>, sealed: &[u8]) -> Option<String> {
    let clear = open(key, id, part, sealed).ok()?;
    String::from_utf8(clear.to_vec()).ok()
}
