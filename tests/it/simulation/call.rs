//! Requests on their way to the scripted providers: what they ask for, and whether they may.

use std::sync::Arc;

use async_trait::async_trait;
use attendant::{
    clock::Clock,
    outbound::{Answer, Carrier, Manner, SendError},
    policy::classify::Ambiguous,
    types::JobState,
};
use serde_json::Value;

use super::{
    provider::{Fate, wait},
    sim::{Sim, State},
};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Token,
    /// Must not be repeated.
    Order,
    Check,
    Thing,
    Report,
}

#[derive(Debug, Clone)]
pub struct Call {
    pub host: String,
    pub op: Op,
    pub reference: String,
    pub token: Option<String>,
}

impl Call {
    fn of(request: &reqwest::Request) -> Self {
        let url = request.url();
        let path: Vec<&str> = url.path().trim_matches('/').split('/').collect();
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let ordered = body["ref"].as_str().unwrap_or_default().to_owned();
        let (op, reference) = match path.as_slice() {
            ["token"] => (Op::Token, String::new()),
            ["orders"] | ["api", "v1", _, "applications", _] => (Op::Order, ordered),
            ["checks", one] | ["api", "v1", _, "applicants", one] => (Op::Check, (*one).to_owned()),
            ["api", "v2", "reports", one, _] => (Op::Report, (*one).to_owned()),
            [.., one] => (Op::Thing, (*one).to_owned()),
            [] => (Op::Thing, String::new()),
        };
        let bearer = request.headers().get("authorization").and_then(|one| one.to_str().ok());
        let token = bearer.and_then(|one| one.strip_prefix("Bearer ")).map(ToOwned::to_owned);
        let host = url.host_str().unwrap_or_default().trim_end_matches(".test").to_owned();
        Self { host, op, reference, token }
    }

    /// The kind of job that sends such a request.
    fn kind(&self) -> &'static str {
        match (self.op, self.host.as_str()) {
            (Op::Order, "certn") => "certn.application",
            (Op::Check, "certn") => "certn.applicant",
            (Op::Report, _) => "certn.report",
            (Op::Order, _) => "acme.order",
            (Op::Check, _) => "acme.check",
            _ => "acme.thing",
        }
    }

    /// A request may only be sent for a job that runs, and an order only behind its intent.
    fn check(&self, state: &mut State) {
        if self.op == Op::Token {
            return;
        }
        let about = || state.ledger.about(self.kind(), &self.reference);
        let states: Vec<JobState> = about().map(|one| one.state).collect();
        let intended = about().any(|one| one.state == JobState::Running && one.intent);
        if !states.contains(&JobState::Running) {
            let (kind, reference) = (self.kind(), &self.reference);
            state.wrong(format!("a request for {kind} {reference}, whose jobs are {states:?}"));
        } else if self.op == Op::Order && !intended {
            state.wrong(format!("order {} was sent without an intent", self.reference));
        }
    }
}

/// Carries requests to the scripted providers.
#[derive(Debug)]
pub struct Script(pub Arc<Sim>);

#[async_trait]
impl Carrier for Script {
    async fn carry(&self, request: reqwest::Request, manner: Manner) -> Result<Answer, SendError> {
        let sim = &self.0;
        let call = Call::of(&request);
        sim.point().await;
        let fate = {
            let mut state = sim.state();
            call.check(&mut state);
            let t = state.t;
            let (fate, wrong) = state.providers.handle(&call, t);
            if let Some(words) = wrong {
                state.wrong(words);
            }
            check_orders(&mut state, &call.reference);
            let unsent = matches!(&fate, Fate::Failed { error: SendError::NotSent { .. }, .. });
            state.ledger.asked(&call.reference, unsent);
            fate
        };
        sim.note(|| format!("{:?} {} {}: {}", call.op, call.host, call.reference, fate.words()));
        sim.point().await;
        let clock = Clock::Simulated(sim.clock.clone());
        let (after, ended) = match fate {
            Fate::Answered { after, answer } => (after, Ok(answer)),
            Fate::Failed { after, error } => (after, Err(error)),
            Fate::Hangs => {
                clock.sleep(manner.timeout).await;
                let words = "the simulation waited in vain".to_owned();
                (0, Err(SendError::Ambiguous { what: Ambiguous::Timeout, words }))
            }
        };
        if after > 0 {
            clock.sleep(wait(after)).await;
        }
        if call.op == Op::Token && ended.as_ref().is_ok_and(|answer| answer.status.is_success()) {
            let mut state = sim.state();
            let t = state.t;
            if let Some(one) = state.providers.all.get_mut(call.host.as_str()) {
                one.issued = Some(t - after);
            }
        }
        ended
    }
}

/// Nothing is ever carried out twice.
pub fn check_orders(state: &mut State, reference: &str) {
    let times = state.providers.order(reference).map_or(0, |order| order.times);
    if times > 1 {
        state.wrong(format!("order {reference} was carried out {times} times"));
    }
}
