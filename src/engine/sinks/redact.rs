//! What a command said, fit to be kept: without secrets, within bounds.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    ops::Range,
};

use base64::{Engine as _, engine::general_purpose as base64_forms};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

use super::process::Output;

/// What stands for a secret.
const HIDDEN: &str = "***";
/// What is kept of a long output: so much of each end.
const SHOWN: usize = 2 * 1024;
/// So many bytes of a secret are looked for first.
const START: usize = 12;
/// Shorter lines of a secret of several lines hide nothing worth it.
const SHORTEST_LINE: usize = 4;

/// The output as text, each secret replaced, in each form in which programs print it. The middle
/// of a long one is left out, and no secret is cut in two thereby.
pub(super) fn tidy(output: &Output, secrets: &[SecretString]) -> String {
    let needles = needles(secrets);
    let tail: Vec<u8> = output.tail.iter().copied().collect();
    if output.dropped == 0 {
        let whole = hide(&[&output.head[..], &tail].concat(), &needles, Cut::None);
        return printable(&shortened(&whole, 0));
    }
    let head = hide(&output.head, &needles, Cut::End);
    let tail = hide(&tail, &needles, Cut::Start);
    let both = format!("{}{}", start_of(&head), end_of(&tail));
    let left_out = output.dropped + (head.len() + tail.len()).saturating_sub(both.len());
    printable(&joined(start_of(&head), left_out, end_of(&tail)))
}

/// Where a text was cut off, perhaps within a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    None,
    Start,
    End,
}

/// A secret as it is, as it stands in a URL, in JSON and in base64; each line of several.
fn needles(secrets: &[SecretString]) -> BTreeSet<String> {
    let mut needles = BTreeSet::new();
    for secret in secrets {
        let secret = secret.expose_secret();
        let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
        for text in lines.chain([secret, secret.trim()]) {
            let json = serde_json::Value::from(text).to_string();
            needles.extend([
                text.to_owned(),
                utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
                json.trim_matches('"').to_owned(),
                base64_forms::STANDARD.encode(text),
                base64_forms::STANDARD_NO_PAD.encode(text),
                base64_forms::URL_SAFE_NO_PAD.encode(text),
            ]);
        }
    }
    needles.remove("");
    needles
}

/// Overlapping finds become one, so that no rest of either is left.
fn hide(text: &[u8], needles: &BTreeSet<String>, cut: Cut) -> String {
    let mut found = finds(text, needles);
    for needle in needles {
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

/// Every place where one of them stands. They are looked up by how they start: thousands of
/// accounts have tens of thousands of needles, too many to look for one after the other.
fn finds(text: &[u8], needles: &BTreeSet<String>) -> Vec<Range<usize>> {
    let mut by_start: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
    for needle in needles.iter().map(String::as_bytes) {
        by_start.entry(&needle[..needle.len().min(START)]).or_default().push(needle);
    }
    let lengths: BTreeSet<usize> = by_start.keys().map(|start| start.len()).collect();
    let mut found = vec![];
    for at in 0..text.len() {
        let rest = &text[at..];
        let starts = lengths.iter().filter_map(|length| by_start.get(rest.get(..*length)?));
        let here = starts.flatten().filter(|needle| rest.starts_with(needle));
        found.extend(here.map(|needle| at..at + needle.len()));
    }
    found
}

fn shortened(text: &str, dropped: usize) -> String {
    if text.len() <= 2 * SHOWN {
        return text.to_owned();
    }
    let (start, end) = (start_of(text), end_of(text));
    joined(start, dropped + text.len() - start.len() - end.len(), end)
}

fn joined(start: &str, left_out: usize, end: &str) -> String {
    let mut text = start.to_owned();
    let _ = write!(text, "\n[… {left_out} bytes left out …]\n{end}");
    text
}

fn start_of(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN)]
}

fn end_of(text: &str) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(SHOWN))..]
}

/// Line ends and tabs stay; what could steer a terminal does not.
fn printable(text: &str) -> String {
    let kept = |one: char| matches!(one, '\n' | '\t') || !one.is_control();
    let text: String = text.chars().map(|one| if kept(one) { one } else { '\u{fffd}' }).collect();
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Output {
        let mut output = Output::default();
        output.push(text.as_bytes());
        output
    }

    fn secrets(texts: &[&str]) -> Vec<SecretString> {
        texts.iter().map(|text| SecretString::from(*text)).collect()
    }

    #[test]
    fn secrets_are_hidden_in_each_form() {
        let secrets = secrets(&["p@ss wörd", "tok\"en", "line one\nline two"]);
        let table = [
            ("a p@ss wörd b", "a *** b"),
            ("?x=p%40ss%20w%C3%B6rd&y", "?x=***&y"),
            (r#"{"t": "tok\"en"}"#, r#"{"t": "***"}"#),
            ("cEBzcyB3w7ZyZA== and cEBzcyB3w7ZyZA.", "*** and ***."),
            ("1: line one\n2: line two", "1: ***\n2: ***"),
            ("nothing here\n", "nothing here"),
        ];
        for (text, tidied) in table {
            assert_eq!(tidy(&said(text), &secrets), tidied, "{text}");
        }
    }

    #[test]
    fn overlapping_secrets_leave_no_rest() {
        let secrets = secrets(&["abcdef", "defghi", "cd"]);
        assert_eq!(tidy(&said("xabcdefghiy abcdef"), &secrets), "x***y ***");
    }

    #[test]
    fn each_of_many_that_start_alike_is_found() {
        let all: Vec<String> = (0..3_000).map(|n| format!("eyJhbGciOiJSUzI1NiJ9.{n:05}")).collect();
        let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
        all.extend(["eyJhbGciOiJSUzI1NiJ9.007", "xy", "eyJ"]);
        let text = format!("xyz {} eyJhbGciOiJSUzI1NiJ9.02999 eyJha x {}", all[0], all[2_999]);
        assert_eq!(tidy(&said(&text), &secrets(&all)), "***z *** *** ***ha x ***");
    }

    #[test]
    fn a_long_output_keeps_both_ends() {
        let text = format!("start {}\n end", "x".repeat(10_000));
        let tidied = tidy(&said(&text), &[]);
        assert!(tidied.starts_with("start x") && tidied.ends_with("x\n end"), "{tidied}");
        assert!(tidied.contains(&format!("[… {} bytes left out …]", text.len() - 2 * SHOWN)));
        assert!(tidied.len() < 2 * SHOWN + 60);
    }

    #[test]
    fn no_secret_is_cut_in_two() {
        // Longer than what is kept of each end, again and again, so that both cuts fall within one.
        let secret: String =
            (0..3_000_u32).filter_map(|n| char::from_digit(10 + n % 23, 36)).collect();
        let mut output = Output::default();
        for _ in 0..100 {
            output.push(secret.as_bytes());
            output.push(b"|");
        }
        assert!(output.dropped > 0);
        let tidied = tidy(&output, &secrets(&[&secret]));
        for n in 0..secret.len() - 8 {
            assert!(!tidied.contains(&secret[n..n + 8]), "{tidied}");
        }
        assert!(tidied.starts_with("***|***|"), "{tidied}");
    }

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(
            tidy(&said("a\x1b[31mb\tc\r\nd\u{9b}"), &[]),
            "a\u{fffd}[31mb\tc\u{fffd}\nd\u{fffd}"
        );
    }
}
