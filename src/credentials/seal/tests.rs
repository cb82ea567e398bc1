use std::os::unix::fs::{MetadataExt, PermissionsExt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{key_file::HEADING, *};
use crate::any_json::any_json;

fn key(byte: u8) -> SealingKey {
    SealingKey::from_bytes(Zeroizing::new([byte; 32]))
}

const SALT: [u8; 16] = [7; 16];

#[test]
fn a_sealed_value_is_laid_out_as_documented() {
    let sealing = key(1);
    let sealed = sealing.chain_key(&SALT).seal(b"row", b"hello");
    assert_eq!((sealed.len(), sealed.capacity()), (OVERHEAD + 5, OVERHEAD + 5));
    assert_eq!((sealed[0], &sealed[1..5]), (2, &sealing.id().0[..]));
    assert_eq!(sealed_with(&sealed), Some(sealing.id()));
    assert_eq!(sealed_with(&sealed[..OVERHEAD - 1]), None);
}

/// Fixed for ever, since other values would make every database unreadable; computed with another
/// implementation (Python's hmac).
#[test]
fn derivation_does_not_change_between_releases() {
    assert_eq!(key(1).id().to_string(), "d7660aa4");
    let leaf = key(1).tree.leaf(path(&SALT)).unwrap();
    let mut derived = [0; 4];
    derive(&leaf, Some(&SALT), CHAIN, &mut derived);
    assert_eq!(KeyId(derived).to_string(), "93a3575b");
    assert_eq!(KeyId(key(1).equality[..4].try_into().unwrap()).to_string(), "1ded88fd");
    let equality = EqualityKey(Zeroizing::new([3; 32]));
    assert_eq!(
        KeyId(equality.hash("args", &[b"{}"])[..4].try_into().unwrap()).to_string(),
        "2bed03c4"
    );
}

#[test]
fn every_refusal_has_its_own_reason() {
    let chain = key(1).chain_key(&SALT);
    let sealed = chain.seal(b"row 1", b"secret");
    let open = |key: &ChainKey, aad: &[u8], sealed: &[u8]| key.open(aad, sealed).unwrap_err();

    assert_eq!(open(&chain, b"row 2", &sealed), OpenError::Tampered);
    assert_eq!(open(&key(1).chain_key(&[8; 16]), b"row 1", &sealed), OpenError::Tampered);
    let other = open(&key(2).chain_key(&SALT), b"row 1", &sealed);
    assert_eq!(
        other.to_string(),
        format!("sealed with key {}, but the key in use is {}", key(1).id(), key(2).id())
    );
    let mut newer = sealed.clone();
    newer[0] = 3;
    assert_eq!(open(&chain, b"row 1", &newer), OpenError::UnknownVersion(3));
    for length in 0..sealed.len() {
        assert_eq!(open(&chain, b"row 1", &sealed[..length]), OpenError::Tampered, "{length}");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let chain = key(1).chain_key(&SALT);
    let sealed = chain.seal(b"row", b"a secret of some length");
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1 << bit;
            assert!(chain.open(b"row", &flipped).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn debug_shows_no_key() {
    let sealing = key(0xab);
    let shown = format!("{sealing:?} {:?} {:?}", sealing.chain_key(&SALT), EqualityKey::generate());
    let id = sealing.id();
    assert_eq!(shown, format!("SealingKey({id}) ChainKey(of {id}) EqualityKey(…)"));
}

#[test]
fn a_key_file_is_private_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attendant.key");
    let made = SealingKey::create_file(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!((text.len(), text.trim_end().len()), (45, 44));
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no other file is left");

    let read = SealingKey::read_file(&path).unwrap();
    assert_eq!((read.key.id(), read.warning), (made.id(), None));
    let sealed = made.chain_key(&SALT).seal(b"", b"x");
    assert_eq!(*read.key.chain_key(&SALT).open(b"", &sealed).unwrap(), b"x");

    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let warning = SealingKey::read_file(&path).unwrap().warning.unwrap();
    assert!(warning.ends_with("is open to others (0640): chmod 0600 it"), "{warning}");
}

#[test]
fn a_key_file_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attendant.key");
    std::fs::write(&path, "the old one").unwrap();
    let error = SealingKey::create_file(&path).unwrap_err();
    assert!(matches!(error, KeyError::Exists(_)), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "the old one");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_key_file_survives_the_remains_of_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attendant.key");
    std::fs::write(folder.path().join("attendant.key.new"), "half").unwrap();
    SealingKey::create_file(&path).unwrap();
    SealingKey::read_file(&path).unwrap();
}

#[test]
fn a_bad_key_file_says_what_to_do_and_nothing_of_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attendant.key");
    let table = [
        (None, "does not exist: bring it back from where it is kept"),
        (Some(""), "has 0 bytes, not 32"),
        (Some("c2hvcnQ=\n"), "has 5 bytes, not 32"),
        (Some("not base64!\n"), "is not base64: it must hold one line of 44 characters"),
    ];
    for (content, wanted) in table {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = SealingKey::read_file(&path).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(!error.contains("short") && !error.contains("base64!"), "{error}");
    }
    let error = SealingKey::read_file(folder.path()).unwrap_err();
    assert!(matches!(error, KeyError::Unreadable { .. }), "{error}");
}

fn erasure(n: u8) -> Erasure {
    Erasure { salt: [n; 16], job: JobId(uuid::Uuid::from_bytes([n; 16])) }
}

#[test]
fn an_erased_chain_opens_no_more_and_the_others_do() {
    let mut sealing = key(1);
    let seal = |key: &SealingKey, n: u8| key.chain_key(&[n; 16]).seal(b"row", b"x");
    let (gone, kept) = (seal(&sealing, 7), seal(&sealing, 8));
    let equality = EqualityKey::generate();
    let marked = equality.sealed(&sealing);
    let id = sealing.id();
    assert!(sealing.erase(erasure(7)));
    assert!(!sealing.erase(erasure(7)), "it is gone already");
    let open = |n: u8, sealed: &[u8]| sealing.chain_key(&[n; 16]).open(b"row", sealed);
    assert_eq!(open(7, &gone).unwrap_err(), OpenError::Erased);
    assert_eq!(*open(8, &kept).unwrap(), b"x");
    assert_eq!(open(7, &seal(&sealing, 7)).unwrap_err(), OpenError::Erased);
    assert_eq!((sealing.id(), sealing.erased()), (id, &[erasure(7)][..]));
    EqualityKey::open(&sealing, &marked).unwrap();
}

#[test]
fn the_file_of_a_cut_key_reads_back_and_holds_no_root() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attendant.key");
    let mut sealing = SealingKey::create_file(&path).unwrap();
    let root = STANDARD.decode(std::fs::read(&path).unwrap().trim_ascii()).unwrap();
    let sealed: Vec<_> =
        (0..9_u8).map(|n| sealing.chain_key(&[n; 16]).seal(b"row", &[n])).collect();
    for n in [3, 200, 5] {
        sealing.erase(erasure(n));
        sealing.replace_file(&path).unwrap();
    }
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no other file is left");
    let text = std::fs::read_to_string(&path).unwrap();
    let body = STANDARD.decode(text.lines().nth(1).unwrap()).unwrap();
    assert!(body.windows(32).all(|window| window != root), "the root is still there");

    let read = SealingKey::read_file(&path).unwrap().key;
    assert_eq!((read.id(), read.erased()), (sealing.id(), sealing.erased()));
    for (n, sealed) in (0..9_u8).zip(&sealed) {
        let opened = read.chain_key(&[n; 16]).open(b"row", sealed).map(|text| text[0]);
        let expected = if n == 3 || n == 5 { Err(OpenError::Erased) } else { Ok(n) };
        assert_eq!(opened, expected, "{n}");
    }
}

#[test]
fn a_damaged_file_of_a_cut_key_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attendant.key");
    let mut sealing = SealingKey::create_file(&path).unwrap();
    sealing.erase(erasure(1));
    sealing.replace_file(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let cut_short = text[..text.len() - 60].to_owned();
    let changed = text.replacen(&text[100..101], if &text[100..101] == "A" { "B" } else { "A" }, 1);
    for bad in [cut_short, changed, format!("{HEADING}\n"), format!("{HEADING}\n!\n")] {
        std::fs::write(&path, bad).unwrap();
        let error = SealingKey::read_file(&path).unwrap_err();
        assert!(matches!(error, KeyError::Damaged(_)), "{error}");
    }
}

#[test]
fn a_linked_key_file_stays_a_link_and_its_target_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real.key"), folder.path().join("attendant.key"));
    let mut sealing = SealingKey::create_file(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    sealing.erase(erasure(1));
    sealing.replace_file(&link).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(SealingKey::read_file(&real).unwrap().key.erased().len(), 1);
}

#[test]
fn a_replaced_key_file_is_overwritten_before_it_is_freed() {
    use std::io::{Read as _, Seek as _};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attendant.key");
    let mut sealing = SealingKey::create_file(&path).unwrap();
    let mut old = std::fs::File::open(&path).unwrap();
    sealing.erase(erasure(1));
    sealing.replace_file(&path).unwrap();
    old.rewind().unwrap();
    let mut left = vec![];
    old.read_to_end(&mut left).unwrap();
    assert_eq!(left, [0; 45]);
}

#[test]
fn older_keys_open_what_they_sealed() {
    let (old, new) = (key(1), key(2));
    let older = Arc::new(vec![old.clone()]);
    let both = new.chain_key(&SALT).and_older(&SALT, &older);
    let sealed = old.chain_key(&SALT).seal(b"row", b"x");
    assert_eq!(*both.open(b"row", &sealed).unwrap(), b"x");
    assert_eq!(sealed_with(&both.seal(b"row", b"x")), Some(new.id()));
    let stranger = key(3).chain_key(&SALT).seal(b"row", b"x");
    assert!(matches!(both.open(b"row", &stranger), Err(OpenError::OtherKey { .. })));
}

#[test]
fn equality_survives_a_rekey() {
    let equality = EqualityKey::generate();
    let (old, new) = (key(1), key(2));
    let opened = EqualityKey::open(&old, &equality.sealed(&old)).unwrap();
    let resealed = opened.sealed(&new);
    let again = EqualityKey::open(&new, &resealed).unwrap();
    assert_eq!(again.hash("args", &[b"x"]), equality.hash("args", &[b"x"]));
    assert!(matches!(EqualityKey::open(&old, &resealed), Err(OpenError::OtherKey { .. })));
}

#[test]
fn equality_hashes_differ_where_anything_differs() {
    let key = EqualityKey::generate();
    let lists: [(&str, &[&[u8]]); 7] = [
        ("args", &[]),
        ("args", &[b""]),
        ("args", &[b"ab"]),
        ("args", &[b"a", b"b"]),
        ("args", &[b"b", b"a"]),
        ("key", &[b"ab"]),
        ("argsab", &[]),
    ];
    for (n, (domain, parts)) in lists.iter().enumerate() {
        for (other, more) in &lists[..n] {
            assert_ne!(key.hash(domain, parts), key.hash(other, more));
        }
    }
    assert_ne!(key.hash("args", &[]), EqualityKey::generate().hash("args", &[]));
}

#[test]
fn canonical_json_is_sorted_and_tight() {
    let value = json!({ "b": [1, 1.0, 100.0, -0.5, true, null], "a": { "z": "é\n\"", "": {} } });
    let wanted = r#"{"a":{"":{},"z":"é\n\""},"b":[1,1.0,100.0,-0.5,true,null]}"#;
    assert_eq!(String::from_utf8(canonical_json(&value)).unwrap(), wanted);
    let written: Value = serde_json::from_str("[1e2, 18446744073709551615]").unwrap();
    assert_eq!(canonical_json(&written), b"[100.0,18446744073709551615]");
}

/// The same value, its objects' keys written the other way round.
fn reversed(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<_> = map
                .iter()
                .rev()
                .map(|(key, value)| format!("{} : {}", Value::from(key.as_str()), reversed(value)))
                .collect();
            format!("{{ {} }}", entries.join(" , "))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(reversed).collect();
            format!("[ {} ]", items.join(" , "))
        }
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens(text: Vec<u8>, aad: Vec<u8>, salt: [u8; 16], bytes: [u8; 32]) {
        let chain = SealingKey::from_bytes(Zeroizing::new(bytes)).chain_key(&salt);
        let (first, second) = (chain.seal(&aad, &text), chain.seal(&aad, &text));
        prop_assert_ne!(&first, &second, "a nonce came twice");
        prop_assert_eq!(&*chain.open(&aad, &first).unwrap(), &text);
    }

    #[test]
    fn nothing_opens_by_accident(junk: Vec<u8>) {
        prop_assert!(key(1).chain_key(&SALT).open(b"", &junk).is_err());
    }

    #[test]
    fn canonical_json_knows_no_key_order(value in any_json()) {
        let other: Value = serde_json::from_str(&reversed(&value)).unwrap();
        let canonical = canonical_json(&value);
        prop_assert_eq!(&canonical, &canonical_json(&other));
        prop_assert_eq!(serde_json::from_slice::<Value>(&canonical).unwrap(), other);
    }
}
