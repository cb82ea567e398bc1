//! What every client command has: the daemon and the console.

use serde_json::Value;

use super::{
    client::{Client, Query, Reply, path},
    console::Console,
    exit::{Exit, Failure},
};
use crate::types::{JobId, Timestamp};

/// How a client command ends.
pub(super) type Ended = Result<Exit, Failure>;

pub(super) struct Session<'a, 'io> {
    pub client: Client,
    pub console: &'a mut Console<'io>,
}

impl Session<'_, '_> {
    pub fn now(&self) -> Timestamp {
        self.console.now()
    }

    pub fn json(&self) -> bool {
        self.console.json
    }

    pub async fn get(&self, parts: &[&str], query: &Query<'_>) -> Result<Reply, Failure> {
        self.client.get(&path(parts), query).await
    }

    pub async fn post(&self, parts: &[&str], body: &Value) -> Result<Reply, Failure> {
        self.client.post(&path(parts), body).await
    }

    pub async fn job(&self, id: JobId) -> Result<Reply, Failure> {
        self.get(&["jobs", &id.to_string()], &[]).await
    }

    /// Prints an answer: as it came with `--json`, else as text.
    pub fn show(
        &mut self,
        reply: &Reply,
        text: impl FnOnce(&Value, Timestamp) -> String,
    ) -> Result<(), Failure> {
        if self.json() {
            return self.console.raw(&reply.body);
        }
        let text = text(&reply.value()?, self.now());
        self.console.text(text)
    }

    /// Says a failure of one of several things and goes on; gives the graver of the two ends. What
    /// leaves nothing to go on with ends the command.
    pub fn tolerate(&mut self, so_far: Exit, failure: Failure) -> Result<Exit, Failure> {
        if matches!(failure, Failure::BrokenPipe) || failure.exit() == Exit::Unreachable {
            return Err(failure);
        }
        self.console.fault(&failure);
        Ok(so_far.max(failure.exit()))
    }
}
