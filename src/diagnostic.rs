//! What is wrong in a file that a person wrote: which file, which line, which key, and what to do.

use std::{fmt, path::PathBuf};

/// One problem in a configuration or definition file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, or a name such as `built-in certn.toml` or `ATTENDANT__API__SOCKET`.
    pub file: PathBuf,
    /// One-based; `None` where the problem is in no line (a file that cannot be read).
    pub line: Option<usize>,
    /// Dotted path of the key, such as `jobs.application.then[0].kind`; may be empty.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Diagnostic {
    pub fn new(
        file: impl Into<PathBuf>,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { file: file.into(), line: None, key: key.into(), message: message.into() }
    }

    #[must_use]
    pub fn at_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// All problems of a load; never empty when it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
