//! A credential as it is shown.

use std::time::Duration;

use serde::Serialize;

use super::cell::{Cell, rotation::Retired};
use crate::types::Timestamp;

/// A credential as an operator sees it: all but the value.
#[derive(Debug, Clone, Serialize)]
pub struct CredentialView {
    pub account: String,
    pub name: String,
    /// `fresh`, `failing` (a value is left, renewal fails), `missing`, `locked_out`.
    pub state: &'static str,
    pub generation: i64,
    pub obtained_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub renew_at: Option<Timestamp>,
    pub errors: u32,
    pub last_error: Option<LastError>,
    /// `creating` (asked for, or about to be), `verifying` (created, not yet in use); null: neither.
    pub stage: Option<&'static str>,
    /// Values out of use that may still be valid at the provider.
    pub retired: Vec<RetiredView>,
    /// Values at the provider that a create with a lost reply may have made.
    pub orphans: usize,
}

/// A value out of use, as an operator sees it.
#[derive(Debug, Clone, Serialize)]
pub struct RetiredView {
    pub generation: i64,
    pub expires_at: Option<Timestamp>,
    /// When it is to be revoked; null: it is left to expire.
    pub revoke_at: Option<Timestamp>,
    /// How often that was tried in vain.
    pub tries: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct LastError {
    pub code: String,
    pub message: Option<String>,
    pub at: Timestamp,
}

impl Cell {
    #[must_use]
    pub fn view(&self, now: Timestamp) -> CredentialView {
        let state = self.state();
        let row = state.row.as_ref();
        let errors = row.map_or(0, |row| row.errors);
        let usable = state.held(now, Duration::ZERO).is_some();
        let name = match row {
            Some(_) if state.is_locked_out() => "locked_out",
            _ if !usable => "missing",
            _ if errors > 0 => "failing",
            _ => "fresh",
        };
        CredentialView {
            account: self.account.clone(),
            name: self.name.clone(),
            state: name,
            generation: row.map_or(0, |row| row.generation),
            obtained_at: row.and_then(|row| row.sent_at),
            expires_at: row.and_then(|row| row.expires_at),
            renew_at: state
                .retry_at
                .or_else(|| row.and_then(|row| row.renew_at))
                .filter(|at| is_planned(*at)),
            errors,
            last_error: row.and_then(|row| row.error.as_ref()).map(|error| LastError {
                code: error.code.clone(),
                message: state.words.clone(),
                at: error.at,
            }),
            stage: state.rotation.stage(),
            retired: state.rotation.retired_at(now).map(retired).collect(),
            orphans: state.rotation.orphans_at(now),
        }
    }
}

fn retired(one: &Retired) -> RetiredView {
    RetiredView {
        generation: one.generation,
        expires_at: one.expires_at,
        revoke_at: one.revoke_at,
        tries: one.tries,
    }
}

/// A value that is kept until it is refused has a renewal in half a century: none.
fn is_planned(at: Timestamp) -> bool {
    const PLANNED_MS: i64 = 1000 * 60 * 60 * 24 * 365 * 80;
    at.0 < PLANNED_MS
}
