//! Sinks as they are shown.

use serde::Serialize;

use super::Hand;
use crate::{
    credentials::view::LastError,
    engine::Engine,
    policy::codes::Code,
    store::{QueueId, StoreResult},
    types::{JobId, JobState, Timestamp},
};

/// A sink as an operator sees it.
#[derive(Debug, Clone, Serialize)]
pub struct SinkView {
    pub file: String,
    /// `waiting` (there was no value yet), `written`, `failing`, `removed` (its value expired).
    pub state: &'static str,
    /// The last one that was handed over.
    pub generation: Option<i64>,
    pub at: Option<Timestamp>,
    pub last_error: Option<LastError>,
    /// The last run of its command; null where it has none.
    pub command: Option<CommandView>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CommandView {
    pub job_id: JobId,
    pub state: JobState,
    pub errors: u32,
    pub last_error: Option<String>,
}

impl Engine {
    /// The sinks of one credential.
    pub async fn sinks_of(&self, queue: QueueId, credential: &str) -> StoreResult<Vec<SinkView>> {
        let mut views = vec![];
        for hand in self.sinks.of(queue, credential) {
            views.push(self.sink_view(&hand).await?);
        }
        Ok(views)
    }

    async fn sink_view(&self, hand: &Hand) -> StoreResult<SinkView> {
        let (mut view, job) = hand.view();
        if let Some(id) = job
            && let Some(row) = self.store.job(id).await?
        {
            view.command = Some(CommandView {
                job_id: id,
                state: row.state,
                errors: row.errors,
                last_error: row.error.map(|error| error.code),
            });
        }
        Ok(view)
    }

    /// What is wrong with sinks: a code, the account, and words that say what to do.
    pub async fn sink_troubles(&self) -> Vec<(&'static str, String, String)> {
        let hands = self.sinks.lock().clone();
        let mut troubles = vec![];
        for hand in hands {
            let name = format!("{}/{}", hand.account, hand.sink().credential);
            // A store that does not answer is told as such.
            let Ok(view) = self.sink_view(&hand).await else { continue };
            if let Some(error) = view.last_error.filter(|_| view.state == "failing") {
                let words = error.message.unwrap_or_default();
                let words = format!("{name} is not handed over: {words}");
                troubles.push(("sink_failing", hand.account.clone(), words));
            }
            if let Some(command) = view.command.filter(|one| one.state == JobState::Dead) {
                let words = format!(
                    "{name}: on_change of {} was given up after {} errors: `attendant jobs show \
                     {id}` says why, `attendant jobs retry {id}` runs it again",
                    view.file,
                    command.errors,
                    id = command.job_id
                );
                troubles.push(("on_change_dead", hand.account.clone(), words));
            }
        }
        troubles
    }
}

impl Hand {
    fn view(&self) -> (SinkView, Option<JobId>) {
        let file = self.sink().file.display().to_string();
        let state = self.state();
        let row = state.row.as_ref();
        let name = match (&state.trouble, row) {
            (Some(_), _) => "failing",
            (None, _) if state.removed => "removed",
            (None, Some(_)) => "written",
            (None, None) => "waiting",
        };
        let view = SinkView {
            file,
            state: name,
            generation: row.map(|row| row.generation),
            at: row.map(|row| row.at),
            last_error: state.trouble.as_ref().map(|trouble| LastError {
                code: Code::Sink.to_string(),
                message: Some(trouble.words.clone()),
                at: trouble.at,
            }),
            command: None,
        };
        (view, row.and_then(|row| row.job))
    }
}
