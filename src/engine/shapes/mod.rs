//! The shapes: what one attempt of a kind does, and when it has come to its end.

pub mod call;
pub mod download;
pub mod exchange;
pub mod follow;
pub mod reconcile;
pub mod revoke;
pub mod rotate;

use std::{fmt, sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    catalog::Account,
    sender::{Ask, Sender, Stopped},
};
use crate::{
    credentials::vault::Payload,
    definition::{Kind, Provider, Repeat, Shape, Vars},
    outbound::Manner,
    policy::{
        classify::Verdict,
        codes::Code,
        settle::{AttemptEnd, Retry, end_of},
    },
    types::Timestamp,
};

/// How often a job looks whether a person has mended the credential that it needs.
const PERSON: Duration = Duration::from_mins(1);

/// A file that an attempt brought.
pub struct File {
    pub name: String,
    pub content_type: String,
    pub bytes: bytes::Bytes,
}

/// What an attempt came to.
pub struct Outcome {
    pub end: AttemptEnd,
    /// For people, without secrets; sealed before it is stored.
    pub words: Option<String>,
    pub result: Option<Value>,
    /// The status that was observed; the inner `None`: there was none.
    pub status: Option<Option<String>>,
    pub file: Option<File>,
    /// With the answer, for `then`.
    pub vars: Option<Vars>,
    /// Shut the account's queue until then.
    pub gate: Option<(Timestamp, Code)>,
    /// The provider seems to have changed.
    pub suspect: Option<Suspect>,
}

/// Without its contents.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("File");
        shown.field("name", &self.name).field("content_type", &self.content_type);
        shown.field("bytes", &self.bytes.len()).finish()
    }
}

/// How it ended, without what was answered.
impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Outcome");
        shown.field("end", &self.end).field("file", &self.file).field("gate", &self.gate);
        shown.field("suspect", &self.suspect).finish_non_exhaustive()
    }
}

/// How sure it is that a provider has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspect {
    /// One follow was refused; several convict.
    Maybe,
    Surely,
}

impl Outcome {
    #[must_use]
    pub fn of(end: AttemptEnd) -> Self {
        Self {
            end,
            words: None,
            result: None,
            status: None,
            file: None,
            vars: None,
            gate: None,
            suspect: None,
        }
    }

    #[must_use]
    pub fn failed(code: Code, retry: Retry, words: impl Into<String>) -> Self {
        let words = Some(words.into());
        Self { words, ..Self::of(AttemptEnd::Failed { code, retry, at: None }) }
    }

    /// The same, but run again at this time at the latest.
    #[must_use]
    pub fn not_after(mut self, latest: Option<Timestamp>) -> Self {
        let sooner = |at: Timestamp| latest.map_or(at, |latest| at.min(latest));
        match &mut self.end {
            AttemptEnd::Snooze { at } | AttemptEnd::Failed { at: Some(at), .. } => {
                *at = sooner(*at);
            }
            _ => {}
        }
        self
    }

    /// A never-repeat request was answered in a way that cannot be gone on with: a person's case.
    #[must_use]
    pub fn unknown(words: impl Into<String>) -> Self {
        Self { words: Some(words.into()), ..Self::of(AttemptEnd::OutcomeUnknown) }
    }
}

/// One attempt's surroundings.
#[derive(Debug)]
pub struct Run<'a> {
    pub sender: Sender<'a>,
    pub account: &'a Arc<Account>,
    pub kind: &'a Kind,
    pub payload: &'a Payload,
    /// The variables of its request.
    pub vars: Vars,
    pub now: Timestamp,
}

impl<'a> Run<'a> {
    /// Runs the attempt of a job kind.
    pub async fn attempt(&mut self) -> Outcome {
        if self.sender.job.intent {
            return self.after_a_lost_answer().await;
        }
        match &self.kind.shape {
            Shape::Call { pages } => call::attempt(self, pages.as_ref()).await,
            Shape::Download { artifact } => download::attempt(self, artifact).await,
            Shape::Follow { until, every, .. } => follow::attempt(self, until, *every).await,
        }
    }

    /// It was sent, and nobody knows what became of it.
    async fn after_a_lost_answer(&mut self) -> Outcome {
        match &self.kind.reconcile {
            Some(reconcile) => reconcile::attempt(self, reconcile).await,
            None => Outcome::unknown("its definition does not say any more how to find out"),
        }
    }

    fn ask(&self) -> Ask<'a> {
        let kind = self.kind;
        Ask {
            request: &kind.request,
            auth: kind.auth.as_ref(),
            success: kind.success.as_ref(),
            retry_when: kind.retry_when.as_ref(),
            retry_after: kind.retry_after.as_ref(),
            refused_when: None,
            maybe_refused_when: None,
            status: kind.status.as_ref(),
            secret_answer: kind.secret_result,
            raw: matches!(kind.shape, Shape::Download { .. }),
            repeat_never: kind.repeat == Repeat::Never,
            own_intent: false,
            follow: matches!(kind.shape, Shape::Follow { .. }),
            manner: manner(&self.account.provider, kind),
        }
    }
}

fn manner(provider: &Provider, kind: &Kind) -> Manner {
    Manner {
        timeout: kind.timeout,
        max_body: kind.max_body,
        basic: provider.basic_encoding,
        fresh_connection: kind.repeat == Repeat::Never,
    }
}

/// What a request without a usable answer makes of its attempt.
pub(super) fn stopped(run: &Run<'_>, stopped: Stopped) -> Outcome {
    let now = run.sender.engine.clock.wall();
    match stopped {
        Stopped::Asked | Stopped::LostClaim => Outcome::of(AttemptEnd::Released),
        Stopped::Verdict { verdict, words } => of_verdict(run, verdict, words, now),
        Stopped::Credential(trouble) => {
            // Never at once: what waits for a person would be asked for without end.
            let soon = now.plus(Duration::from_secs(5));
            let until = trouble.retry_at.unwrap_or(now.plus(PERSON)).max(soon);
            Outcome {
                words: Some(trouble.detail),
                ..Outcome::of(AttemptEnd::Gated { code: trouble.code, until })
            }
        }
        Stopped::Waits(words) => exchange::waits(words, now),
        Stopped::Unauthorized { words } => {
            Outcome::failed(Code::Unauthorized, Retry::Yes { counts_error: true }, words)
        }
        Stopped::Budget => {
            let until = run
                .sender
                .engine
                .budgets
                .next_free(&run.account.budget, super::holds::class_of(run.sender.job.priority))
                .unwrap_or(now);
            if run.sender.sent {
                // More pages than the budget ever allows must come to an end.
                let retry = Retry::Yes { counts_error: true };
                let end = AttemptEnd::Failed { code: Code::RateLimited, retry, at: Some(until) };
                let words = "the budget does not allow all requests of one attempt".to_owned();
                return Outcome { words: Some(words), ..Outcome::of(end) };
            }
            Outcome::of(AttemptEnd::Gated { code: Code::RateLimited, until })
        }
        Stopped::Definition(error) => {
            Outcome::failed(Code::Definition, Retry::Never, error.to_string())
        }
        Stopped::Store(words) => {
            let retry = Retry::Yes { counts_error: false };
            Outcome::failed(Code::Internal, retry, words)
        }
    }
}

fn of_verdict(run: &Run<'_>, verdict: Verdict, words: String, now: Timestamp) -> Outcome {
    let words = Some(words);
    let end = end_of(verdict, now).unwrap_or_else(|| match verdict {
        Verdict::Suspect { code } => {
            AttemptEnd::Failed { code, retry: Retry::Few, at: Some(follow::next_poll(run, now)) }
        }
        // A 401 of a request that carries no credential: nothing to renew.
        Verdict::Unauthorized => {
            AttemptEnd::Failed { code: Code::Unauthorized, retry: Retry::Never, at: None }
        }
        _ => AttemptEnd::Failed { code: Code::LoginRefused, retry: Retry::Never, at: None },
    });
    let mut outcome = Outcome { words, ..Outcome::of(end) };
    match verdict {
        Verdict::Gate { wait, code } => outcome.gate = Some((now.plus(wait.wait()), code)),
        Verdict::ProviderChanged { .. } => outcome.suspect = Some(Suspect::Surely),
        Verdict::Suspect { .. } => outcome.suspect = Some(Suspect::Maybe),
        _ => {}
    }
    outcome
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_attempt_brought_is_not_shown() {
        let args = json!({ "pass": "s3cret" }).as_object().cloned().unwrap_or_default();
        let payload = Payload { args: args.clone(), key: Some("s3cret".into()), more: vec![args] };
        let outcome = Outcome {
            words: Some("s3cret".to_owned()),
            result: Some(json!("s3cret")),
            status: Some(Some("s3cret".to_owned())),
            file: Some(File {
                name: "report.pdf".to_owned(),
                content_type: "application/pdf".to_owned(),
                bytes: "s3cret".into(),
            }),
            vars: Some(Vars::new().params(&payload.args)),
            ..Outcome::of(AttemptEnd::Done)
        };
        let shown = format!("{payload:?} {outcome:?} {outcome:#?}");
        assert!(shown.contains("pass") && shown.contains("report.pdf"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
