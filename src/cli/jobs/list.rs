//! Listing jobs, and the filters that `jobs` and `jobs retry` share.

use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        client::Reply,
        exit::{Exit, Failure},
        fields, queues,
        session::{Ended, Session},
        table::Table,
        times::{self, Since},
    },
    engine::catalog::ON_CHANGE,
    types::{JobState, Timestamp},
};

/// Jobs asked for at once; the API's own limit is not lower.
const PAGE: usize = 500;

/// Which jobs.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Filter {
    /// queued, running, completed, dead or cancelled
    #[arg(long)]
    pub state: Option<JobState>,
    /// Of this kind, such as certn.applicant
    #[arg(long)]
    pub kind: Option<String>,
    /// Of this account
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// With this label
    #[arg(long)]
    pub tag: Option<String>,
    /// With this code of the last error, such as `outcome_unknown` or `connect`
    #[arg(long)]
    pub code: Option<String>,
    /// Made since then: how long ago (24h), or a time (2026-12-31T23:59:59Z)
    #[arg(long, value_name = "DURATION|TIME", value_parser = times::since)]
    pub since: Option<Since>,
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        self.query(Timestamp(0)).is_empty()
    }

    fn query(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        let state = self.state.map(|state| state.to_string());
        let since = self.since.map(|since| since.at(now).to_string());
        let (kind, account) = (self.kind.clone(), self.account.clone());
        let (tag, code) = (self.tag.clone(), self.code.clone());
        let all = [
            ("state", state),
            ("kind", kind),
            ("account", account),
            ("tag", tag),
            ("code", code),
            ("since", since),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Filter {
    /// A list may be empty because of a slip of the pen. Only asked where it is: a kind that is no
    /// longer defined may have jobs.
    pub async fn known(&self, session: &Session<'_, '_>) -> Result<(), Failure> {
        let mut slips = vec![];
        if let Some(kind) = self.kind.as_ref().filter(|kind| *kind != ON_CHANGE) {
            let known = kinds(session).await?;
            if !known.contains(kind) {
                slips.push(format!("there is no kind `{kind}`; there are: {}", known.join(", ")));
            }
        }
        if let Some(account) = &self.account {
            let known = queues::accounts(session).await?;
            if !known.contains(account) {
                let all = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                slips.push(format!("there is no account `{account}`; there is: {all}"));
            }
        }
        if slips.is_empty() { Ok(()) } else { Err(Failure::not_so(slips.join("; "))) }
    }
}

/// What can be asked for, and the renewals of credentials, which nobody asks for.
async fn kinds(session: &Session<'_, '_>) -> Result<Vec<String>, Failure> {
    let kinds = session.get(&["kinds"], &[]).await?.value()?;
    let definitions = session.get(&["definitions"], &[]).await?.value()?;
    let mut names: Vec<String> =
        fields::list(&kinds, "kinds").iter().map(|one| fields::text(one, "name")).collect();
    for one in fields::list(&definitions, "definitions") {
        let provider = fields::text(one, "provider");
        let credentials = fields::list(one, "credentials").iter().filter_map(Value::as_str);
        names.extend(credentials.map(|name| format!("{provider}.{name}")));
    }
    Ok(names)
}

/// Jobs, and whether there are more.
pub(super) struct Found {
    pub jobs: Vec<Value>,
    cursor: Option<String>,
    /// The answer itself where one was enough.
    only: Option<Reply>,
}

/// The newest `limit` jobs that the filter lets through.
pub(super) async fn find(
    session: &Session<'_, '_>,
    filter: &Filter,
    limit: usize,
) -> Result<Found, Failure> {
    let mut found = Found { jobs: vec![], cursor: None, only: None };
    let filter = filter.query(session.now());
    loop {
        let mut query = filter.clone();
        query.push(("limit", PAGE.min(limit - found.jobs.len()).to_string()));
        query.extend(found.cursor.take().map(|cursor| ("cursor", cursor)));
        let reply = session.get(&["jobs"], &query).await?;
        let value = reply.value()?;
        let page = fields::list(&value, "jobs");
        let first = found.jobs.is_empty();
        found.jobs.extend_from_slice(page);
        found.cursor = fields::at(&value, "cursor").and_then(Value::as_str).map(str::to_owned);
        if found.jobs.len() >= limit || page.is_empty() || found.cursor.is_none() {
            found.only = Some(reply).filter(|_| first);
            return Ok(found);
        }
    }
}

pub(super) async fn run(session: &mut Session<'_, '_>, filter: &Filter, limit: usize) -> Ended {
    if limit == 0 {
        return Err(Failure::usage("--limit must be at least 1"));
    }
    let found = find(session, filter, limit).await?;
    if found.jobs.is_empty() {
        filter.known(session).await?;
    }
    match (&found.only, session.json()) {
        (Some(reply), true) => session.console.raw(&reply.body)?,
        (None, true) => {
            session.console.value(&json!({"jobs": found.jobs, "cursor": found.cursor}))?;
        }
        (_, false) => {
            let text = table(&found.jobs, session.now());
            session.console.text(text)?;
            if found.cursor.is_some() {
                session.console.note(format!("There are more: use --limit (now {limit})."));
            }
        }
    }
    Ok(Exit::Done)
}

pub(super) fn table(jobs: &[Value], now: Timestamp) -> String {
    table_with(jobs, now, |_| None)
}

/// [`table`], with something to say first of some jobs.
pub(super) fn table_with(
    jobs: &[Value],
    now: Timestamp,
    first: impl Fn(&Value) -> Option<String>,
) -> String {
    let mut table = Table::new(&["ID", "STATE", "KIND", "ACCOUNT", "WHEN", "NOTE"]);
    for job in jobs {
        let remarks: Vec<String> =
            first(job).into_iter().chain([note(job, now)]).filter(|one| !one.is_empty()).collect();
        table.row([
            fields::text(job, "id"),
            fields::cell(job, "state"),
            fields::cell(job, "kind"),
            fields::cell(job, "account"),
            when(job, now),
            remarks.join("; "),
        ]);
    }
    table.render()
}

/// A job in one line: id, kind and state.
pub(super) fn line(job: &Value) -> String {
    let words = [fields::text(job, "id"), fields::text(job, "kind"), fields::text(job, "state")];
    format!("{}\n", words.join("  "))
}

/// The time that matters in this state.
fn when(job: &Value, now: Timestamp) -> String {
    let state = fields::text(job, "state").parse().ok();
    match state {
        Some(JobState::Queued) => match fields::time(job, "run_at") {
            Some(at) if at > now => times::relative(at, now),
            _ => "due".to_owned(),
        },
        Some(JobState::Running) => fields::time(job, "started_at")
            .map_or_else(|| "-".to_owned(), |at| format!("for {}", times::span(now.since(at)))),
        _ => times::cell(fields::time(job, "finished_at"), now),
    }
}

/// What holds it, what went wrong, or what was seen last.
fn note(job: &Value, now: Timestamp) -> String {
    let mut notes = vec![];
    let held = queues::hold(job, now);
    if !held.is_empty() {
        notes.push(format!("waits: {held}"));
    }
    let status = fields::text(job, "status");
    if !status.is_empty() {
        notes.push(status);
    }
    let error = fields::reason(job, "last_error.code", "last_error.message");
    if !error.is_empty() && still_matters(job) {
        let errors = fields::number(job, "errors");
        let count = if errors > 1 { format!("{errors} errors, last ") } else { String::new() };
        notes.push(format!("{count}{error}"));
    }
    notes.join("; ")
}

/// Whether a job's last error has not been made good: the API keeps it for the record.
fn still_matters(job: &Value) -> bool {
    match fields::text(job, "state").parse() {
        Ok(JobState::Completed) => false,
        Ok(JobState::Dead | JobState::Cancelled) => true,
        _ => fields::number(job, "errors") > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    #[test]
    fn a_row_tells_what_matters_in_its_state() {
        let later = NOW.plus(std::time::Duration::from_mins(5)).to_string();
        let jobs = [
            json!({"id": "1", "state": "queued", "kind": "k", "account": "a", "run_at": later,
                   "status": "ANALYZING"}),
            json!({"id": "2", "state": "queued", "kind": "k", "account": "a",
                   "run_at": NOW.to_string(), "waiting_for":
                   {"code": "budget", "until": later, "detail": "the budget of a is spent"}}),
            json!({"id": "3", "state": "dead", "kind": "k", "account": "a", "errors": 20,
                   "finished_at": NOW.to_string(),
                   "last_error": {"code": "http_503", "message": "no"}}),
        ];
        let text = table(&jobs, NOW);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ID  STATE   KIND  ACCOUNT  WHEN   NOTE");
        assert_eq!(lines[1], "1   queued  k     a        in 5m  ANALYZING");
        assert!(lines[2].ends_with("due    waits: the budget of a is spent (in 5m)"));
        assert_eq!(lines[3], "3   dead    k     a        now    20 errors, last http_503: no");
    }

    #[test]
    fn an_error_that_was_made_good_is_not_told() {
        let table = [
            ("completed", 1, ""),
            ("queued", 0, ""),
            ("running", 0, ""),
            ("queued", 1, "dns: no"),
            ("running", 2, "2 errors, last dns: no"),
            ("dead", 0, "dns: no"),
            ("cancelled", 0, "dns: no"),
        ];
        for (state, errors, told) in table {
            let job = json!({"state": state, "errors": errors,
                             "last_error": {"code": "dns", "message": "no"}});
            assert_eq!(note(&job, NOW), told, "{state} {errors}");
        }
    }

    #[test]
    fn a_filter_asks_only_for_what_was_given() {
        assert!(Filter::default().is_empty());
        let filter = Filter {
            state: Some(JobState::Dead),
            since: Some(Since::Ago(std::time::Duration::from_secs(1))),
            ..Filter::default()
        };
        let expected =
            vec![("state", "dead".to_owned()), ("since", "1970-01-01T00:00:01.000Z".to_owned())];
        assert_eq!(filter.query(Timestamp(2_000)), expected);
    }
}
