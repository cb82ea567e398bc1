//! Requests for jobs: stored, or answered with what was stored before.

use super::{
    Engine,
    actions::{Refusal, Submitted},
    enqueue::{self, JobRequest, Prepared},
};
use crate::{
    credentials::vault::{self, Part},
    store::{ActorId, Enqueued, NewJob, StoreError},
    telemetry::events::{Event, Name, emit},
    types::JobId,
};

impl Engine {
    /// Stores jobs; one outcome each, in order. Durable when it returns. A daemon that stops takes
    /// them too, for the next one.
    pub async fn submit(
        &self,
        requests: Vec<JobRequest>,
        actor: ActorId,
        who: &str,
    ) -> Result<Vec<Result<Submitted, Refusal>>, StoreError> {
        if let Some(refusal) = self.store_trouble().and_then(|trouble| trouble.refusal()) {
            return Err(refusal);
        }
        let (catalog, now) = (self.catalog(), self.clock.wall());
        let mut outcomes: Vec<Option<Result<Submitted, Refusal>>> = vec![];
        let mut prepared = vec![];
        for request in requests {
            match enqueue::prepare(request, &catalog, &self.vault, actor, now) {
                Ok(one) => {
                    prepared.push((outcomes.len(), one));
                    outcomes.push(None);
                }
                Err(problems) => outcomes.push(Some(Err(Refusal::Invalid(problems)))),
            }
        }
        // The sealed arguments go to the store; nobody here reads them again.
        let rows: Vec<NewJob> = prepared
            .iter_mut()
            .map(|(_, one)| {
                let args = std::mem::take(&mut one.row.args);
                NewJob { args, ..one.row.clone() }
            })
            .collect();
        let stored = self.store.enqueue(rows).await?;
        for ((at, one), stored) in prepared.into_iter().zip(stored) {
            outcomes[at] = Some(self.submitted(one, stored, who).await?);
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    async fn submitted(
        &self,
        prepared: Prepared,
        stored: Enqueued,
        who: &str,
    ) -> Result<Result<Submitted, Refusal>, StoreError> {
        match stored {
            Enqueued::New => {
                self.announce(&prepared, who);
                Ok(Ok(Submitted::New(Box::new(prepared))))
            }
            Enqueued::SameKey { id, same_request: false } => Ok(Err(Refusal::KeyReused { id })),
            Enqueued::SameKey { id, same_request: true } => {
                Ok(Ok(match self.store.job(id).await? {
                    Some(row) => Submitted::Existing(Box::new(row)),
                    None => Submitted::Pruned(id),
                }))
            }
            Enqueued::Live { id } => self.join_live(prepared, id, who).await,
        }
    }

    fn announce(&self, prepared: &Prepared, who: &str) {
        let row = &prepared.row;
        emit(
            Name::JobEnqueued,
            &Event {
                job_id: Some(row.id),
                kind: Some(&prepared.kind.name),
                account: Some(&prepared.account.name),
                next_run_at: Some(row.run_at),
                actor: Some(who),
                ..Event::default()
            },
        );
        // Only now, so that its story begins with this line.
        if row.ready {
            self.wake.ready(row.queue);
        } else {
            self.wake.due(row.run_at);
        }
    }

    /// A request for what is followed already: the live job takes on what it asks for more.
    async fn join_live(
        &self,
        prepared: Prepared,
        id: JobId,
        who: &str,
    ) -> Result<Result<Submitted, Refusal>, StoreError> {
        loop {
            let Some(row) = self.store.job(id).await? else { break };
            let Some(mut payload) = self.payload(&row) else { break };
            if row.state.has_ended() {
                break;
            }
            if !enqueue::asks_for_more(&payload, &prepared.payload.args) {
                return Ok(Ok(Submitted::Existing(Box::new(row))));
            }
            payload.more.push(prepared.payload.args.clone());
            let Some(salt) = row.salt else { break };
            let sealed = vault::seal_json(&self.vault.chain(&salt), id, Part::Args, &payload);
            if self.store.replace_args(row.seq, row.args_rev, sealed).await? {
                return Ok(Ok(Submitted::Existing(Box::new(row))));
            }
        }
        // It ended meanwhile, so there is no live one any more: this becomes one. Its key, if it
        // had one, belongs to the one that has just ended.
        let mut prepared = prepared;
        prepared.row.key = None;
        let mut again = prepared.row.clone();
        if let Some(salt) = &again.salt {
            let chain = self.vault.chain(salt);
            again.args = vault::seal_json(&chain, again.id, Part::Args, &prepared.payload);
        }
        let stored = self.store.enqueue(vec![again]).await?;
        if let Some(Enqueued::Live { id } | Enqueued::SameKey { id, .. }) = stored.first() {
            return Ok(match self.store.job(*id).await? {
                Some(row) => Ok(Submitted::Existing(Box::new(row))),
                None => Err(Refusal::UnknownJob(*id)),
            });
        }
        self.announce(&prepared, who);
        Ok(Ok(Submitted::New(Box::new(prepared))))
    }
}
