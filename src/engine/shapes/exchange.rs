//! `exchange`: obtains a credential and comes back when it is to be renewed. Never ends.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use secrecy::SecretString;
use serde_json::Value;

use super::Outcome;
use crate::{
    crash,
    credentials::cell::{Cell, Failure, Obtained},
    definition::{Asked, DEFAULT_MAX_BODY, Exchange, Expr, Lifetime, Need, Source, Vars, Way},
    engine::{
        answer::Answered,
        catalog::Account,
        sender::{Ask, Sender, Stopped},
    },
    outbound::Manner,
    policy::{
        backoff,
        classify::Verdict,
        codes::Code,
        renewal::{self, Life},
        settle::{AttemptEnd, Retry},
    },
    store::StoreError,
    telemetry::events::{Event, Name, emit},
    types::Timestamp,
};

/// A value of unknown life is looked at again so often; a 401 renews it at any time.
const UNKNOWN_LIFE: Duration = Duration::from_hours(24);

/// One renewal of one credential.
#[derive(Debug)]
pub struct Renewal<'a> {
    pub sender: Sender<'a>,
    pub account: &'a Arc<Account>,
    pub cell: &'a Cell,
    pub exchange: &'a Exchange,
    pub timeout: Duration,
}

/// Why there is no new value.
struct Trouble {
    code: Code,
    words: String,
    refused: bool,
    /// Do not try before.
    not_before: Option<Timestamp>,
    /// Ask the whole account to wait.
    gate: bool,
}

impl Renewal<'_> {
    pub async fn attempt(&mut self) -> Outcome {
        let engine = self.sender.engine;
        if let Some(held) = self.still_fresh() {
            return Outcome::of(AttemptEnd::Snooze { at: held });
        }
        if self.cell.locked_out(&self.account.fingerprint) {
            // Nothing is sent; the secrets must change, or a person must ask.
            let at = engine.clock.wall().plus(UNKNOWN_LIFE);
            return failed(Code::Lockout, "the login was refused before", Some(at));
        }
        let outcome = match self.obtain().await {
            Ok(obtained) => {
                crash::point("exchanged");
                self.keep(obtained).await
            }
            Err(Stopped::Asked | Stopped::LostClaim) => return Outcome::of(AttemptEnd::Released),
            Err(stopped) => self.give_up(trouble(stopped, engine.clock.wall())).await,
        };
        outcome.unwrap_or_else(|error| failed(Code::Internal, &error.to_string(), None))
    }

    /// When to come back, if the value in hand needs no renewal yet (the job was woken early).
    fn still_fresh(&self) -> Option<Timestamp> {
        let now = self.sender.engine.clock.wall();
        let view = self.cell.view(now);
        let renew_at = view.renew_at?;
        (view.state == "fresh" && view.errors == 0 && now < renew_at).then_some(renew_at)
    }

    /// Tries the first way whose needs are there.
    async fn obtain(&mut self) -> Result<Obtained, Stopped> {
        let refresh = self.cell.refresh_token();
        let Some(way) = self.exchange.ways.iter().find(|way| self.has_all(way, refresh.is_some()))
        else {
            let verdict = Verdict::Dead { code: Code::Definition };
            let words = "none of its secrets is configured".to_owned();
            return Err(Stopped::Verdict { verdict, words });
        };
        let mut vars = self.account.vars();
        if let Some(token) = &refresh {
            vars = vars.refresh_token(token);
        }
        match &way.source {
            Source::Given(template) => {
                let value = template.render(&vars)?;
                let now = self.sender.engine.clock.wall();
                Ok(dated(value.into(), None, now, &way.lifetime, &vars))
            }
            Source::Asked(asked) => self.ask(asked, &way.lifetime, &vars).await,
        }
    }

    fn has_all(&self, way: &Way, refresh: bool) -> bool {
        let now = self.sender.engine.clock.wall();
        way.needs.iter().all(|need| match need {
            Need::Secret(name) => self.account.secrets.contains_key(name),
            Need::RefreshToken => refresh,
            Need::Credential(name) => self
                .sender
                .engine
                .credentials
                .cell(self.account.queue, name)
                .is_some_and(|cell| cell.trouble(now).is_none()),
        })
    }

    async fn ask(
        &mut self,
        asked: &Asked,
        lifetime: &Lifetime,
        vars: &Vars,
    ) -> Result<Obtained, Stopped> {
        let ask = Ask {
            request: &asked.request,
            auth: asked.auth.as_ref(),
            success: asked.success.as_ref(),
            retry_when: None,
            retry_after: None,
            refused_when: asked.refused_when.as_ref(),
            status: None,
            secret_answer: true,
            raw: false,
            repeat_never: false,
            follow: false,
            manner: Manner {
                timeout: self.timeout,
                max_body: DEFAULT_MAX_BODY,
                basic: self.account.provider.basic_encoding,
                fresh_connection: false,
            },
        };
        let answered = self.sender.send(ask, vars, None).await?;
        let value = secret(&answered, &asked.value)?;
        let refresh = match &asked.refresh_token {
            Some(expr) => match expr.eval(&answered.vars)? {
                // Not every answer brings a new one; the old one stays good then.
                Value::Null => self.cell.refresh_token(),
                _ => Some(secret(&answered, expr)?),
            },
            None => None,
        };
        Ok(dated(value, refresh, answered.sent_at, lifetime, &answered.vars))
    }

    async fn keep(&self, mut obtained: Obtained) -> Result<Outcome, StoreError> {
        let engine = self.sender.engine;
        let life =
            obtained.expires_at.map(|expires_at| Life { sent_at: obtained.sent_at, expires_at });
        let now = engine.clock.wall();
        let renew_at =
            life.map_or_else(|| now.plus(UNKNOWN_LIFE), |life| life.renew_at(rand::random()));
        if life.is_some_and(|life| life.usable_until() <= now) {
            // Asking again at once would bring another of the same.
            let words = "the value that came has expired already: is a clock wrong?".to_owned();
            let trouble = Trouble {
                code: Code::Unsuccessful,
                words,
                refused: false,
                not_before: Some(renew_at.max(now.plus(Duration::from_secs(30)))),
                gate: false,
            };
            return self.give_up(trouble).await;
        }
        obtained.renew_at = Some(renew_at);
        let generation = self.cell.put(&*engine.store, &engine.vault, obtained).await?;
        emit(
            Name::CredentialObtained,
            &Event {
                account: Some(&self.account.name),
                credential: Some(&self.cell.name),
                generation: Some(crate::types::Generation(generation)),
                next_run_at: Some(renew_at),
                ..Event::default()
            },
        );
        engine.handed_over(self.cell);
        // Whoever waited for it may go on.
        engine.wake.ready(self.account.queue);
        Ok(Outcome::of(AttemptEnd::Snooze { at: renew_at }))
    }

    async fn give_up(&self, trouble: Trouble) -> Result<Outcome, StoreError> {
        let engine = self.sender.engine;
        let now = engine.clock.wall();
        let errors = self.cell.errors().saturating_add(1);
        let retry_at = backoff::renewal_retry(now, self.cell.life(), errors, rand::random());
        let retry_at = trouble.not_before.map_or(retry_at, |at| at.max(retry_at));
        let failure = Failure {
            now,
            code: trouble.code,
            words: &trouble.words,
            retry_at: Some(retry_at),
            refused: trouble.refused.then_some(self.account.fingerprint),
        };
        self.cell.fail(&*engine.store, &engine.vault, failure).await?;
        self.tell(&trouble, retry_at);
        // Jobs that need it are claimed again when it is next tried.
        engine.wake.ready(self.account.queue);
        let mut outcome = failed(trouble.code, &trouble.words, Some(retry_at));
        if trouble.gate {
            outcome.gate = Some((retry_at, trouble.code));
        }
        Ok(outcome)
    }

    fn tell(&self, trouble: &Trouble, retry_at: Timestamp) {
        let code = trouble.code.text();
        let locked = self.cell.locked_out(&self.account.fingerprint);
        let name = if locked { Name::CredentialLockedOut } else { Name::CredentialRenewalFailed };
        let detail = if locked {
            "the login was refused: change the secrets and reload, or `attendant credentials renew`"
        } else {
            &trouble.words
        };
        emit(
            name,
            &Event {
                account: Some(&self.account.name),
                credential: Some(&self.cell.name),
                error_code: Some(&code),
                next_run_at: (!locked).then_some(retry_at),
                detail: Some(detail),
                ..Event::default()
            },
        );
    }
}

fn failed(code: Code, words: &str, at: Option<Timestamp>) -> Outcome {
    Outcome {
        words: Some(words.to_owned()),
        ..Outcome::of(AttemptEnd::Failed { code, retry: Retry::Yes { counts_error: true }, at })
    }
}

fn trouble(stopped: Stopped, now: Timestamp) -> Trouble {
    let plain =
        |code, words| Trouble { code, words, refused: false, not_before: None, gate: false };
    match stopped {
        Stopped::Verdict { verdict: Verdict::Refused, words } => {
            Trouble { refused: true, ..plain(Code::LoginRefused, words) }
        }
        // A 401 to a login that the definition has no words for is a refused login too.
        Stopped::Verdict { verdict: Verdict::Unauthorized, words }
        | Stopped::Unauthorized { words } => {
            Trouble { refused: true, ..plain(Code::Unauthorized, words) }
        }
        Stopped::Verdict { verdict: Verdict::Gate { wait, code }, words } => {
            Trouble { not_before: Some(now.plus(wait.wait())), gate: true, ..plain(code, words) }
        }
        Stopped::Verdict { verdict, words } => plain(code_of(verdict), words),
        Stopped::Credential(other) => {
            Trouble { not_before: other.retry_at, ..plain(other.code, other.detail) }
        }
        Stopped::Budget => plain(Code::RateLimited, "the budget is spent".to_owned()),
        Stopped::Definition(error) => plain(Code::Definition, error.to_string()),
        Stopped::Store(words) => plain(Code::Internal, words),
        Stopped::Asked | Stopped::LostClaim => plain(Code::Cancelled, String::new()),
    }
}

fn code_of(verdict: Verdict) -> Code {
    match verdict {
        Verdict::Retry { code, .. }
        | Verdict::RetryFew { code }
        | Verdict::Suspect { code }
        | Verdict::Gate { code, .. }
        | Verdict::ProviderChanged { code }
        | Verdict::Dead { code }
        | Verdict::OutcomeUnknown { code } => code,
        Verdict::Unauthorized => Code::Unauthorized,
        Verdict::Refused => Code::LoginRefused,
        Verdict::Success => Code::Internal,
    }
}

/// A text that an answer must have.
fn secret(answered: &Answered, expr: &Expr) -> Result<SecretString, Stopped> {
    match expr.eval_defined(&answered.vars)? {
        Value::String(text) if !text.trim().is_empty() => Ok(text.trim().to_owned().into()),
        _ => Err(Stopped::Verdict {
            verdict: Verdict::RetryFew { code: Code::Unparsable },
            words: format!("`{}` is not a text in the answer", expr.text()),
        }),
    }
}

/// The first rule that yields an expiry counts.
fn dated(
    value: SecretString,
    refresh_token: Option<SecretString>,
    sent_at: Timestamp,
    lifetime: &Lifetime,
    vars: &Vars,
) -> Obtained {
    let expires_at = expiry(&value, sent_at, lifetime, vars);
    Obtained { value, refresh_token, sent_at, expires_at, renew_at: None }
}

fn expiry(
    value: &SecretString,
    sent_at: Timestamp,
    lifetime: &Lifetime,
    vars: &Vars,
) -> Option<Timestamp> {
    use secrecy::ExposeSecret as _;
    let eval = |expr: &Option<Expr>| expr.as_ref().and_then(|expr| expr.eval(vars).ok());
    let seconds = eval(&lifetime.expires_in).and_then(|value| number(&value));
    let at = eval(&lifetime.expires_at).and_then(|value| match &value {
        Value::String(text) => text.parse().ok().or_else(|| number(&value).and_then(from_epoch)),
        other => number(other).and_then(from_epoch),
    });
    let rules: BTreeMap<u8, Option<renewal::Lifetime<'_>>> = BTreeMap::from([
        (0, seconds.map(renewal::Lifetime::ExpiresIn)),
        (1, at.map(renewal::Lifetime::At)),
        (2, lifetime.jwt_exp.then(|| renewal::Lifetime::JwtExp(value.expose_secret()))),
        (3, lifetime.ttl.map(renewal::Lifetime::Ttl)),
    ]);
    rules.into_values().flatten().find_map(|rule| renewal::expiry(sent_at, rule))
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[allow(clippy::cast_possible_truncation)] // `as` saturates
fn from_epoch(seconds: f64) -> Option<Timestamp> {
    (seconds > 0.0).then_some(Timestamp((seconds * 1_000.0) as i64))
}
