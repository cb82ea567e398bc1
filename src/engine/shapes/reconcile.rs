//! What became of a never-repeat request, asked of the provider's side before a person is.

use serde_json::Value;

use super::{Outcome, Run, stopped};
use crate::{
    definition::Reconcile,
    engine::sender::{Ask, Stopped},
    policy::settle::AttemptEnd,
};

/// One asking. Found: the job goes on as if that had been the answer. Not found: it may still
/// be on its way, so it is asked for a few times, and never sent again.
pub async fn attempt(run: &mut Run<'_>, reconcile: &Reconcile) -> Outcome {
    let vars = run.vars.clone();
    let ask = Ask {
        request: &reconcile.request,
        success: None,
        retry_when: None,
        status: None,
        repeat_never: false,
        ..run.ask()
    };
    let answered = match run.sender.send(ask, &vars, None).await {
        Ok(answered) => answered,
        Err(end) => return stopped(run, end),
    };
    match reconcile.found.eval(&answered.vars) {
        Err(error) => stopped(run, Stopped::Definition(error)),
        Ok(Value::Null) => {
            let words = "its answer was lost, and the provider's side shows nothing of it";
            Outcome { words: Some(words.to_owned()), ..Outcome::of(AttemptEnd::NotFound) }
        }
        Ok(found) => {
            let text = found.to_string();
            let vars = run.vars.clone().answer(200, &http::HeaderMap::new(), &text, Some(&found));
            let status = run.kind.status.as_ref().map(|status| {
                let value = status.eval(&vars).ok()?;
                value.as_str().map(ToOwned::to_owned)
            });
            Outcome {
                result: Some(found),
                vars: Some(vars),
                status,
                ..Outcome::of(AttemptEnd::Done)
            }
        }
    }
}
