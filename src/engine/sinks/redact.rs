//! What a command said, fit to be kept: without secrets, within bounds.

use std::fmt::Write as _;

use secrecy::SecretString;

use super::process::Output;
use crate::engine::redact::{Cut, Needles};

/// What is kept of a long output: so much of each end.
const SHOWN: usize = 2 * 1024;

/// The output as text, each secret replaced, in each form in which programs print it. The middle
/// of a long one is left out, and no secret is cut in two thereby.
pub(super) fn tidy(output: &Output, secrets: &[SecretString]) -> String {
    let needles = Needles::of(secrets);
    let tail: Vec<u8> = output.tail.iter().copied().collect();
    if output.dropped == 0 {
        let whole = needles.hide(&[&output.head[..], &tail].concat(), Cut::None);
        return printable(&shortened(&whole, 0));
    }
    let head = needles.hide(&output.head, Cut::End);
    let tail = needles.hide(&tail, Cut::Start);
    let both = format!("{}{}", start_of(&head), end_of(&tail));
    let left_out = output.dropped + (head.len() + tail.len()).saturating_sub(both.len());
    printable(&joined(start_of(&head), left_out, end_of(&tail)))
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
        let secrets = secrets(&["abcdef", "defghi", "bcde"]);
        assert_eq!(tidy(&said("xabcdefghiy abcdef"), &secrets), "x***y ***");
    }

    #[test]
    fn each_of_many_that_start_alike_is_found() {
        let all: Vec<String> = (0..3_000).map(|n| format!("eyJhbGciOiJSUzI1NiJ9.{n:05}")).collect();
        let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
        all.extend(["eyJhbGciOiJSUzI1NiJ9.007", "xy", "eyJ"]);
        let text = format!("xyz {} eyJhbGciOiJSUzI1NiJ9.02999 eyJha x {}", all[0], all[2_999]);
        // Those of fewer than four bytes are not looked for.
        assert_eq!(tidy(&said(&text), &secrets(&all)), "xyz *** *** eyJha x ***");
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
