//! Backups while jobs run.

use std::sync::Arc;

use super::{Engine, actions::Refusal};
use crate::{
    backup::Content,
    store::StoreError,
    telemetry::events::{Event, Name, emit},
};

impl Engine {
    /// A consistent copy of everything, ready to be written, with the sealing key if that is asked
    /// for. Where whoever asked goes away it is made all the same, so that it is tidied up.
    pub async fn backup(self: &Arc<Self>, with_key: bool) -> Result<Content, Refusal> {
        let engine = Arc::clone(self);
        let done = tokio::spawn(async move { engine.copy_everything(with_key).await });
        done.await.unwrap_or(Err(Refusal::Draining))
    }

    async fn copy_everything(&self, with_key: bool) -> Result<Content, Refusal> {
        let Ok(_one) = self.backing_up.try_lock() else {
            let words = "another backup is being made: wait for its end";
            return Err(Refusal::State(words.to_owned()));
        };
        if self.vault.retiring().is_some() {
            let words = "a rekey is under way, and this backup would need two keys: make it when \
                         that is done";
            return Err(Refusal::State(words.to_owned()));
        }
        let made_at = self.clock.wall();
        // Before the copy: what is erased meanwhile is gone from the copy and not from the key.
        let key = with_key.then(|| self.vault.key_text());
        let (copy, schema) = self.store.copy().await?;
        let content = tokio::task::spawn_blocking(move || Content::of(copy, schema, key, made_at));
        match content.await {
            Ok(Ok(content)) => Ok(content),
            Ok(Err(error)) => Err(StoreError::Unavailable(error.to_string()).into()),
            Err(_) => Err(Refusal::Draining),
        }
    }

    /// A backup was written to its end.
    pub fn tell_backed_up(&self, who: &str, with_key: bool) {
        let words = if with_key { "a backup, with the sealing key" } else { "a backup" };
        let event = Event { actor: Some(who), detail: Some(words), ..Event::default() };
        emit(Name::DaemonBackedUp, &event);
    }
}
