//! Encryption at rest.
//!
//! One sealing key stands outside the database. For each chain a [`ChainKey`] is derived from it
//! and a random salt that is kept with the chain. A backup of the database holds the salt, so
//! erasing a chain cuts its salt out of the key (`tree`): the key that is left derives every other
//! chain's key and never again this one's, from whatever copy of the database.
//!
//! A sealed value is `version (1) ‖ key id (4) ‖ nonce (24) ‖ ciphertext and tag (n + 16)`, by
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), whose nonces are long enough to be random.
//! The associated data is the row's identity and is not stored: a value copied into another row
//! does not open.

use std::{fmt, sync::Arc};

use chacha20poly1305::{
    Key, Tag, XChaCha20Poly1305, XNonce,
    aead::{AeadInOut, KeyInit},
};
use hkdf::Hkdf;
use rand::{TryRng, rngs::SysRng};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

use self::tree::Tree;
use crate::types::JobId;

mod equality;
mod key_file;
#[cfg(test)]
mod tests;
mod tree;

pub use equality::{EqualityKey, canonical_json};
pub use key_file::{KeyError, KeyFile, finish_next, next_path, remove_remains};

/// 1 was before the first release: its chain keys came straight from the root.
const VERSION: u8 = 2;
/// Version and key id.
pub const HEADER: usize = 1 + 4;
const NONCE_AT: usize = HEADER;
const TEXT_AT: usize = NONCE_AT + 24;
const TAG: usize = 16;

/// Bytes that sealing adds.
pub const OVERHEAD: usize = TEXT_AT + TAG;

// What a key is derived for (RFC 5869, section 3.2): one label each, never reused.
const KEY_ID: &[u8] = b"attendant key id v1";
const TREE: &[u8] = b"attendant tree root v2";
const CHAIN: &[u8] = b"attendant chain v2";
const EQUALITY: &[u8] = b"attendant equality v1";

/// A key's public name: four bytes derived from it, which tell nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A chain that was cut out of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    pub salt: [u8; 16],
    /// The chain's first job.
    pub job: JobId,
}

/// The key that everything is sealed with. Wiped when dropped.
#[derive(Clone)]
pub struct SealingKey {
    id: KeyId,
    /// What all else follows from; gone once a chain was cut out.
    root: Option<Zeroizing<[u8; 32]>>,
    /// What the equality key is sealed with.
    equality: Zeroizing<[u8; 32]>,
    tree: Tree,
    erased: Vec<Erasure>,
}

impl SealingKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_bytes(random())
    }

    #[must_use]
    pub fn from_bytes(root: Zeroizing<[u8; 32]>) -> Self {
        let mut id = [0; 4];
        derive(&root, None, KEY_ID, &mut id);
        let (mut equality, mut tree) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        derive(&root, None, EQUALITY, equality.as_mut_slice());
        derive(&root, None, TREE, tree.as_mut_slice());
        let tree = Tree::whole(tree);
        Self { id: KeyId(id), root: Some(root), equality, tree, erased: vec![] }
    }

    /// The same however much was cut out of the key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The key of one chain (or of one account's credentials), from its salt. Of a chain that was
    /// cut out it opens nothing, and what it seals nobody opens.
    #[must_use]
    pub fn chain_key(&self, salt: &[u8; 16]) -> ChainKey {
        let cipher = self.tree.leaf(path(salt)).map(|leaf| {
            let mut key = Zeroizing::new([0; 32]);
            derive(&leaf, Some(salt), CHAIN, key.as_mut_slice());
            XChaCha20Poly1305::new(Key::cast_from_core(&key))
        });
        ChainKey { cipher, id: self.id, older: None }
    }

    /// Cuts a chain out; `false` if it was before. What is in memory changes, no file.
    pub fn erase(&mut self, erasure: Erasure) -> bool {
        let cut = self.tree.puncture(path(&erasure.salt));
        if cut {
            // What could derive it anew goes too.
            self.root = None;
            self.erased.push(erasure);
        }
        cut
    }

    /// The chains that were cut out, in the order in which they were.
    #[must_use]
    pub fn erased(&self) -> &[Erasure] {
        &self.erased
    }

    fn equality_key(&self) -> ChainKey {
        let cipher = XChaCha20Poly1305::new(Key::cast_from_core(&self.equality));
        ChainKey { cipher: Some(cipher), id: self.id, older: None }
    }
}

fn path(salt: &[u8; 16]) -> u64 {
    salt.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Shows only the key's id.
impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

/// A salt for a new chain.
#[must_use]
pub fn new_salt() -> [u8; 16] {
    *random()
}

/// Seals and opens the values of one chain. Wiped when dropped.
#[derive(Clone)]
pub struct ChainKey {
    /// Wipes its key when dropped, by its feature `zeroize`. `None`: the chain was erased.
    cipher: Option<XChaCha20Poly1305>,
    id: KeyId,
    /// For what was sealed with an earlier key; derived only where such a value comes.
    older: Option<Older>,
}

#[derive(Clone)]
struct Older {
    salt: [u8; 16],
    keys: Arc<Vec<SealingKey>>,
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("sealed in version {0} of the layout, which this attendant does not know")]
    UnknownVersion(u8),
    #[error("sealed with key {sealed_with}, but the key in use is {in_use}")]
    OtherKey { sealed_with: KeyId, in_use: KeyId },
    #[error("its chain was erased")]
    Erased,
    /// Changed, cut short, moved from another row, or its chain's salt is gone.
    #[error("not what was sealed here: changed, cut short or from elsewhere")]
    Tampered,
}

impl ChainKey {
    /// Opens what was sealed with one of `keys`, too.
    #[must_use]
    pub fn and_older(self, salt: &[u8; 16], keys: &Arc<Vec<SealingKey>>) -> Self {
        let older = (!keys.is_empty()).then(|| Older { salt: *salt, keys: Arc::clone(keys) });
        Self { older, ..self }
    }

    /// Seals `plaintext` for the place that `aad` names.
    ///
    /// # Panics
    /// Where the operating system has no random bytes, or for more than 256 GiB.
    #[must_use]
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 24];
        fill(&mut nonce);
        let mut sealed = Vec::with_capacity(OVERHEAD + plaintext.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.id.0);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let text = &mut sealed[TEXT_AT..];
        let nobodys;
        let cipher = if let Some(cipher) = &self.cipher {
            cipher
        } else {
            nobodys = XChaCha20Poly1305::new(Key::cast_from_core(&random()));
            &nobodys
        };
        let tag = cipher
            .encrypt_inout_detached(&XNonce::from(nonce), aad, text.into())
            .expect("no value has 256 GiB");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// Opens what [`seal`](Self::seal) made with the same key and `aad`.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (nonce, text, tag) = match self.parts(sealed) {
            Err(other @ OpenError::OtherKey { sealed_with, .. }) => {
                return self.older(sealed_with).ok_or(other)?.open(aad, sealed);
            }
            parts => parts?,
        };
        let mut text = Zeroizing::new(text.to_vec());
        self.cipher
            .as_ref()
            .ok_or(OpenError::Erased)?
            .decrypt_inout_detached(&nonce, aad, text.as_mut_slice().into(), &tag)
            .map_err(|_| OpenError::Tampered)?;
        Ok(text)
    }

    fn older(&self, id: KeyId) -> Option<Self> {
        let older = self.older.as_ref()?;
        let key = older.keys.iter().find(|key| key.id == id)?;
        Some(key.chain_key(&older.salt))
    }

    fn parts<'s>(&self, sealed: &'s [u8]) -> Result<(XNonce, &'s [u8], Tag), OpenError> {
        let (version, rest) = sealed.split_first().ok_or(OpenError::Tampered)?;
        if *version != VERSION {
            return Err(OpenError::UnknownVersion(*version));
        }
        let (id, rest) = rest.split_first_chunk::<4>().ok_or(OpenError::Tampered)?;
        if *id != self.id.0 {
            return Err(OpenError::OtherKey { sealed_with: KeyId(*id), in_use: self.id });
        }
        let (nonce, rest) = rest.split_first_chunk::<24>().ok_or(OpenError::Tampered)?;
        let (text, tag) = rest.split_last_chunk::<TAG>().ok_or(OpenError::Tampered)?;
        Ok((XNonce::from(*nonce), text, Tag::from(*tag)))
    }
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainKey(of {})", self.id)
    }
}

/// The key that a value is sealed with, without opening it; `None` where it is no sealed value.
#[must_use]
pub fn sealed_with(sealed: &[u8]) -> Option<KeyId> {
    let id = sealed.strip_prefix(&[VERSION])?.first_chunk::<4>()?;
    (sealed.len() >= OVERHEAD).then_some(KeyId(*id))
}

/// How every value that is sealed with a key begins.
#[must_use]
pub fn header(key: KeyId) -> [u8; HEADER] {
    let [a, b, c, d] = key.0;
    [VERSION, a, b, c, d]
}

fn derive(key: &[u8; 32], salt: Option<&[u8]>, label: &[u8], out: &mut [u8]) {
    Hkdf::<Sha256>::new(salt, key)
        .expand(label, out)
        .expect("HKDF-SHA256 gives up to 8160 bytes (RFC 5869)");
}

fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    fill(bytes.as_mut_slice());
    bytes
}

/// From the operating system each time, so that a machine restored from a snapshot does not
/// repeat a nonce.
fn fill(bytes: &mut [u8]) {
    SysRng.try_fill_bytes(bytes).expect("the operating system gives random bytes");
}
