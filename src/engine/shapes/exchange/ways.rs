//! The ways to come by a value, tried in their order.
//!
//! A way that is refused gives way to the next. An outage does not: the next would meet it too.
//! What was refused is remembered before anything else is tried: a login by the lockout guard, a
//! refresh token or another credential by being dropped.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{DOUBT, Renewal, Trouble, expiry, trouble};
use crate::{
    credentials::{
        cell::{Obtained, Origin},
        changes::Secrets,
    },
    definition::{Asked, Expr, Need, Source, Vars, Way},
    engine::{
        answer::Answered,
        sender::{Ask, Stopped},
    },
    policy::{classify::Verdict, codes::Code, lockout::Strike},
    store::{Hash16, StoreError},
    types::Timestamp,
};

/// Why no way brought a value.
#[derive(Debug)]
pub(super) enum Unobtained {
    For(Trouble),
    /// Another credential has to come first.
    Waits(String),
    /// Somebody asked the attempt to stop.
    Released,
    Store(StoreError),
}

impl From<StoreError> for Unobtained {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What keeps a way from being gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    Now,
    /// A credential that it needs has to come first.
    Later,
    Never,
}

/// How a way ended that brought nothing.
enum Failed {
    /// The next one may do better.
    Next(Trouble),
    End(Unobtained),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::End(error.into())
    }
}

impl Renewal<'_> {
    pub(super) async fn obtain(&mut self) -> Result<Obtained, Unobtained> {
        let exchange = self.exchange;
        let mut last: Option<Trouble> = None;
        let mut doubtful: Option<&Way> = None;
        for way in &exchange.ways {
            if self.ready(way) != Ready::Now {
                continue;
            }
            match self.go(way).await {
                Ok(mut obtained) => {
                    if let Some(way) = doubtful {
                        // The provider works, so it was the way that did not.
                        let old = self.cell.refresh_token();
                        self.drop_what_was_used(way).await?;
                        obtained.refresh_token = obtained.refresh_token.filter(|new| {
                            old.is_none_or(|old| old.expose_secret() != new.expose_secret())
                        });
                    }
                    return Ok(obtained);
                }
                Err(Failed::Next(trouble)) => {
                    let masked = matches!(trouble.code, Code::Http(_));
                    if masked && self.login(way, None).is_none() {
                        doubtful = Some(way);
                    }
                    if last.is_none() || trouble.code != Code::Lockout {
                        last = Some(trouble);
                    }
                }
                Err(Failed::End(end)) => return Err(end),
            }
        }
        match last {
            Some(trouble) => Err(Unobtained::For(self.locked(trouble))),
            None => Err(self.nothing_ready().await?),
        }
    }

    /// Where all that is left is locked, that is what is wrong.
    fn locked(&self, trouble: Trouble) -> Trouble {
        if self.sender.engine.all_locked(self.account, &self.cell.name) {
            return Trouble { code: Code::Lockout, ..trouble };
        }
        trouble
    }

    /// No way can be gone now: one may be once another credential has come.
    async fn nothing_ready(&self) -> Result<Unobtained, StoreError> {
        let engine = self.sender.engine;
        let later = self.exchange.ways.iter().find(|way| self.ready(way) == Ready::Later);
        let Some(way) = later else {
            let mut troubles = self.exchange.ways.iter().flat_map(|way| self.troubles(way));
            let words = "none of its secrets is configured";
            let trouble = troubles.next().unwrap_or_else(|| Trouble::new(Code::Definition, words));
            return Ok(Unobtained::For(trouble));
        };
        let mut names = vec![];
        for name in credentials_of(way).filter(|name| !self.in_hand(name)) {
            engine.wake_renewal(self.account.queue, name).await?;
            names.push(name);
        }
        Ok(Unobtained::Waits(format!("waits for {}", names.join(" and "))))
    }

    fn ready(&self, way: &Way) -> Ready {
        let engine = self.sender.engine;
        let now = engine.clock.wall();
        let mut ready = Ready::Now;
        for need in &way.needs {
            let there = match need {
                Need::Secret(name) => self.account.secrets.contains_key(name),
                Need::RefreshToken => self.cell.refresh_token().is_some(),
                Need::Credential(name) if self.in_hand(name) => true,
                Need::Credential(name) => {
                    ready = Ready::Later;
                    let cell = engine.credentials.cell(self.account.queue, name);
                    cell.is_some_and(|cell| cell.trouble(now).is_none())
                }
            };
            if !there {
                return Ready::Never;
            }
        }
        ready
    }

    fn in_hand(&self, name: &str) -> bool {
        let engine = self.sender.engine;
        let cell = engine.credentials.cell(self.account.queue, name);
        cell.is_some_and(|cell| cell.held(engine.clock.wall(), std::time::Duration::ZERO).is_some())
    }

    /// What is wrong with the credentials that a way needs.
    fn troubles(&self, way: &Way) -> Vec<Trouble> {
        let engine = self.sender.engine;
        let now = engine.clock.wall();
        credentials_of(way)
            .filter_map(|name| engine.credentials.cell(self.account.queue, name)?.trouble(now))
            .map(|other| trouble(Stopped::Credential(other), now))
            .collect()
    }

    /// The login that a way goes with: none where it needs another credential or a refresh token,
    /// which are dropped when they are refused.
    fn login(&self, way: &Way, secrets: Option<&Secrets>) -> Option<Hash16> {
        let by_secrets = way.needs.iter().all(|need| matches!(need, Need::Secret(_)));
        by_secrets.then(|| self.sender.engine.login_of(self.account, way, secrets))
    }

    async fn go(&mut self, way: &Way) -> Result<Obtained, Failed> {
        let engine = self.sender.engine;
        let login = self.login(way, None);
        let turn = login.map(|login| engine.guard.enter(login));
        if let Some(None) = turn {
            let words = "another account tries the same login".to_owned();
            return Err(Failed::End(Unobtained::Waits(words)));
        }
        if login.is_some_and(|login| engine.guard.is_locked(&login)) {
            let words = "the provider refused its login before";
            return Err(Failed::Next(Trouble::new(Code::Lockout, words)));
        }
        match self.request(way, None).await {
            Ok(obtained) => self.arrived(way, login, obtained).await,
            Err(stopped) => self.judge(way, login, stopped).await,
        }
    }

    async fn arrived(
        &self,
        way: &Way,
        login: Option<Hash16>,
        mut obtained: Obtained,
    ) -> Result<Obtained, Failed> {
        let engine = self.sender.engine;
        obtained.origin.login = login;
        obtained.origin.given = matches!(way.source, Source::Given(_));
        if let Some(login) = login.filter(|_| !obtained.origin.given) {
            // Where the store does not take that, it holds too much against the login, and the value
            // that came is worth more.
            let _ = engine.guard.logged_in(&*engine.store, login, engine.clock.wall()).await;
        }
        Ok(obtained)
    }

    /// What a way that brought nothing came to.
    async fn judge(
        &mut self,
        way: &Way,
        login: Option<Hash16>,
        stopped: Stopped,
    ) -> Result<Obtained, Failed> {
        let engine = self.sender.engine;
        let now = engine.clock.wall();
        let strike = match &stopped {
            Stopped::Asked | Stopped::LostClaim => return Err(Failed::End(Unobtained::Released)),
            Stopped::Verdict { verdict: Verdict::Refused | Verdict::Unauthorized, .. }
            | Stopped::Unauthorized { .. } => Strike::Refused,
            Stopped::Verdict { verdict: Verdict::MaybeRefused { .. }, .. } => Strike::Doubtful,
            Stopped::Credential(_) | Stopped::Waits(_) => {
                return Err(Failed::Next(trouble(stopped, now)));
            }
            _ => return Err(Failed::End(Unobtained::For(trouble(stopped, now)))),
        };
        let Some(login) = login else {
            if strike == Strike::Refused {
                self.drop_what_was_used(way).await?;
            }
            return Err(Failed::Next(trouble(stopped, now)));
        };
        if let Some(obtained) = self.with_changed_secrets(way).await? {
            return Ok(obtained);
        }
        let tries = engine.guard.strike(&*engine.store, login, strike, now).await?;
        let mut trouble = trouble(stopped, now);
        if strike == Strike::Doubtful {
            // It may be an outage: the few tries are spread over most of a minute.
            let wait = DOUBT.saturating_mul(1 << tries.doubts.saturating_sub(1).min(4));
            trouble.not_before = Some(now.plus(wait));
        }
        Err(Failed::Next(trouble))
    }

    /// A job may have changed a secret of this way, without anybody knowing: if the new one works,
    /// it is known.
    async fn with_changed_secrets(&mut self, way: &Way) -> Result<Option<Obtained>, Failed> {
        let engine = self.sender.engine;
        let names: Vec<&str> = way.secrets().collect();
        let Some(secrets) = engine.changes.tentative(self.account.owner(), &names) else {
            return Ok(None);
        };
        let login = self.login(way, Some(&secrets));
        if login.is_some_and(|login| engine.guard.is_locked(&login)) {
            return Ok(None);
        }
        match self.request(way, Some(&secrets)).await {
            Ok(obtained) => {
                for name in names {
                    engine.confirm_secret(self.account, name).await?;
                }
                self.arrived(way, login, obtained).await.map(Some)
            }
            Err(Stopped::Asked | Stopped::LostClaim) => Err(Failed::End(Unobtained::Released)),
            Err(Stopped::Verdict {
                verdict:
                    verdict @ (Verdict::Refused | Verdict::Unauthorized | Verdict::MaybeRefused { .. }),
                ..
            }) => {
                let doubtful = matches!(verdict, Verdict::MaybeRefused { .. });
                let strike = if doubtful { Strike::Doubtful } else { Strike::Refused };
                if let Some(login) = login {
                    let now = engine.clock.wall();
                    engine.guard.strike(&*engine.store, login, strike, now).await?;
                }
                Ok(None)
            }
            Err(stopped) => {
                let trouble = trouble(stopped, engine.clock.wall());
                Err(Failed::End(Unobtained::For(trouble)))
            }
        }
    }

    /// A refused refresh token, or the credentials that a refused way was gone with.
    async fn drop_what_was_used(&self, way: &Way) -> Result<(), StoreError> {
        let engine = self.sender.engine;
        if way.needs.contains(&Need::RefreshToken) {
            self.cell.drop_refresh_token(&*engine.store, &engine.vault).await?;
        }
        for name in credentials_of(way) {
            if let Some(cell) = engine.credentials.cell(self.account.queue, name) {
                cell.invalidate(&*engine.store, &engine.vault, cell.generation()).await?;
                engine.wake_renewal(self.account.queue, name).await?;
            }
        }
        Ok(())
    }

    async fn request(&mut self, way: &Way, secrets: Option<&Secrets>) -> Result<Obtained, Stopped> {
        let engine = self.sender.engine;
        let mut vars = engine.vars(self.account);
        if let Some(secrets) = secrets {
            vars = vars.secrets(secrets.iter().map(|(name, value)| (name.as_str(), value)));
        }
        if let Some(token) = &self.cell.refresh_token() {
            vars = vars.refresh_token(token);
        }
        match &way.source {
            Source::Given(template) => {
                let value = template.render(&vars)?;
                let now = engine.clock.wall();
                Ok(dated(value.into(), None, now, way, &vars))
            }
            Source::Asked(asked) => self.ask(asked, way, &vars).await,
        }
    }

    async fn ask(&mut self, asked: &Asked, way: &Way, vars: &Vars) -> Result<Obtained, Stopped> {
        let (request, auth) = (&asked.request, asked.auth.as_ref());
        let ask = Ask {
            success: asked.success.as_ref(),
            retry_after: asked.retry_after.as_ref(),
            refused_when: asked.refused_when.as_ref(),
            maybe_refused_when: asked.maybe_refused_when.as_ref(),
            ..Ask::for_credential(self.account, request, auth, self.timeout)
        };
        let answered = self.sender.send(ask, vars, None).await?;
        let value = secret(&answered, &asked.value)?;
        let refresh = match &asked.refresh_token {
            Some(expr) => match expr.eval(&answered.vars)? {
                // Not every answer brings a new one; the old one stays good then.
                Value::Null => self.cell.refresh_token(),
                _ => Some(secret(&answered, expr)?),
            },
            None => self.cell.refresh_token(),
        };
        Ok(dated(value, refresh, answered.sent_at, way, &answered.vars))
    }
}

fn credentials_of(way: &Way) -> impl Iterator<Item = &str> {
    way.needs.iter().filter_map(|need| match need {
        Need::Credential(name) => Some(name.as_str()),
        _ => None,
    })
}

/// A text that an answer must have.
pub(in crate::engine) fn secret(answered: &Answered, expr: &Expr) -> Result<SecretString, Stopped> {
    match expr.eval_defined(&answered.vars)? {
        Value::String(text) if !text.trim().is_empty() => Ok(text.trim().to_owned().into()),
        _ => Err(Stopped::Verdict {
            verdict: Verdict::RetryFew { code: Code::Unparsable },
            words: format!("`{}` is not a text in the answer", expr.text()),
        }),
    }
}

fn dated(
    value: SecretString,
    refresh_token: Option<SecretString>,
    sent_at: Timestamp,
    way: &Way,
    vars: &Vars,
) -> Obtained {
    let (expires_at, relative) = expiry(&value, sent_at, &way.lifetime, vars);
    let origin = Origin { relative, ..Origin::default() };
    Obtained { value, refresh_token, origin, sent_at, expires_at, renew_at: None }
}
