//! Where a secret comes from, and fetching it.

use std::{
    fmt, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use secrecy::{SecretString, zeroize::Zeroizing};

use super::{Env, Position, check::Check, database::RawSource, grammar};
use crate::{diagnostic::Diagnostic, types::Timestamp};

/// The place that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretFrom {
    /// A file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    File(PathBuf),
    /// An environment variable's name.
    Env(String),
}

impl fmt::Display for SecretFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential `{name}`"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "variable ${name}"),
        }
    }
}

/// A secret of an account, not yet fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSource {
    /// Dotted key, such as `accounts.certn.secrets.client_id`.
    pub key: String,
    pub from: SecretFrom,
    /// When the secret itself ends, as the operator wrote it; a day means its first instant, UTC.
    pub expires: Option<Timestamp>,
    /// Where `key` is written.
    pub position: Option<Position>,
}

/// A secret and what should be looked at.
#[derive(Debug)]
pub struct Resolved {
    pub value: SecretString,
    pub warnings: Vec<Diagnostic>,
}

/// Why a secret could not be had. Never holds any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {from} {problem}")]
pub struct SecretError {
    /// Dotted key, which names account and secret.
    pub key: String,
    pub from: SecretFrom,
    pub problem: SecretProblem,
}

/// What is wrong with a secret's source, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    #[error("is not visible here: only the running service sees its credentials")]
    NotVisibleHere,
    #[error("was not given to the service: add LoadCredential= to the unit and restart it")]
    NotLoaded,
    #[error("does not exist: create it, readable by the daemon's user")]
    Missing,
    #[error("cannot be read ({0}): let the daemon's user read it")]
    Unreadable(io::ErrorKind),
    #[error("is not UTF-8 text: store the secret as text")]
    NotUtf8,
    #[error("is empty: put the secret in it")]
    Empty,
    #[error("is not set: set it for the daemon, with Environment= or EnvironmentFile=")]
    Unset,
}

impl SecretSource {
    /// Fetches the secret; one trailing newline is cut. `credentials_dir` is what
    /// `$CREDENTIALS_DIRECTORY` names, `None` outside the service.
    pub fn resolve(
        &self,
        env: &Env,
        credentials_dir: Option<&Path>,
    ) -> Result<Resolved, SecretError> {
        let mut warnings = Vec::new();
        let bytes = self
            .bytes(env, credentials_dir, &mut warnings)
            .and_then(text)
            .map_err(|problem| self.error(problem))?;
        Ok(Resolved { value: bytes, warnings })
    }

    /// A problem with this secret, told with its place.
    #[must_use]
    pub fn diagnostic(&self, error: &SecretError) -> Diagnostic {
        self.told(format!("{} {}", error.from, error.problem))
    }

    fn bytes(
        &self,
        env: &Env,
        credentials_dir: Option<&Path>,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Zeroizing<Vec<u8>>, SecretProblem> {
        match &self.from {
            SecretFrom::Credential(name) => {
                let folder = credentials_dir.ok_or(SecretProblem::NotVisibleHere)?;
                read(&folder.join(name), &SecretProblem::NotLoaded)
            }
            SecretFrom::File(path) => {
                warnings.extend(open_to_all(path).map(|message| self.told(message)));
                read(path, &SecretProblem::Missing)
            }
            SecretFrom::Env(name) => env
                .get(name)
                .map(|value| Zeroizing::new(value.as_bytes().to_vec()))
                .ok_or(SecretProblem::Unset),
        }
    }

    fn error(&self, problem: SecretProblem) -> SecretError {
        SecretError { key: self.key.clone(), from: self.from.clone(), problem }
    }

    fn told(&self, message: impl Into<String>) -> Diagnostic {
        let (file, line) = match &self.position {
            Some(at) => (at.file.clone(), at.line),
            None => ("configuration".into(), None),
        };
        Diagnostic { line, ..Diagnostic::new(file, &self.key, message) }
    }
}

fn read(path: &Path, missing: &SecretProblem) -> Result<Zeroizing<Vec<u8>>, SecretProblem> {
    std::fs::read(path).map(Zeroizing::new).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing.clone(),
        kind => SecretProblem::Unreadable(kind),
    })
}

/// The text without one trailing newline (`\n`, or the `\r\n` of an editor on Windows).
#[allow(clippy::needless_pass_by_value)] // the last owner wipes it
fn text(bytes: Zeroizing<Vec<u8>>) -> Result<SecretString, SecretProblem> {
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretProblem::NotUtf8)?;
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() { Err(SecretProblem::Empty) } else { Ok(text.into()) }
}

fn open_to_all(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.mode() & 0o777;
    (mode & 0o004 != 0).then(|| {
        format!("file {} is readable by every user ({mode:04o}): chmod o-rwx", path.display())
    })
}

pub(super) fn build(key: &str, raw: RawSource, check: &mut Check) -> Option<SecretSource> {
    let from = match (raw.credential, raw.file, raw.env) {
        (Some(name), None, None) => SecretFrom::Credential(name),
        (None, Some(path), None) => SecretFrom::File(check.path(&format!("{key}.file"), &path)),
        (None, None, Some(name)) => SecretFrom::Env(name),
        (None, None, None) if told(key, check) => return None,
        _ => {
            check.wrong(
                key,
                "write exactly one of { credential = \"…\" }, { file = \"…\" } or { env = \"…\" }",
            );
            return None;
        }
    };
    Some(SecretSource {
        key: key.to_owned(),
        from,
        expires: raw.expires.and_then(|text| grammar::instant_from(&text).ok()),
        position: check.positions().nearest(key).cloned(),
    })
}

/// A source is written but was found bad before.
fn told(key: &str, check: &Check) -> bool {
    super::shape::SOURCES.iter().any(|source| check.is_written(&format!("{key}.{source}")))
}
