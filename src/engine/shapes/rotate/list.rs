//! The provider's list of values: what it shows, and what a create with a lost reply made of it.

use secrecy::SecretString;
use serde_json::Value;

use super::{
    super::{
        exchange::{Trouble, expiry, time},
        revoke::Halt,
    },
    Rotating,
};
use crate::{
    credentials::cell::{
        Cell,
        rotation::{Candidate, Intent, Orphan},
    },
    definition::{Expr, TokenList, Vars},
    engine::sender::Stopped,
    policy::{
        classify::Verdict,
        codes::Code,
        rotation::{
            self,
            reconcile::{self, Doubt, Entry},
        },
    },
    telemetry::events::{Event, Name, emit},
    types::Timestamp,
};

/// One entry of the provider's list.
pub(super) struct Listed {
    pub(super) value: SecretString,
    pub(super) entry: Entry,
}

impl Rotating<'_> {
    /// Looks in the list for what a create with a lost reply made.
    pub(super) async fn reconcile(&mut self, now: Timestamp) -> Result<(), Halt> {
        let (Some(list), Some(intent)) = (&self.rotate.list, self.cell.rotation().intent) else {
            return Ok(());
        };
        let listed = match self.list(list).await {
            Ok(listed) => listed,
            Err(stopped) => return self.stop(stopped).await,
        };
        let found = self.newcomers(&listed, &intent, now);
        let Some((newest, others)) = found.split_first() else {
            let now = self.sender.engine.clock.wall();
            let facts = self.cell.facts(now, true, false);
            let again_at = rotation::create_again_at(now, intent.last_sent, &facts);
            if again_at <= now {
                return self.create(now).await;
            }
            let words = "nobody knows whether a value was created; the list does not show one yet";
            let trouble = Trouble::new(Code::OutcomeUnknown, words);
            return self.give_up(Trouble { not_before: Some(again_at), ..trouble }).await;
        };
        let newest = &listed[*newest];
        let sent_at = newest.entry.created_at.map_or(intent.at, |at| at.max(intent.at)).min(now);
        let told = newest.entry.expires_at.map(|at| (Some(at), false));
        let (expires_at, relative) = told.unwrap_or_else(|| self.guessed_expiry(newest, sent_at));
        let candidate = Candidate {
            value: newest.value.clone(),
            sent_at,
            expires_at,
            relative,
            unsure: !others.is_empty(),
            verify_failures: 0,
        };
        let orphans: Vec<Orphan> =
            others.iter().map(|at| orphan(&listed[*at].entry, now)).collect();
        self.tell_orphans(orphans.len());
        self.keep(candidate, now, orphans, found.len()).await
    }

    /// The expiry of a value of which the list tells none: by the definition's rules that need no
    /// answer, else as long as the one before it.
    fn guessed_expiry(&self, listed: &Listed, sent_at: Timestamp) -> (Option<Timestamp>, bool) {
        let vars = self.sender.engine.vars(self.account);
        match expiry(&listed.value, sent_at, &self.rotate.lifetime, &vars) {
            (None, _) => (self.cell.life().map(|life| sent_at.plus(life.length())), true),
            told => told,
        }
    }

    /// Records new entries that creates in doubt may have made and that are not used.
    pub(super) async fn note_orphans(&self, listed: &[Listed], now: Timestamp) -> Result<(), Halt> {
        let rotation = self.cell.rotation();
        let Some(doubt) = &rotation.doubt else { return Ok(()) };
        let found = self.newcomers(listed, doubt, now);
        if found.is_empty() {
            return Ok(());
        }
        let orphans: Vec<Orphan> = found.iter().map(|at| orphan(&listed[*at].entry, now)).collect();
        self.tell_orphans(orphans.len());
        self.record(now, move |rotation| rotation.orphans.extend(orphans)).await
    }

    fn newcomers(&self, listed: &[Listed], intent: &Intent, now: Timestamp) -> Vec<usize> {
        let entries: Vec<Entry> = listed.iter().map(|one| one.entry).collect();
        let ours = self.cell.marks(&self.sender.engine.vault);
        let Some(known) = &intent.known else { return vec![] };
        let (first_sent, last_sent) = (intent.at, intent.last_sent);
        let doubt = Doubt { first_sent, last_sent, known };
        reconcile::newcomers(&entries, &ours, doubt, now)
    }

    fn tell_orphans(&self, count: usize) {
        if count == 0 {
            return;
        }
        let detail = format!(
            "{count} value(s) in the provider's list may come of a create whose reply was lost; \
             they are left to expire, for somebody else may have made them"
        );
        let event = Event { detail: Some(&detail), ..self.event() };
        emit(Name::CredentialOrphaned, &event);
    }

    pub(super) async fn list(&mut self, list: &TokenList) -> Result<Vec<Listed>, Stopped> {
        let answered = self.send(self.ask(&list.request)).await?;
        let entries = list.entries(&answered.vars).map_err(|error| unlike(&error.to_string()))?;
        entries.iter().map(|item| self.listed(list, &answered.vars.clone().item(item))).collect()
    }

    fn listed(&self, list: &TokenList, vars: &Vars) -> Result<Listed, Stopped> {
        let value = list.value.eval(vars).map_err(|error| unlike(&error.to_string()))?;
        let value = match value {
            Value::String(text) if !text.trim().is_empty() => text.trim().to_owned(),
            _ => return Err(unlike(&format!("`{}` is not a text in it", list.value.text()))),
        };
        let when = |expr: &Option<Expr>| time(&expr.as_ref()?.eval(vars).ok()?);
        let value = SecretString::from(value);
        let entry = Entry {
            mark: Cell::mark(&self.sender.engine.vault, &value),
            created_at: when(&list.created_at),
            expires_at: when(&list.expires_at),
        };
        Ok(Listed { value, entry })
    }
}

fn orphan(entry: &Entry, now: Timestamp) -> Orphan {
    Orphan { mark: entry.mark, seen_at: now, expires_at: entry.expires_at }
}

/// The list is not what the definition expects.
fn unlike(words: &str) -> Stopped {
    let verdict = Verdict::RetryFew { code: Code::Unparsable };
    Stopped::Verdict { verdict, words: format!("the list of values: {words}") }
}
