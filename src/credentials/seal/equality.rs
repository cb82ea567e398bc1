//! Telling equal arguments without keeping them: a keyed hash of their canonical form.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::zeroize::Zeroizing;
use serde_json::Value;
use sha2::Sha256;

use super::{EQUALITY, OpenError, SealingKey};

/// The key of equality hashes. It is kept in the database, sealed; `rekey` seals it anew and keeps
/// it, so that old hashes go on being comparable. Wiped when dropped.
#[derive(Clone)]
pub struct EqualityKey(pub(super) Zeroizing<[u8; 32]>);

impl EqualityKey {
    /// A new random key, for a new database.
    #[must_use]
    pub fn generate() -> Self {
        Self(super::random())
    }

    /// For keeping it in the database.
    #[must_use]
    pub fn sealed(&self, key: &SealingKey) -> Vec<u8> {
        key.equality_key().seal(EQUALITY, self.0.as_slice())
    }

    /// Back from the database.
    pub fn open(key: &SealingKey, sealed: &[u8]) -> Result<Self, OpenError> {
        let opened = key.equality_key().open(EQUALITY, sealed)?;
        let bytes = opened.as_slice().try_into().map_err(|_| OpenError::Tampered)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// HMAC-SHA256, its first 16 bytes, over `domain` (what is compared: "args", "key") and the
    /// parts, each with its length before it, so that no two lists of parts are the same text.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn hash(&self, domain: &str, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.as_slice())
            .expect("HMAC takes keys of any length");
        for part in std::iter::once(&domain.as_bytes()).chain(parts) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        let mut hash = [0; 16];
        hash.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        hash
    }
}

/// Shows nothing of the key.
impl std::fmt::Debug for EqualityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EqualityKey(…)")
    }
}

/// JSON with sorted keys and no whitespace: the same bytes for the same value.
///
/// Numbers are written in the shortest way that reads back the same, so `1e2` and `100.0` are
/// equal; an integer and a float are not (`1` and `1.0`), since providers tell them apart. Keys
/// sort by their bytes.
#[must_use]
pub fn canonical_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            separated(out, (b'{', b'}'), entries, |(key, value), out| {
                string(key, out);
                out.push(b':');
                write(value, out);
            });
        }
        Value::Array(items) => separated(out, (b'[', b']'), items, write),
        Value::String(text) => string(text, out),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Null => out.extend_from_slice(b"null"),
    }
}

fn separated<T>(
    out: &mut Vec<u8>,
    (open, close): (u8, u8),
    items: impl IntoIterator<Item = T>,
    mut one: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(open);
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        one(item, out);
    }
    out.push(close);
}

fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text is JSON, and a Vec takes every byte");
}
