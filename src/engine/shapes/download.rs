//! `download`: one request, its body to an artifact; ends with the file's name, size and digest.

use http::header;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{File, Outcome, Run, stopped};
use crate::{
    definition::Template,
    policy::{
        codes::Code,
        settle::{AttemptEnd, Retry},
    },
};

pub async fn attempt(run: &mut Run<'_>, artifact: &Template) -> Outcome {
    let vars = run.vars.clone();
    let name = match artifact.render(&vars) {
        Ok(name) if is_file_name(&name) => name,
        Ok(_) => {
            let words = "the artifact's name is empty, too long, or no plain file name";
            return Outcome::failed(Code::Definition, Retry::Never, words);
        }
        Err(error) => return Outcome::failed(Code::Definition, Retry::Never, error.to_string()),
    };
    let answered = match run.sender.send(run.ask(), &vars, None).await {
        Ok(answered) => answered,
        Err(end) => return stopped(run, end),
    };
    let content_type = answered
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/octet-stream")
        .to_owned();
    let result = json!({
        "name": name,
        "content_type": content_type,
        "size": answered.body.len(),
        "sha256": sha256(&answered.body),
    });
    Outcome {
        result: Some(result),
        vars: Some(answered.vars),
        file: Some(File { name, content_type, bytes: answered.body }),
        ..Outcome::of(AttemptEnd::Done)
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What may stand alone in a path: in the API's, and in the folder of whoever fetches it.
fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || "._- ".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["report.pdf", "Report 2026-11.html", "a"] {
            assert!(is_file_name(good), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a\\b", "a\0", "a\n", &"x".repeat(201)] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }

    #[test]
    fn digests_are_the_usual_ones() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
    }
}
