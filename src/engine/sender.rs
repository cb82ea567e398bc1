//! One request of an attempt: credentials, intent, permit, sending, and what its end means.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Engine, budgets::Taken, catalog::Account};
use crate::{
    crash,
    credentials::cell::{Failure, Held, Unavailable},
    definition::{Auth, EvalError, Expr, Rendered, RequestTemplate, Vars},
    outbound::{Answer, Manner, SendError},
    policy::{
        backoff,
        classify::{self, Ambiguous, Asked, Ended, Verdict},
        codes::Code,
        retry_after::RetryAfter,
    },
    store::ClaimedJob,
    types::Timestamp,
};

/// How much of a provider's words is kept with an error.
const WORDS: usize = 600;

/// What an attempt sends with.
#[derive(Debug)]
pub struct Sender<'a> {
    pub engine: &'a Engine,
    pub account: &'a Arc<Account>,
    pub job: &'a ClaimedJob,
    pub stop: &'a CancellationToken,
    /// Not yet used; the claim took one.
    pub permit: Option<Taken>,
    /// Set once a never-repeat request may be out: from then on nothing stops the attempt.
    pub intent: bool,
}

/// A request to be sent, as its definition has it.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub request: &'a RequestTemplate,
    pub auth: Option<&'a Auth>,
    pub success: Option<&'a Expr>,
    pub retry_when: Option<&'a Expr>,
    pub retry_after: Option<&'a Expr>,
    pub refused_when: Option<&'a Expr>,
    pub repeat_never: bool,
    pub follow: bool,
    pub manner: Manner,
}

/// A complete answer with what the definition makes of it.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The body as JSON, where it is.
    pub response: Option<Value>,
    /// With `http`, `body` and `response`.
    pub vars: Vars,
    pub sent_at: Timestamp,
}

impl Answered {
    /// The body as a result: JSON, or text, or null where there is none.
    #[must_use]
    pub fn to_result(&self) -> Value {
        match &self.response {
            Some(value) => value.clone(),
            None if self.body.is_empty() => Value::Null,
            None => Value::String(String::from_utf8_lossy(&self.body).into_owned()),
        }
    }
}

/// Why an attempt has no answer to go on with.
#[derive(Debug)]
pub enum Stopped {
    /// The end of the request decides.
    Verdict { verdict: Verdict, words: String },
    /// A credential is missing: nothing was sent.
    Credential(Unavailable),
    /// 401 with a fresh credential, too.
    Unauthorized { words: String },
    /// Somebody asked the attempt to stop, and nothing is out.
    Asked,
    /// The claim was lost before anything was sent.
    LostClaim,
    /// No permit was left for a further request.
    Budget,
    /// The definition could not be applied to these values.
    Definition(EvalError),
    /// The store did not take the intent, so nothing was sent.
    Store(String),
}

impl From<EvalError> for Stopped {
    fn from(error: EvalError) -> Self {
        Self::Definition(error)
    }
}

impl Sender<'_> {
    /// Sends a request. A 401 drops the credential that was used, and it is sent once more with
    /// the next.
    /// `path` replaces the definition's, for a further page.
    pub async fn send(
        &mut self,
        ask: Ask<'_>,
        vars: &Vars,
        path: Option<&str>,
    ) -> Result<Answered, Stopped> {
        let mut first = true;
        loop {
            let held = self.hold(&ask).await?;
            let vars = vars.clone().credentials(held.iter().map(|(n, h)| (n.as_str(), &h.value)));
            let mut rendered = ask.request.render(&vars)?;
            if let Some(path) = path {
                rendered = Rendered { path: path.to_owned(), query: vec![], ..rendered };
            }
            if let Some(auth) = ask.auth {
                auth.apply(&vars, &mut rendered)?;
            }
            let (verdict, outcome) = self.once(ask, &rendered, &vars).await?;
            match verdict {
                Verdict::Success => {
                    self.trust(&held);
                    return outcome.map_err(|words| Stopped::Verdict { verdict, words });
                }
                Verdict::Unauthorized if !held.is_empty() => {
                    self.drop_credentials(&held).await?;
                    if !first {
                        let words = words_of(&outcome, &self.secrets(&held));
                        self.distrust(&held).await?;
                        return Err(Stopped::Unauthorized { words });
                    }
                    first = false;
                }
                verdict => {
                    let secrets = self.secrets(&held);
                    return Err(Stopped::Verdict { verdict, words: words_of(&outcome, &secrets) });
                }
            }
        }
    }

    /// The values of the credentials that a request refers to.
    async fn hold(&self, ask: &Ask<'_>) -> Result<BTreeMap<String, Held>, Stopped> {
        let own = ask.request.refs();
        let names = own
            .into_iter()
            .chain(ask.auth.into_iter().flat_map(Auth::refs))
            .filter_map(|name| name.strip_prefix("credentials."));
        let mut held = BTreeMap::new();
        for name in names {
            if held.contains_key(name) {
                continue;
            }
            let Some(cell) = self.engine.credentials.cell(self.account.queue, name) else {
                continue;
            };
            let value = tokio::select! {
                value = self.engine.obtain(&cell, std::time::Duration::ZERO) => value,
                () = self.stop.cancelled(), if !self.intent => return Err(Stopped::Asked),
            };
            held.insert(name.to_owned(), value.map_err(Stopped::Credential)?);
        }
        Ok(held)
    }

    async fn drop_credentials(&self, held: &BTreeMap<String, Held>) -> Result<(), Stopped> {
        for (name, one) in held {
            if let Some(cell) = self.engine.credentials.cell(self.account.queue, name) {
                cell.invalidate(&*self.engine.store, one.generation)
                    .await
                    .map_err(|error| Stopped::Store(error.to_string()))?;
            }
        }
        Ok(())
    }

    fn trust(&self, held: &BTreeMap<String, Held>) {
        for name in held.keys() {
            if let Some(cell) = self.engine.credentials.cell(self.account.queue, name) {
                cell.trusted();
            }
        }
    }

    /// A fresh credential was refused too. Before the next one is asked for there is a wait that
    /// grows, and nothing is sent for the account meanwhile.
    async fn distrust(&self, held: &BTreeMap<String, Held>) -> Result<(), Stopped> {
        let (engine, now) = (self.engine, self.engine.clock.wall());
        for name in held.keys() {
            let Some(cell) = engine.credentials.cell(self.account.queue, name) else { continue };
            let errors = cell.distrusted();
            let failure = Failure {
                now,
                code: Code::Unauthorized,
                words: "the provider refuses requests with a fresh credential",
                retry_at: Some(backoff::renewal_retry(now, None, errors, rand::random())),
                refused: None,
            };
            cell.fail(&*engine.store, &engine.vault, failure)
                .await
                .map_err(|error| Stopped::Store(error.to_string()))?;
        }
        Ok(())
    }

    /// Everything that must not show in words.
    fn secrets<'s>(&'s self, held: &'s BTreeMap<String, Held>) -> Vec<&'s SecretString> {
        self.account.secrets.values().chain(held.values().map(|one| &one.value)).collect()
    }

    /// One sending, and its verdict. The words of an answer that is none come as an error.
    async fn once(
        &mut self,
        ask: Ask<'_>,
        rendered: &Rendered,
        vars: &Vars,
    ) -> Result<(Verdict, Result<Answered, String>), Stopped> {
        self.permit().await?;
        if ask.repeat_never && !self.intent {
            self.record_intent().await?;
            crash::point("intended");
        }
        let sent_at = self.engine.clock.wall();
        let (engine, account) = (self.engine, self.account);
        let sending = engine.outbound.send(&account.base_url, rendered, ask.manner, || {
            engine.spend_one(&account.budget).boxed()
        });
        let sent = tokio::select! {
            sent = sending => sent,
            () = self.stop.cancelled(), if !self.intent => return Err(Stopped::Asked),
        };
        let asked = Asked {
            repeat_never: ask.repeat_never,
            follow: ask.follow,
            breaker_open: self.engine.gates.breaker_is_open(self.account.queue),
        };
        let (ended, outcome) = match sent {
            Ok(answer) => self.judge(ask, answer, vars, sent_at),
            Err(SendError::NotSent { what, words }) => (Ended::NotSent(what), Err(words)),
            Err(SendError::Ambiguous { what, words }) => (Ended::Ambiguous(what), Err(words)),
            Err(error @ SendError::TooLarge { .. }) => {
                (Ended::Ambiguous(Ambiguous::Unreadable), Err(error.to_string()))
            }
            Err(SendError::Invalid(words)) => {
                let verdict = Verdict::Dead { code: Code::Definition };
                return Ok((verdict, Err(words)));
            }
        };
        self.tell_breaker(&ended);
        Ok((classify::classify(&ended, asked), outcome))
    }

    fn judge(
        &self,
        ask: Ask<'_>,
        answer: Answer,
        vars: &Vars,
        sent_at: Timestamp,
    ) -> (Ended, Result<Answered, String>) {
        let response: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let text = String::from_utf8_lossy(&answer.body);
        let status = answer.status.as_u16();
        let vars = vars.clone().answer(status, &answer.headers, &text, response.as_ref());
        let says_json = header_text(&answer.headers, &header::CONTENT_TYPE)
            .is_some_and(|kind| kind.contains("json"));
        let mut unparsable = says_json && response.is_none() && !answer.body.is_empty();
        let mut holds = |expr: Option<&Expr>| {
            expr.map(|expr| {
                expr.test(&vars).unwrap_or_else(|_| {
                    // It names what the answer does not have: only a 2xx is expected to.
                    unparsable |= answer.status.is_success();
                    false
                })
            })
        };
        let success = holds(ask.success);
        let facts = classify::Answer {
            status,
            retry_after: self.retry_after(ask, &answer, &vars),
            success,
            retry_when: holds(ask.retry_when).unwrap_or(false),
            refused: holds(ask.refused_when).unwrap_or(false),
            unparsable,
        };
        let answered = Answered {
            status,
            headers: answer.headers,
            body: answer.body,
            response,
            vars,
            sent_at,
        };
        (Ended::Answered(facts), Ok(answered))
    }

    fn retry_after(&self, ask: Ask<'_>, answer: &Answer, vars: &Vars) -> Option<RetryAfter> {
        let now = self.engine.clock.wall();
        let date = header_text(&answer.headers, &header::DATE);
        if let Some(text) = header_text(&answer.headers, &header::RETRY_AFTER) {
            return RetryAfter::parse(text, now, date);
        }
        match ask.retry_after?.eval(vars).ok()? {
            Value::Number(seconds) => RetryAfter::from_secs(seconds.as_f64()?),
            Value::String(text) => RetryAfter::parse(&text, now, date),
            _ => None,
        }
    }

    fn tell_breaker(&self, ended: &Ended) {
        use crate::telemetry::events::{Event, Name, emit};
        let now = self.engine.clock.wall();
        let queue = self.account.queue;
        let health = classify::health(ended);
        let Some(opened) = self.engine.gates.record(queue, self.job.id, health, now) else {
            return;
        };
        let (name, detail) = if opened {
            let detail = "the provider fails: from now on one probe at a time, until it answers";
            (Name::QueueGated, detail)
        } else {
            (Name::QueueOpened, "the provider answers again")
        };
        let event =
            Event { account: Some(&self.account.name), detail: Some(detail), ..Event::default() };
        emit(name, &event);
        self.engine.wake.ready(queue);
    }

    /// The claim's permit for the first request, one of its own for each further one.
    async fn permit(&mut self) -> Result<(), Stopped> {
        if self.permit.take().is_some() {
            return Ok(());
        }
        if self.engine.spend_one(&self.account.budget).await {
            Ok(())
        } else {
            Err(Stopped::Budget)
        }
    }

    async fn record_intent(&mut self) -> Result<(), Stopped> {
        if self.stop.is_cancelled() {
            return Err(Stopped::Asked);
        }
        match self.engine.store.record_intent(self.job.seq, self.job.generation).await {
            Ok(true) => {
                self.intent = true;
                Ok(())
            }
            Ok(false) if self.stop.is_cancelled() => Err(Stopped::Asked),
            Ok(false) => Err(Stopped::LostClaim),
            Err(error) => Err(Stopped::Store(error.to_string())),
        }
    }
}

impl Engine {
    /// Takes one permit, durably; `false` where none is left or it could not be stored.
    pub(super) async fn spend_one(&self, budget: &str) -> bool {
        match self.budgets.take(budget, 1) {
            None => false,
            Some((_, rows)) if rows.is_empty() => true,
            Some((_, rows)) => self.store.save_buckets(rows).await.is_ok(),
        }
    }
}

fn header_text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The provider's words, short, and without any secret that it may have echoed.
fn words_of(outcome: &Result<Answered, String>, secrets: &[&SecretString]) -> String {
    let mut words = match outcome {
        Err(words) => words.clone(),
        Ok(answered) => {
            let body = String::from_utf8_lossy(&answered.body);
            let short: String = body.trim().chars().take(WORDS).collect();
            if short.is_empty() {
                format!("HTTP {}", answered.status)
            } else {
                format!("HTTP {}: {short}", answered.status)
            }
        }
    };
    for secret in secrets.iter().map(|secret| secret.expose_secret()) {
        // A secret of a few characters would blot out ordinary words.
        if secret.len() >= 4 {
            words = words.replace(secret, "***");
        }
    }
    words
}
