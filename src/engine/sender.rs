//! One request of an attempt: credentials, intent, permit, sending, and what its end means.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::{
    Engine,
    answer::{self, Answered, words_of},
    budgets::Taken,
    catalog::Account,
    gates::Turned,
    holds::{RENEWALS, class_of},
    shapes::exchange::Trouble,
};
use crate::{
    crash,
    credentials::cell::{Cell, Held, Unavailable},
    definition::{Auth, DEFAULT_MAX_BODY, EvalError, Expr, Rendered, RequestTemplate, Vars},
    outbound::{Manner, SendError},
    policy::{
        backoff,
        budget::Class,
        classify::{self, Ambiguous, Asked, Ended, Health, Verdict},
        codes::Code,
    },
    store::{ClaimedJob, StoreResult},
    telemetry::metrics::status_label,
};

/// How long an attempt waits for a permit for a further request before it is given up.
const PERMIT_WAIT: Duration = Duration::from_mins(2);
const SHORT: Duration = Duration::from_millis(10);

/// What an attempt sends with.
#[derive(Debug)]
pub struct Sender<'a> {
    pub engine: &'a Engine,
    pub account: &'a Arc<Account>,
    pub job: &'a ClaimedJob,
    pub stop: &'a CancellationToken,
    /// Not yet used; the claim took one.
    pub permit: Option<Taken>,
    /// Set while a never-repeat request may be out: then nothing stops the attempt, and whatever
    /// becomes of it, the request is not repeated.
    pub intent: &'a AtomicBool,
    /// Whether anything was sent.
    pub sent: bool,
    /// Values of secret arguments: they must not show in words.
    pub secret_args: Vec<SecretString>,
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
    pub maybe_refused_when: Option<&'a Expr>,
    /// What `status` takes from an answer, for `success` to see.
    pub status: Option<&'a Expr>,
    /// The answer holds a credential or other secrets: its body is not for people's eyes.
    pub secret_answer: bool,
    /// The body of a success is a file: it is neither parsed nor made into text.
    pub raw: bool,
    pub repeat_never: bool,
    /// The caller has recorded an intent of its own, and finds out itself what became of a request
    /// that must not be repeated: the job needs no intent, and may be stopped.
    pub own_intent: bool,
    pub follow: bool,
    pub manner: Manner,
}

impl<'a> Ask<'a> {
    /// A request about a credential of an account. What is particular to one is put over it.
    pub fn for_credential(
        account: &Account,
        request: &'a RequestTemplate,
        auth: Option<&'a Auth>,
        timeout: Duration,
    ) -> Self {
        Self {
            request,
            auth,
            success: None,
            retry_when: None,
            retry_after: None,
            refused_when: None,
            maybe_refused_when: None,
            status: None,
            secret_answer: true,
            raw: false,
            repeat_never: false,
            own_intent: false,
            follow: false,
            manner: Manner {
                timeout,
                max_body: DEFAULT_MAX_BODY,
                basic: account.provider.basic_encoding,
                fresh_connection: false,
            },
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
    /// A renewal needs another credential first, which is on its way: nothing was sent.
    Waits(String),
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
                    self.trust(&held, ask.request.place()).await;
                    return outcome
                        .map(|answered| answered.without(|| self.secrets(&held)))
                        .map_err(|words| Stopped::Verdict { verdict, words });
                }
                Verdict::Unauthorized if !held.is_empty() => {
                    self.withdraw_intent().await?;
                    let struck = self.drop_credentials(&held, ask.request.place()).await?;
                    if struck || !first {
                        let words = words_of(&outcome, &ask, &self.secrets(&held));
                        return Err(Stopped::Unauthorized { words });
                    }
                    first = false;
                }
                verdict => {
                    let secrets = self.secrets(&held);
                    return Err(Stopped::Verdict {
                        verdict,
                        words: words_of(&outcome, &ask, &secrets),
                    });
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
            let value = if self.job.priority == RENEWALS {
                self.in_hand(&cell).await?
            } else {
                self.wait_for(&cell).await?
            };
            held.insert(name.to_owned(), value);
        }
        Ok(held)
    }

    async fn wait_for(&self, cell: &Cell) -> Result<Held, Stopped> {
        let value = tokio::select! {
            biased;
            value = self.engine.obtain(cell, Duration::ZERO) => value,
            () = self.stop.cancelled(), if !self.is_out() => return Err(Stopped::Asked),
        };
        value.map_err(Stopped::Credential)
    }

    /// A renewal does not wait for another: it would hold a slot that the other may need. It is
    /// woken when that one has come.
    async fn in_hand(&self, cell: &Cell) -> Result<Held, Stopped> {
        let (engine, now) = (self.engine, self.engine.clock.wall());
        if let Some(held) = cell.held(now, Duration::ZERO) {
            return Ok(held);
        }
        if let Some(trouble) = cell.trouble(now) {
            return Err(Stopped::Credential(trouble));
        }
        cell.hasten(cell.generation());
        match engine.wake_renewal(cell.queue, &cell.name).await {
            Ok(_) => Err(Stopped::Waits(format!("waits for {}", cell.name))),
            Err(error) => Err(Stopped::Store(error.to_string())),
        }
    }

    /// Drops the values that a request was refused with. Where the value before was refused by the
    /// same request, without a success since, the credential is distrusted; whether that is so.
    /// Of several that were refused with one value, one counts.
    async fn drop_credentials(
        &self,
        held: &BTreeMap<String, Held>,
        path: &str,
    ) -> Result<bool, Stopped> {
        let mut struck = false;
        for (name, one) in held {
            let Some(cell) = self.engine.credentials.cell(self.account.queue, name) else {
                continue;
            };
            let stored = self.drop_one(&cell, one, path).await;
            struck |= stored.map_err(|error| Stopped::Store(error.to_string()))?;
        }
        Ok(struck)
    }

    async fn drop_one(&self, cell: &Cell, held: &Held, path: &str) -> StoreResult<bool> {
        let (store, vault) = (&*self.engine.store, &self.engine.vault);
        let dropped = cell.invalidate(store, vault, held.generation).await?;
        if !dropped || cell.refused_by(path) < 2 {
            return Ok(false);
        }
        self.distrust(cell, held).await?;
        Ok(true)
    }

    /// The guard knows it in memory; that the store does not take it is no reason to lose the answer.
    async fn trust(&self, held: &BTreeMap<String, Held>, path: &str) {
        for (name, one) in held {
            let cell = self.engine.credentials.cell(self.account.queue, name);
            if cell.is_some_and(|cell| cell.served_by(path))
                && let Err(error) = self.engine.trust(self.account, name, one).await
            {
                self.engine.store_works(Some(error.to_string()));
            }
        }
    }

    /// A fresh credential was refused too. Before the next one is asked for there is a wait that
    /// grows, and nothing is sent with it meanwhile.
    async fn distrust(&self, cell: &Cell, held: &Held) -> StoreResult<()> {
        let (engine, now) = (self.engine, self.engine.clock.wall());
        let (errors, exhausted) = engine.distrust(self.account, &cell.name, held).await?;
        let words = "the provider refuses requests with a fresh credential";
        let trouble = Trouble::new(Engine::refusal_code(exhausted), words);
        let retry_at = backoff::renewal_retry(now, None, errors, engine.chance());
        engine.note_failure(self.account, cell, &trouble, retry_at).await
    }

    /// Everything that must not show in words: all that this account has, and what was sent.
    fn secrets(&self, held: &BTreeMap<String, Held>) -> Vec<SecretString> {
        let (engine, queue) = (self.engine, self.account.queue);
        let sent = held.values().map(|one| &one.value);
        let known = self.account.secrets.values().chain(sent).chain(&self.secret_args);
        let kept = engine.credentials.of(queue).into_iter().flat_map(|cell| cell.all_secrets());
        known.cloned().chain(engine.changes.values(queue)).chain(kept).collect()
    }

    /// One sending, and its verdict. The words of an answer that is none come as an error.
    async fn once(
        &mut self,
        ask: Ask<'_>,
        rendered: &Rendered,
        vars: &Vars,
    ) -> Result<(Verdict, Result<Answered, String>), Stopped> {
        self.permit().await?;
        if ask.repeat_never && !ask.own_intent && !self.is_out() {
            self.record_intent().await?;
            crash::point("intended");
        }
        if self.stop.is_cancelled() && !self.is_out() {
            return Err(Stopped::Asked);
        }
        let sent_at = self.engine.clock.wall();
        self.sent = true;
        let (engine, account) = (self.engine, self.account);
        let class = class_of(self.job.priority);
        let again = async || {
            if self.stop.is_cancelled() {
                // What could not be sent so far is not sent any more.
                return Err("it was to stop");
            }
            let spent = engine.spend_one(&account.budget, class).await.unwrap_or(false);
            if spent { Ok(()) } else { Err("no budget is left for another try") }
        };
        let sending =
            engine.outbound.send(&account.base_url, rendered, ask.manner, || again().boxed());
        // An answer that is there is worth more than having stopped.
        let sent = tokio::select! {
            biased;
            sent = sending => sent,
            () = self.stop.cancelled(), if !self.is_out() => return Err(Stopped::Asked),
        };
        let asked = Asked {
            repeat_never: ask.repeat_never,
            follow: ask.follow,
            breaker_open: self.engine.gates.breaker_is_open(self.account.queue),
        };
        crash::point("answered");
        let (ended, outcome) = match sent {
            Ok(answer) => {
                let times = (sent_at, engine.clock.wall());
                if let Some(told) = answer::date(&answer, times.1) {
                    engine.hear_date(&account.name, told);
                }
                let (facts, answered) = answer::judge(ask, answer, vars, times);
                (Ended::Answered(facts), Ok(answered))
            }
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
        let status = match &ended {
            Ended::Answered(facts) => status_label(facts.status),
            Ended::NotSent(_) => "not_sent",
            Ended::Ambiguous(_) => "no_answer",
        };
        engine.metrics.request(account.queue, status);
        self.tell_breaker(&ended).await;
        Ok((classify::classify(&ended, asked), outcome))
    }

    async fn tell_breaker(&self, ended: &Ended) {
        let now = self.engine.clock.wall();
        let queue = self.account.queue;
        let health = classify::health(ended);
        if health == Health::Up {
            self.engine.outages.answered(queue, now);
        }
        let Some(turned) = self.engine.gates.record(queue, self.job.id, health, now) else {
            return;
        };
        // Kept so that a restart does not begin with everybody's tries; without it, it would.
        self.engine.save_gate(self.account).await;
        if turned == Turned::Prolonged {
            return;
        }
        self.engine.tell_breaker(queue, &self.account.name, turned == Turned::Opened);
        self.engine.wake.ready(queue);
    }

    /// The claim's permit for the first request, one of its own for each further one. A permit
    /// that was not used in its time is spent; one that is not there is waited for, if not long.
    async fn permit(&mut self) -> Result<(), Stopped> {
        let (engine, budget) = (self.engine, &self.account.budget);
        let class = class_of(self.job.priority);
        if self.permit.take().is_some_and(|one| engine.clock.now().boot_ms < one.until_ms) {
            return Ok(());
        }
        while !self.spend(class).await? {
            let now = engine.clock.wall();
            let wait = engine.budgets.next_free(budget, class).map_or(SHORT, |at| at.since(now));
            if wait > PERMIT_WAIT || engine.is_draining() {
                return Err(Stopped::Budget);
            }
            tokio::select! {
                biased;
                () = engine.clock.sleep(wait.max(SHORT)) => {}
                () = self.stop.cancelled(), if !self.is_out() => return Err(Stopped::Asked),
            }
        }
        Ok(())
    }

    async fn spend(&self, class: Class) -> Result<bool, Stopped> {
        let spent = self.engine.spend_one(&self.account.budget, class).await;
        spent.map_err(|error| Stopped::Store(error.to_string()))
    }

    fn is_out(&self) -> bool {
        self.intent.load(Ordering::Acquire)
    }

    /// A 401 was not carried out: the attempt may be stopped again, until it sends anew.
    async fn withdraw_intent(&mut self) -> Result<(), Stopped> {
        if !self.is_out() {
            return Ok(());
        }
        match self.engine.store.withdraw_intent(self.job.seq, self.job.generation).await {
            Ok(true) => {
                self.intent.store(false, Ordering::Release);
                Ok(())
            }
            Ok(false) => Err(Stopped::LostClaim),
            Err(error) => Err(Stopped::Store(error.to_string())),
        }
    }

    async fn record_intent(&mut self) -> Result<(), Stopped> {
        if self.stop.is_cancelled() {
            return Err(Stopped::Asked);
        }
        match self.engine.store.record_intent(self.job.seq, self.job.generation).await {
            Ok(true) => {
                self.intent.store(true, Ordering::Release);
                Ok(())
            }
            Ok(false) if self.stop.is_cancelled() => Err(Stopped::Asked),
            Ok(false) => Err(Stopped::LostClaim),
            Err(error) => Err(Stopped::Store(error.to_string())),
        }
    }
}

impl Engine {
    /// Takes one permit, durably; `false` where none is left. While the store takes nothing, a
    /// renewal's is counted in memory until it does: a credential must not lapse for that.
    pub(super) async fn spend_one(&self, budget: &str, class: Class) -> StoreResult<bool> {
        if self.budgets.allowance(budget, class) == 0 {
            return Ok(false);
        }
        let Some((taken, rows)) = self.budgets.take(budget, 1) else { return Ok(false) };
        if rows.is_empty() {
            return Ok(true);
        }
        let Err(error) = self.store.save_buckets(rows).await else { return Ok(true) };
        // Also marks its bucket as not yet stored.
        self.budgets.give_back(budget, taken, 1);
        if class != Class::Renewal || self.store_trouble().is_none() {
            return Err(error);
        }
        Ok(self.budgets.take_unsaved(budget))
    }
}
