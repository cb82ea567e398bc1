//! The keys in use, and the names under which values are sealed.

use std::{fmt, path::Path};

use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use super::keyring::{Cut, KeyPlace, RekeyError};
use super::{
    keyring::Keyring,
    seal::{self, ChainKey, EqualityKey, Erasure, KeyError, KeyId, OpenError, canonical_json},
};
use crate::{
    store::{Hash16, Store, StoreError, sqlite},
    types::{Generation, JobId},
};

/// What `meta` holds to tell whether a sealing key is the right one.
const EQUALITY_KEY: &str = "equality_key";

/// The sealing keys and the equality key, opened.
#[derive(Debug)]
pub struct Vault {
    sealing: Keyring,
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
    #[error(
        "{database} was written by an attendant from before the first release, in a layout that \
         none reads any more: set another [database] url, or move it away together with its key. \
         Nothing was changed"
    )]
    OldLayout { database: String },
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
    /// The name of the place, under which a value is sealed.
    pub(crate) fn aad(self, id: JobId) -> Vec<u8> {
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
#[derive(Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct Payload {
    #[serde(rename = "a")]
    pub args: Map<String, Value>,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Arguments of later requests for the same live follow, where they ask for more.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Map<String, Value>>,
}

/// The arguments' names alone: their values are sealed because nobody is to see them.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.args.keys().map(String::as_str).collect();
        f.debug_struct("Payload").field("args", &names).finish_non_exhaustive()
    }
}

impl Vault {
    /// Reads the key that `database` is sealed with, before anything is changed in it.
    pub async fn unlock(
        database: &Path,
        place: &KeyPlace,
    ) -> Result<(Self, Option<String>), UnlockError> {
        let sealed = sqlite::peek_meta(database, EQUALITY_KEY).await?;
        let name = || database.display().to_string();
        let key = || place.path.display().to_string();
        let (sealing, warning) = match (&sealed, place.path.exists(), place.make) {
            (None, false, true) => (Keyring::create(place)?, None),
            (Some(_), false, _) => {
                return Err(UnlockError::Missing { database: name(), key: key() });
            }
            _ => Keyring::read(place)?,
        };
        let Some(sealed) = sealed else {
            return Ok((Self { sealing, equality: EqualityKey::generate() }, warning));
        };
        match sealing.open_equality(&sealed) {
            Ok(equality) => Ok((Self { sealing, equality }, warning)),
            Err(OpenError::UnknownVersion(1)) => Err(UnlockError::OldLayout { database: name() }),
            Err(error) => Err(UnlockError::Wrong { database: name(), key: key(), error }),
        }
    }

    /// Keys of no file, for tests and throw-away databases.
    #[must_use]
    pub fn ephemeral() -> Self {
        Self { sealing: Keyring::ephemeral(), equality: EqualityKey::generate() }
    }

    /// Leaves in a new database what tells its key from another.
    pub async fn mark(&self, store: &dyn Store) -> Result<(), StoreError> {
        if store.meta(EQUALITY_KEY).await?.is_some() {
            return Ok(());
        }
        self.mark_anew(store).await
    }

    /// The same with the key in use, during a rekey.
    pub async fn mark_anew(&self, store: &dyn Store) -> Result<(), StoreError> {
        store.set_meta(EQUALITY_KEY, self.sealing.seal_equality(&self.equality)).await
    }

    #[must_use]
    pub fn chain(&self, salt: &Hash16) -> ChainKey {
        self.sealing.chain(salt)
    }

    /// The chains that were cut out of the key.
    #[must_use]
    pub fn erased(&self) -> Vec<Erasure> {
        self.sealing.erased()
    }

    /// Makes what is sealed in a chain unreadable for ever, if the key's file can be replaced. It
    /// writes that file: not for a thread that must not wait.
    pub fn cut(&self, salt: Hash16, job: JobId) -> Result<Cut, KeyError> {
        self.sealing.cut(Erasure { salt, job })
    }

    /// What the file of the key in use holds, for a backup.
    #[must_use]
    pub fn key_text(&self) -> Zeroizing<String> {
        self.sealing.text()
    }

    /// The key that is in use.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.sealing.id()
    }

    /// How values begin that are to be sealed anew; `None` where no rekey is under way.
    #[must_use]
    pub fn retiring(&self) -> Option<[u8; seal::HEADER]> {
        self.sealing.retiring().map(seal::header)
    }

    /// Begins a rekey: a new key is made, durably, and everything is sealed with it from now on.
    pub fn begin_rekey(&self) -> Result<(), RekeyError> {
        self.sealing.begin_rekey()
    }

    /// Ends it: the old key goes. Nothing in the database may be sealed with it any more.
    pub fn finish_rekey(&self) -> Result<(), KeyError> {
        self.sealing.finish_rekey()
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

/// Opens what [`seal()`] made.
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
