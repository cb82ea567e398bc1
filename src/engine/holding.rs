//! What an end does to others: the gates of its queue and of its kind.

use super::{
    Engine,
    catalog::{Account, KindRef},
    settling::Settling,
    shapes::{Outcome, Suspect},
};
use crate::{
    policy::{outage::Line, settle::AttemptEnd},
    telemetry::events::{Event, Name, emit},
};

impl Engine {
    /// What the store does not take holds until a restart all the same.
    pub(super) async fn save_gate(&self, account: &Account) {
        if let Err(error) = self.gates.save(&*self.store, account.queue, &account.name).await {
            self.store_works(Some(error.to_string()));
        }
    }
}

impl Settling<'_> {
    /// Shuts what the outcome says must be shut, before the job is due again.
    pub(super) async fn act_on_gates(&self, outcome: &Outcome) {
        let Some(account) = self.catalog.by_queue(self.job.queue) else { return };
        let engine = self.engine;
        if let Some((until, code)) = outcome.gate
            && engine.gates.shut(account.queue, until, code)
        {
            engine.save_gate(account).await;
            // A renewal's failure is told, and counted, as its own.
            let line = if self.is_renewal() { Line::Gate } else { Line::Wait };
            let event = Event {
                account: Some(&account.name),
                error_code: Some(&code.text()),
                next_run_at: Some(until),
                detail: Some("the provider asked to wait"),
                ..Event::default()
            };
            engine.tell_failure((account.queue, line, code), Name::QueueGated, &event);
        }
        self.act_on_suspicion(account, outcome).await;
    }

    async fn act_on_suspicion(&self, account: &Account, outcome: &Outcome) {
        let (engine, queue, kind) = (self.engine, account.queue, self.job.kind);
        let gate = match outcome.suspect {
            Some(Suspect::Surely) => Some(engine.gates.shut_kind(queue, kind, "410 Gone")),
            Some(Suspect::Maybe) => {
                engine.gates.suspect(queue, kind, self.job.id, engine.follows_in(queue))
            }
            None => {
                if matches!(outcome.end, AttemptEnd::Done | AttemptEnd::Snooze { .. }) {
                    engine.gates.trust(queue, kind);
                }
                None
            }
        };
        let Some(gate) = gate else { return };
        let detail = gate.gate.detail.clone().unwrap_or_default();
        if let Err(error) = engine.store.save_kind_gate(gate, false).await {
            engine.store_works(Some(error.to_string()));
        }
        let kind = self.catalog.kind(kind).map(KindRef::name);
        emit(
            Name::QueueGated,
            &Event {
                account: Some(&account.name),
                kind: kind.as_deref(),
                error_code: Some("provider_changed"),
                detail: Some(&detail),
                ..Event::default()
            },
        );
    }
}
