//! What a running daemon cannot take on from another configuration.

use std::fmt;

use serde::Serialize;

use super::Config;

/// A key whose new value takes a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NeedsRestart {
    pub key: &'static str,
    pub message: String,
}

impl fmt::Display for NeedsRestart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl Config {
    /// What differs from `self`, with which the process was started, and will not be so until it
    /// is started again.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<NeedsRestart> {
        let parts = [
            ("database.url", self.database.url != new.database.url),
            ("database.synchronous", self.database.synchronous != new.database.synchronous),
            ("seal.key", self.seal_key != new.seal_key),
            ("engine", self.engine != new.engine),
            ("api.socket", self.api.socket != new.api.socket),
            ("api.listen", self.api.listen != new.api.listen),
            ("hooks", self.hooks != new.hooks),
            ("log", self.log != new.log),
        ];
        let told = |key| NeedsRestart {
            key,
            message: "has changed and takes a restart; until then it is as it was".to_owned(),
        };
        parts.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| told(key)).collect()
    }
}
