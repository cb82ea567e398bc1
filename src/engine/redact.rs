//! Texts without the secrets in them, in whatever form programs and providers write them.

use std::{collections::BTreeSet, fmt::Write as _, ops::Range};

use aho_corasick::AhoCorasick;
use base64::{Engine as _, engine::general_purpose as base64_forms};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

/// What stands for a secret.
pub(super) const HIDDEN: &str = "***";
/// A secret of fewer bytes would blot out ordinary words.
const SHORTEST: usize = 4;
/// As little of a base64 may be found anywhere.
const SHORTEST_CORE: usize = 8;

/// What RFC 3986 leaves as it is.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What a form leaves as it is, and a blank, which becomes a plus.
const FORM: &AsciiSet = &URL.add(b'~').remove(b'*').remove(b' ');
/// What a browser's `encodeURIComponent` leaves as it is.
const SCRIPT: &AsciiSet = &URL.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');

/// Where a text was cut off, perhaps within a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    None,
    Start,
    End,
}

/// Every form of these secrets that is looked for.
pub(super) struct Needles {
    forms: BTreeSet<String>,
    /// All of them at once; `None` where they are more than that can be built of (gigabytes).
    finder: Option<AhoCorasick>,
}

impl Needles {
    /// A secret as it is, as it stands in a URL, a form, in JSON, HTML, hex and base64; each line
    /// of several; without the `Bearer ` that a person may have copied with it.
    pub(super) fn of(secrets: &[SecretString]) -> Self {
        let mut needles = BTreeSet::new();
        for secret in secrets {
            let secret = secret.expose_secret();
            let bare = secret.split_once(' ').filter(|(scheme, _)| {
                ["bearer", "basic", "token"].contains(&scheme.to_ascii_lowercase().as_str())
            });
            let texts = secret.lines().chain([secret]).chain(bare.map(|(_, rest)| rest));
            for text in texts.flat_map(|text| [text, text.trim()]) {
                if text.len() >= SHORTEST {
                    needles.extend(forms(text));
                }
            }
        }
        Self { finder: AhoCorasick::new(&needles).ok(), forms: needles }
    }

    /// Overlapping finds become one, so that no rest of either is left.
    pub(super) fn hide(&self, text: &[u8], cut: Cut) -> String {
        let mut found = self.finds(text);
        for needle in &self.forms {
            let needle = needle.as_bytes();
            match cut {
                Cut::None => {}
                Cut::End => {
                    let part = (1..needle.len()).rev().find(|n| text.ends_with(&needle[..*n]));
                    found.extend(part.map(|n| text.len() - n..text.len()));
                }
                Cut::Start => {
                    let part = (1..needle.len()).find(|n| text.starts_with(&needle[*n..]));
                    found.extend(part.map(|n| 0..needle.len() - n));
                }
            }
        }
        found.sort_by_key(|range| range.start);
        let (mut hidden, mut at) = (vec![], 0);
        for range in found {
            if range.start >= at {
                hidden.extend_from_slice(&text[at..range.start]);
                hidden.extend_from_slice(HIDDEN.as_bytes());
            }
            at = at.max(range.end);
        }
        hidden.extend_from_slice(&text[at..]);
        String::from_utf8_lossy(&hidden).into_owned()
    }

    /// In one pass over the text, however many there are.
    fn finds(&self, text: &[u8]) -> Vec<Range<usize>> {
        match &self.finder {
            Some(finder) => finder.find_overlapping_iter(text).map(|one| one.range()).collect(),
            // Nothing is shown then.
            None => std::iter::once(0..text.len()).collect(),
        }
    }
}

fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![
        text.to_owned(),
        html(text, "&#x27;"),
        html(text, "&#39;"),
        base64_forms::STANDARD.encode(text),
        base64_forms::STANDARD_NO_PAD.encode(text),
        base64_forms::URL_SAFE_NO_PAD.encode(text),
        hex(text),
        hex(text).to_uppercase(),
    ];
    forms.extend(within_base64(text));
    forms.extend(within_base64(&utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()));
    for set in [NON_ALPHANUMERIC, URL, FORM, SCRIPT] {
        let upper = utf8_percent_encode(text, set).to_string().replace(' ', "+");
        let lower = lower_escapes(&upper, '%', 2);
        forms.extend([upper.replace("%20", "+"), upper, lower.replace("%20", "+"), lower]);
    }
    // JSON is also written with its slashes or all but ASCII escaped, and echoed within JSON.
    let plain = json(text);
    let ascii = ascii_only(&plain);
    for form in [plain, ascii] {
        let slashed = form.replace('/', "\\/");
        for form in [form, slashed] {
            forms.extend([json(&form), form]);
        }
    }
    forms
}

/// What of a text's base64 does not depend on what stands before and after it, for each of the
/// three ways in which it may lie there: of `user:password`, say.
fn within_base64(text: &str) -> impl Iterator<Item = String> {
    let core = |before: usize| {
        let whole = [&[0; 2][..before], text.as_bytes()].concat();
        let inner = (before * 8).div_ceil(6)..whole.len() * 8 / 6;
        [&base64_forms::STANDARD_NO_PAD, &base64_forms::URL_SAFE_NO_PAD]
            .map(|form| form.encode(&whole).get(inner.clone()).unwrap_or_default().to_owned())
    };
    (0..3).flat_map(core).filter(|core| core.len() >= SHORTEST_CORE)
}

fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn ascii_only(text: &str) -> String {
    let mut escaped = String::new();
    for one in text.chars() {
        if one.is_ascii() {
            escaped.push(one);
            continue;
        }
        for unit in one.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

fn html(text: &str, apostrophe: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', apostrophe)
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// With the digits that follow each `mark` in lower case.
fn lower_escapes(text: &str, mark: char, digits: usize) -> String {
    let mut left = 0;
    let lowered = text.chars().map(|one| {
        let is_digit = left > 0;
        left = if one == mark { digits } else { left.saturating_sub(1) };
        if is_digit { one.to_ascii_lowercase() } else { one }
    });
    lowered.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str, secrets: &[&str]) -> String {
        let secrets: Vec<SecretString> = secrets.iter().map(|one| (*one).into()).collect();
        Needles::of(&secrets).hide(text.as_bytes(), Cut::None)
    }

    #[test]
    fn secrets_are_hidden_however_they_are_written() {
        let secret = "s-3/\"ö' x~";
        let table = [
            "s-3/\"ö' x~",
            "s-3%2F%22%C3%B6%27%20x~",
            "s-3%2f%22%c3%b6%27+x%7e",
            "s-3%2F%22%C3%B6'%20x~",
            "s%2D3%2F%22%C3%B6%27%20x%7E",
            r#"s-3/\"ö' x~"#,
            r#"s-3\/\"\u00f6' x~"#,
            r#"s-3/\\\"ö' x~"#,
            "s-3/&quot;ö&#x27; x~",
            "732d332f22c3b62720787e",
            "cy0zLyLDticgeH4=",
            "cy0zLyLDticgeH4",
        ];
        for form in table {
            let text = format!("<{form}>");
            assert_eq!(hidden(&text, &[secret]), "<***>", "{form}");
        }
        assert_eq!(hidden("no abc.def here", &["Bearer abc.def"]), "no *** here");
        assert_eq!(hidden("not for a pin of 12", &["12"]), "not for a pin of 12");
    }

    #[test]
    fn a_password_is_hidden_within_basic() {
        for user in ["u", "us", "use", "user"] {
            let echo = base64_forms::STANDARD.encode(format!("{user}:canary-secret-1!, "));
            let text = hidden(&echo, &["canary-secret-1!"]);
            let (before, after) = text.split_once("***").unwrap();
            assert!(before.len() <= 8 && after.len() <= 8, "{text}");
        }
    }

    #[test]
    fn a_secret_that_was_cut_off_is_hidden_too() {
        let needles = Needles::of(&["canary-value".into()]);
        assert_eq!(needles.hide(b"a canary-va", Cut::End), "a ***");
        assert_eq!(needles.hide(b"ry-value b", Cut::Start), "*** b");
    }
}
