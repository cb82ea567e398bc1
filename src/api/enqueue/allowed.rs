//! What a caller may enqueue.
//!
//! The names in the request decide, before anything is looked up: whoever may use one account does
//! not learn from a refusal which others there are.

use crate::{
    api::{Api, access::Caller, problem::Problem},
    config::Right,
    engine::enqueue::JobRequest,
};

/// The most urgent priority is for operators.
const URGENT: i64 = 0;

pub(super) fn check(api: &Api, caller: &Caller, request: &JobRequest) -> Result<(), Problem> {
    let urgent = request.priority == Some(URGENT);
    if caller.grants.everywhere(Right::Enqueue)
        && (!urgent || caller.grants.everywhere(Right::Operate))
    {
        return Ok(());
    }
    let kind = request.kind.as_str();
    if !caller.grants.for_kind(Right::Enqueue, kind) {
        return Err(caller.refuse(Right::Enqueue, &format!(" for {kind}")));
    }
    let account = match &request.account {
        Some(name) => {
            caller.needs_on(Right::Enqueue, name, kind)?;
            name.clone()
        }
        None => default_account(api, caller, kind)?,
    };
    is_of_kind(api, caller, &account, kind)?;
    if urgent && !caller.grants.on(Right::Operate, &account, kind) {
        return Err(caller.refuse(Right::Operate, ", as priority 0 is for operators"));
    }
    Ok(())
}

/// The account that is meant where none is named. Others that there are stay unnamed.
fn default_account(api: &Api, caller: &Caller, kind: &str) -> Result<String, Problem> {
    let catalog = api.engine.catalog();
    let provider = catalog.registry.kind(kind).map(|(provider, _)| provider.name.clone());
    let default = provider.and_then(|name| catalog.default_account(&name).ok());
    let default = default.map(|account| account.name.clone());
    default.filter(|name| caller.grants.on(Right::Enqueue, name, kind)).ok_or_else(|| {
        let words = format!("{kind} goes to no account that you may use unless you name one");
        caller.refuse_with(&words)
    })
}

/// The engine's own words on an account that does not fit name those that do.
fn is_of_kind(api: &Api, caller: &Caller, account: &str, kind: &str) -> Result<(), Problem> {
    let catalog = api.engine.catalog();
    let Some((provider, _)) = catalog.registry.kind(kind) else { return Ok(()) };
    let found = catalog.account(account).map(|one| one.provider.name.as_str());
    if found == Some(provider.name.as_str()) || caller.grants.everywhere(Right::Enqueue) {
        return Ok(());
    }
    Err(Problem::field("account", format!("`{account}` is not an account of {}", provider.name)))
}
