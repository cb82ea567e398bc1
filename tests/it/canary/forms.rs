//! Looking for canaries in the forms in which they could have got somewhere.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// By so many bytes a canary is looked up.
const HEAD: usize = 8;
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Canaries by the first bytes of each of their forms.
#[derive(Default)]
pub struct Canaries {
    forms: HashMap<[u8; HEAD], Vec<(Vec<u8>, String)>>,
}

impl Canaries {
    pub fn of<'c>(canaries: impl IntoIterator<Item = &'c str>) -> Self {
        let mut all = Self::default();
        for canary in canaries {
            for (name, form) in forms(canary) {
                assert!(form.len() >= HEAD, "{canary} is too short as {name}");
                let entry = (form.clone().into_bytes(), format!("{canary} as {name}"));
                let head = form.as_bytes()[..HEAD].try_into().unwrap();
                all.forms.entry(head).or_default().push(entry);
            }
        }
        all
    }

    /// What of them is in there, with where it was seen.
    pub fn seen(&self, bytes: &[u8]) -> BTreeMap<&str, String> {
        let mut seen = BTreeMap::new();
        for at in 0..(bytes.len() + 1).saturating_sub(HEAD) {
            let head: [u8; HEAD] = bytes[at..at + HEAD].try_into().unwrap();
            for (form, name) in self.forms.get(&head).into_iter().flatten() {
                if bytes[at..].starts_with(form) {
                    let around = &bytes[at.saturating_sub(120)..bytes.len().min(at + 120)];
                    let around = String::from_utf8_lossy(around).into_owned();
                    seen.entry(name.as_str()).or_insert(around);
                }
            }
        }
        seen
    }
}

fn forms(canary: &str) -> Vec<(&'static str, String)> {
    let json = |text: &str| {
        let quoted = serde_json::Value::from(text).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    };
    let hex = canary.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let mut forms = vec![
        ("it is", canary.to_owned()),
        ("JSON", json(canary)),
        ("JSON in JSON", json(&json(canary))),
        ("debug output", format!("{canary:?}").trim_matches('"').to_owned()),
        ("hex", hex.clone()),
        ("upper hex", hex.to_uppercase()),
        ("percent", utf8_percent_encode(canary, NON_ALPHANUMERIC).to_string()),
        ("percent of a URL", utf8_percent_encode(canary, URL).to_string()),
        ("a form", utf8_percent_encode(canary, URL).to_string().replace("%20", "+")),
    ];
    // Wherever it lies within what was encoded: with a user name before it, say.
    let percent = utf8_percent_encode(canary, NON_ALPHANUMERIC).to_string();
    for (before, text) in (0..6).map(|n| (n % 3, [canary, &percent][n / 3])) {
        let whole = [&[0; 2][..before], text.as_bytes()].concat();
        let inner = (before * 8).div_ceil(6)..whole.len() * 8 / 6;
        let encoded = [("base64", STANDARD_NO_PAD), ("base64url", URL_SAFE_NO_PAD)];
        forms.extend(encoded.map(|(name, base)| (name, base.encode(&whole)[inner.clone()].into())));
    }
    forms
}

#[test]
fn canaries_are_seen_in_each_form() {
    let canary = "canary \"1/ä+";
    let canaries = Canaries::of([canary]);
    let basic = STANDARD_NO_PAD.encode(format!("user:{canary}!"));
    for form in [
        canary,
        "canary \\\"1/ä+",
        "63616e61727920",
        "canary%20%221%2F%C3%A4%2B",
        "canary+%221%2F%C3%A4%2B",
        &basic,
    ] {
        // The hex above is only its beginning.
        let found = canaries.seen(format!("<{form}>").as_bytes()).is_empty();
        assert_eq!(found, form.starts_with("6361"), "{form}");
    }
    assert!(canaries.seen(b"canary").is_empty());
}
