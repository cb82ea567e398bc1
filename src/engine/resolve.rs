//! A person's word on a job whose outcome nobody knew.

use serde_json::Value;

use super::{Engine, actions::Refusal, children::Children};
use crate::{
    credentials::vault::{self, Part},
    definition::FieldProblem,
    store::{JobRow, Parentage, Settlement},
    types::{JobState, Timestamp},
};

impl Engine {
    /// Ends a dead job as completed with what the provider's side shows, and goes on with its
    /// chain.
    pub(super) async fn settle_resolved(
        &self,
        row: &JobRow,
        response: &Value,
    ) -> Result<(), Refusal> {
        let (catalog, now) = (self.catalog(), self.clock.wall());
        let erased = || Refusal::State(format!("the data of job {} was erased", row.id));
        let salt = row.salt.ok_or_else(erased)?;
        let payload = self.payload(row).ok_or_else(erased)?;
        let account = catalog.account(&row.account).ok_or_else(|| {
            Refusal::State(format!("account `{}` is not configured", row.account))
        })?;
        let Some((_, kind)) = catalog.registry.kind(&row.kind) else {
            return Err(Refusal::State(format!("no definition has the kind {}", row.kind)));
        };
        let vars = self.vars(account).args(&payload.args).answer(
            200,
            &http::HeaderMap::new(),
            &response.to_string(),
            Some(response),
        );
        let family = Parentage { parent: row.seq, root: row.root };
        let children =
            Children { engine: self, catalog: &catalog, account, salt: &salt, family, now }
                .of(kind, &vars, &payload, self.actor)
                .map_err(|trouble| {
                    Refusal::Invalid(vec![FieldProblem {
                        field: "happened".to_owned(),
                        message: format!(
                            "is not the response that {} would have had: {trouble}",
                            row.kind
                        ),
                    }])
                })?;
        let chain = self.vault.chain(&salt);
        let settlement = Settlement {
            from: JobState::Dead,
            state: JobState::Completed,
            result: Some(vault::seal_json(&chain, row.id, Part::Result, response)),
            children,
            ..unchanged(row, now)
        };
        if self.store.settle(vec![settlement]).await?.first() != Some(&true) {
            return Err(Refusal::State(format!("job {} changed meanwhile", row.id)));
        }
        self.wake.ready(row.queue);
        self.wake.due(now);
        Ok(())
    }
}

/// A settlement that changes nothing yet.
fn unchanged(row: &JobRow, now: Timestamp) -> Settlement {
    Settlement {
        seq: row.seq,
        generation: row.generation,
        from: row.state,
        args_rev: None,
        now,
        state: row.state,
        run_at: row.run_at,
        ready: false,
        attempt: row.attempt,
        errors: row.errors,
        polls: row.polls,
        deadline: row.deadline,
        error: None,
        result: None,
        history: None,
        observation: None,
        artifact: None,
        children: vec![],
    }
}
