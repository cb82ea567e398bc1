//! The jobs that come of a completed one, by its kind's `then`.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value};

use super::{
    Engine,
    catalog::{Account, Catalog},
    enqueue::Build,
};
use crate::{
    credentials::vault::Payload,
    definition::{FieldProblem, Kind, Shape, Vars},
    policy::cadence::{self, PollState},
    store::{Hash16, NewJob, Parentage},
    types::Timestamp,
};

/// The jobs that a completed one enqueues.
pub(super) struct Children<'a> {
    pub(super) engine: &'a Engine,
    pub(super) catalog: &'a Catalog,
    pub(super) account: &'a Arc<Account>,
    pub(super) salt: &'a Hash16,
    pub(super) family: Parentage,
    pub(super) now: Timestamp,
}

impl Children<'_> {
    /// For the job's own arguments, and for those of later requests for the same.
    pub(super) fn of(
        &self,
        kind: &Kind,
        vars: &Vars,
        payload: &Payload,
        actor: i64,
    ) -> Result<Vec<NewJob>, String> {
        let mut seen = BTreeSet::new();
        let mut children = vec![];
        for args in std::iter::once(&payload.args).chain(&payload.more) {
            let vars = vars.clone().args(args);
            for then in &kind.then {
                let wanted = match &then.when {
                    Some(when) => when.test(&vars).map_err(|error| error.to_string())?,
                    None => true,
                };
                if !wanted {
                    continue;
                }
                let mut given = Map::new();
                for (name, expr) in &then.args {
                    given.insert(name.clone(), expr.eval(&vars).map_err(|e| e.to_string())?);
                }
                if seen.insert((then.kind.clone(), Value::Object(given.clone()).to_string())) {
                    children.push(self.child(&then.kind, given, actor)?);
                }
            }
        }
        Ok(children)
    }

    fn child(&self, kind: &str, given: Map<String, Value>, actor: i64) -> Result<NewJob, String> {
        let (provider, kind) =
            self.catalog.registry.kind(kind).ok_or_else(|| format!("no kind {kind}"))?;
        let kind_id = self.catalog.kind_id(&kind.name).ok_or("a kind without a number")?;
        let args = kind.args.validate(&Value::Object(given)).map_err(|problems| {
            let of = |one: &FieldProblem| format!("{}: {}", one.field, one.message);
            format!("{}: {}", kind.name, problems.iter().map(of).collect::<Vec<_>>().join("; "))
        })?;
        let account = if provider.name == self.account.provider.name {
            self.account
        } else {
            self.catalog.default_account(&provider.name)?
        };
        let build = Build {
            kind,
            kind_id,
            account,
            vault: &self.engine.vault,
            actor,
            now: self.now,
            salt: self.salt,
            family: Some(self.family),
        };
        let run_at = match &kind.shape {
            Shape::Follow { every, .. } => {
                let state = PollState {
                    polls: 0,
                    live_follows: 1,
                    min_interval: every.unwrap_or(cadence::MIN_INTERVAL),
                };
                cadence::next_poll(self.now, &state, &account.limits, self.engine.chance())
            }
            _ => self.now,
        };
        Ok(build.row(&Payload { args, ..Payload::default() }, run_at))
    }
}
