//! The sealing keys in use, and their files.
//!
//! One key seals; earlier ones only open. During a rekey the new key stands beside the old one
//! (`attendant.key.next`), and both are loaded, so that a crash at any moment leaves nothing that
//! cannot be opened.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use secrecy::zeroize::Zeroizing;

use super::seal::{
    ChainKey, EqualityKey, Erasure, KeyError, KeyId, OpenError, SealingKey, finish_next, next_path,
    remove_remains, sealed_with,
};

/// Where the sealing key is.
#[derive(Debug, Clone)]
pub struct KeyPlace {
    pub path: PathBuf,
    /// A missing key may be made, which is so only beside a database that is new.
    pub make: bool,
    /// It comes from a place that the daemon never writes, such as a systemd credential.
    pub fixed: bool,
}

/// What became of a chain's key in the key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It is gone, durably.
    Gone,
    /// The file cannot be replaced: the key still opens backups.
    Kept,
}

/// Why no rekey was begun.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    #[error("a rekey is under way already; the log tells its end")]
    UnderWay,
    #[error(
        "the sealing key comes from a place that this daemon cannot write, so it cannot be replaced \
         from here: stop the daemon, copy the key into a file of its user's (mode 0600), set \
         [seal] key = {{ file = … }}, start it, rekey, and put the new key where the old one was"
    )]
    ReadOnly,
    #[error("{0}")]
    Key(#[from] KeyError),
}

#[derive(Debug, Clone)]
enum Home {
    /// No file: for tests and throw-away databases.
    Memory,
    Fixed,
    File(PathBuf),
}

#[derive(Debug, Clone)]
struct Keys {
    current: SealingKey,
    /// They stay as long as the process: what an attempt holds in memory was sealed with them.
    older: Arc<Vec<SealingKey>>,
    /// The last of `older` still has its file, and `current` is in the one beside it.
    rekeying: bool,
}

#[derive(Debug)]
pub(super) struct Keyring {
    keys: RwLock<Arc<Keys>>,
    home: Home,
    /// Held from reading the keys to their new file: one change after the other.
    changing: Mutex<()>,
}

impl Keyring {
    /// A new key in no file.
    pub(super) fn ephemeral() -> Self {
        Self::of(SealingKey::generate(), vec![], Home::Memory)
    }

    fn of(current: SealingKey, older: Vec<SealingKey>, home: Home) -> Self {
        let keys = Keys { current, rekeying: !older.is_empty(), older: Arc::new(older) };
        Self { keys: RwLock::new(Arc::new(keys)), home, changing: Mutex::default() }
    }

    /// Makes the key of a new database.
    pub(super) fn create(place: &KeyPlace) -> Result<Self, KeyError> {
        let key = SealingKey::create_file(&place.path)?;
        Ok(Self::of(key, vec![], home(place)))
    }

    /// Reads the key, and the one beside it where a rekey was cut short.
    pub(super) fn read(place: &KeyPlace) -> Result<(Self, Option<String>), KeyError> {
        let file = SealingKey::read_file(&place.path)?;
        let home = home(place);
        if let Home::File(path) = &home {
            remove_remains(path)?;
        }
        let next = match &home {
            Home::File(path) if next_path(path).exists() => {
                Some(SealingKey::read_file(&next_path(path))?.key)
            }
            _ => None,
        };
        let Some(next) = next else { return Ok((Self::of(file.key, vec![], home), file.warning)) };
        let erased: Vec<Erasure> = file.key.erased().iter().chain(next.erased()).copied().collect();
        let ring = Self::of(next, vec![file.key], home);
        // A crash between the two files may have left a chain in one of them.
        for erasure in erased {
            ring.cut(erasure)?;
        }
        Ok((ring, file.warning))
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, keys: Keys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    pub(super) fn chain(&self, salt: &[u8; 16]) -> ChainKey {
        let keys = self.keys();
        keys.current.chain_key(salt).and_older(salt, &keys.older)
    }

    /// What the file of the key in use holds.
    pub(super) fn text(&self) -> Zeroizing<String> {
        self.keys().current.text()
    }

    pub(super) fn id(&self) -> KeyId {
        self.keys().current.id()
    }

    /// The chains that were cut out of the key in use.
    pub(super) fn erased(&self) -> Vec<Erasure> {
        self.keys().current.erased().to_vec()
    }

    /// The equality key back from the database.
    pub(super) fn open_equality(&self, sealed: &[u8]) -> Result<EqualityKey, OpenError> {
        let keys = self.keys();
        let with = keys.older.iter().find(|key| sealed_with(sealed) == Some(key.id()));
        EqualityKey::open(with.unwrap_or(&keys.current), sealed)
    }

    pub(super) fn seal_equality(&self, key: &EqualityKey) -> Vec<u8> {
        key.sealed(&self.keys().current)
    }

    /// The key whose values are to be sealed anew, during a rekey.
    pub(super) fn retiring(&self) -> Option<KeyId> {
        let keys = self.keys();
        keys.rekeying.then(|| keys.older.last().map(SealingKey::id))?
    }

    /// Cuts a chain out of every key. What it was sealed with is gone from the disk when this
    /// returns [`Cut::Gone`].
    pub(super) fn cut(&self, erasure: Erasure) -> Result<Cut, KeyError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(self.home, Home::Fixed) {
            return Ok(Cut::Kept);
        }
        let mut keys = Keys::clone(&self.keys());
        let mut older = Vec::clone(&keys.older);
        let was_there = keys.current.erase(erasure);
        let was_in_older =
            older.iter_mut().map(|key| key.erase(erasure)).fold(false, |any, one| any | one);
        if let Home::File(path) = &self.home {
            let (own, retiring) = match (keys.rekeying, older.last()) {
                (true, Some(retiring)) => (next_path(path), Some(retiring)),
                _ => (path.clone(), None),
            };
            let mut written = Ok(());
            if was_there {
                written = keys.current.replace_file(&own);
            }
            if let Some(retiring) = retiring.filter(|_| was_in_older && written.is_ok()) {
                written = retiring.replace_file(path);
            }
            match written {
                Err(error) if error.is_read_only() => return Ok(Cut::Kept),
                written => written?,
            }
        }
        keys.older = Arc::new(older);
        self.put(keys);
        Ok(Cut::Gone)
    }

    /// Makes a new key, durably, and seals with it from now on.
    pub(super) fn begin_rekey(&self) -> Result<(), RekeyError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys();
        if keys.rekeying {
            return Err(RekeyError::UnderWay);
        }
        let ids: Vec<KeyId> =
            keys.older.iter().chain([&keys.current]).map(SealingKey::id).collect();
        // Values are told apart by the key's id, which has four bytes.
        let new = std::iter::repeat_with(SealingKey::generate).find(|new| !ids.contains(&new.id()));
        let new = new.unwrap_or_else(SealingKey::generate);
        match &self.home {
            Home::Memory => {}
            Home::Fixed => return Err(RekeyError::ReadOnly),
            Home::File(path) => {
                new.write_file(&next_path(path)).map_err(|error| {
                    if error.is_read_only() { RekeyError::ReadOnly } else { error.into() }
                })?;
            }
        }
        let mut older = Vec::clone(&keys.older);
        older.push(keys.current.clone());
        self.put(Keys { current: new, older: Arc::new(older), rekeying: true });
        Ok(())
    }

    /// Puts the new key in the place of the old one, once nothing needs that any more.
    pub(super) fn finish_rekey(&self) -> Result<(), KeyError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Home::File(path) = &self.home {
            finish_next(path)?;
        }
        self.put(Keys { rekeying: false, ..Keys::clone(&self.keys()) });
        Ok(())
    }
}

/// The file itself, where the path is a link to it.
fn home(place: &KeyPlace) -> Home {
    if place.fixed {
        return Home::Fixed;
    }
    Home::File(place.path.canonicalize().unwrap_or_else(|_| place.path.clone()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::types::JobId;

    const ERASURE: Erasure = Erasure { salt: [7; 16], job: JobId(uuid::Uuid::nil()) };

    fn place(folder: &TempDir) -> KeyPlace {
        KeyPlace { path: folder.path().join("attendant.key"), make: true, fixed: false }
    }

    fn read(folder: &TempDir) -> Keyring {
        Keyring::read(&place(folder)).unwrap().0
    }

    fn is_gone(ring: &Keyring, sealed: &[u8]) -> bool {
        ring.chain(&ERASURE.salt).open(b"", sealed) == Err(OpenError::Erased)
    }

    #[test]
    fn both_keys_of_a_rekey_are_loaded_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Keyring::create(&place(&folder)).unwrap();
        let old = ring.chain(&[1; 16]).seal(b"", b"x");
        ring.begin_rekey().unwrap();
        assert!(matches!(ring.begin_rekey(), Err(RekeyError::UnderWay)));
        let new = ring.chain(&[1; 16]).seal(b"", b"x");
        for ring in [&ring, &read(&folder)] {
            assert_eq!(ring.retiring(), sealed_with(&old));
            for sealed in [&old, &new] {
                assert_eq!(*ring.chain(&[1; 16]).open(b"", sealed).unwrap(), b"x");
            }
        }
        ring.finish_rekey().unwrap();
        // In this process something may still be in hand that was sealed before.
        ring.chain(&[1; 16]).open(b"", &old).unwrap();
        let again = read(&folder);
        assert_eq!((again.retiring(), Some(again.id())), (None, sealed_with(&new)));
        assert!(again.chain(&[1; 16]).open(b"", &old).is_err());
        again.chain(&[1; 16]).open(b"", &new).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_cut_reaches_both_keys_and_one_that_was_cut_short_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Keyring::create(&place(&folder)).unwrap();
        let old = ring.chain(&ERASURE.salt).seal(b"", b"x");
        ring.begin_rekey().unwrap();
        let new = ring.chain(&ERASURE.salt).seal(b"", b"x");
        let uncut = std::fs::read(place(&folder).path).unwrap();
        assert_eq!(ring.cut(ERASURE).unwrap(), Cut::Gone);
        assert!(is_gone(&ring, &old) && is_gone(&ring, &new));
        // As after a crash between the two files.
        std::fs::write(place(&folder).path, uncut).unwrap();
        let again = read(&folder);
        assert!(is_gone(&again, &old) && is_gone(&again, &new));
        let file = SealingKey::read_file(&place(&folder).path).unwrap().key;
        assert_eq!(file.erased(), [ERASURE]);
    }

    #[test]
    fn a_key_that_is_given_is_never_written() {
        let folder = tempfile::tempdir().unwrap();
        Keyring::create(&place(&folder)).unwrap();
        let fixed = KeyPlace { fixed: true, ..place(&folder) };
        let before = std::fs::read(&fixed.path).unwrap();
        let (ring, _) = Keyring::read(&fixed).unwrap();
        let sealed = ring.chain(&ERASURE.salt).seal(b"", b"x");
        assert_eq!(ring.cut(ERASURE).unwrap(), Cut::Kept);
        assert!(!is_gone(&ring, &sealed));
        assert!(matches!(ring.begin_rekey(), Err(RekeyError::ReadOnly)));
        assert_eq!(std::fs::read(&fixed.path).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
