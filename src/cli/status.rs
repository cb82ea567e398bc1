//! `attendant status`: one screen, made of several answers.

use serde::Serialize;
use serde_json::Value;

use super::{
    exit::{Exit, Failure},
    fields,
    session::{Ended, Session},
    table::Table,
    times,
};
use crate::types::Timestamp;

/// Things to come that are shown.
const NEXT: usize = 5;

/// What the daemon answered.
#[derive(Debug, Default)]
struct Answers {
    ready: Value,
    queues: Value,
    credentials: Value,
    schedules: Value,
    /// Jobs of which nobody knows the outcome.
    unknown: Value,
    /// Jobs that died in the last day.
    dead: Value,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Concern {
    code: String,
    subject: String,
    detail: String,
    /// It does not mend itself.
    needs_person: bool,
    /// A command that helps; may be empty.
    advice: String,
}

/// Something that will happen by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Next {
    at: Timestamp,
    what: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Report {
    ready: bool,
    needs_person: bool,
    concerns: Vec<Concern>,
    running: u64,
    due: u64,
    waiting: u64,
    next: Vec<Next>,
}

pub(super) async fn run(session: &mut Session<'_, '_>) -> Ended {
    let answers = ask(session).await?;
    let now = session.now();
    let report = Report::of(&answers, now);
    if session.json() {
        let value = serde_json::to_value(&report)
            .map_err(|error| Failure::not_so(format!("no JSON: {error}")))?;
        session.console.value(&value)?;
    } else {
        session.console.text(report.text(now))?;
    }
    Ok(if report.needs_person { Exit::NotSo } else { Exit::Done })
}

async fn ask(session: &Session<'_, '_>) -> Result<Answers, Failure> {
    let jobs = |query: &[(&'static str, &str)]| {
        query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
    };
    let unknown = jobs(&[("state", "dead"), ("code", "outcome_unknown"), ("limit", "20")]);
    let day_ago = session.now().minus(std::time::Duration::from_hours(24)).to_string();
    let dead = jobs(&[("state", "dead"), ("since", &day_ago), ("limit", "100")]);
    let ready = match session.client.get("/readyz", &[]).await {
        // Not being ready is an answer.
        Err(Failure::Problem { status: 503, problem, .. }) => problem,
        other => other?.value().unwrap_or_default(),
    };
    Ok(Answers {
        ready,
        queues: session.get(&["queues"], &[]).await?.value()?,
        credentials: session.get(&["credentials"], &[]).await?.value()?,
        schedules: session.get(&["schedules"], &[]).await?.value()?,
        unknown: session.get(&["jobs"], &unknown).await?.value()?,
        dead: session.get(&["jobs"], &dead).await?.value()?,
    })
}

impl Report {
    fn of(answers: &Answers, now: Timestamp) -> Self {
        let mut concerns = vec![];
        let credentials = fields::list(&answers.credentials, "credentials");
        let queues = fields::list(&answers.queues, "queues");
        concerns.extend(fields::list(&answers.ready, "reasons").iter().filter_map(not_ready));
        concerns.extend(fields::list(&answers.ready, "warnings").iter().map(concern));
        concerns.extend(credentials.iter().filter_map(bad_credential));
        for queue in queues {
            concerns.extend(shut_queue(queue, now));
            concerns.extend(fields::list(queue, "held_kinds").iter().map(|kind| held(queue, kind)));
        }
        concerns.extend(fields::list(&answers.unknown, "jobs").iter().map(unknown_outcome));
        concerns.extend(died(fields::list(&answers.dead, "jobs")));
        let sum = |name| queues.iter().map(|queue| fields::number(queue, name)).sum();
        Self {
            ready: fields::text(&answers.ready, "status") == "ready",
            needs_person: concerns.iter().any(|one| one.needs_person),
            running: sum("running"),
            due: sum("due"),
            waiting: sum("waiting"),
            next: coming(answers, now),
            concerns,
        }
    }

    fn text(&self, now: Timestamp) -> String {
        let health = match (self.needs_person, self.concerns.len()) {
            (false, 0) => "healthy",
            (false, _) => "nothing waits for a person",
            (true, _) => "something needs a person",
        };
        let ready = if self.ready { "ready" } else { "not ready" };
        let mut text = format!(
            "{ready}; {health}\njobs: {} running, {} due, {} waiting\n",
            self.running, self.due, self.waiting
        );
        let mut table = Table::bare();
        for one in &self.concerns {
            let mark = if one.needs_person { "!" } else { "-" };
            let words = fields::said_once(&one.code, &one.detail);
            table.row([mark.to_owned(), one.subject.clone(), words]);
            if !one.advice.is_empty() {
                table.row([String::new(), String::new(), format!("→ {}", one.advice)]);
            }
        }
        text.push_str(&headed(
            "Not as it should be (! needs a person)",
            &table,
            self.concerns.len(),
        ));
        let mut table = Table::bare();
        for one in &self.next {
            table.row([times::relative(one.at, now), one.what.clone()]);
        }
        text.push_str(&headed("Next", &table, self.next.len()));
        text
    }
}

fn headed(heading: &str, table: &Table, rows: usize) -> String {
    if rows == 0 { String::new() } else { format!("\n{heading}:\n{}", table.indented("  ")) }
}

/// What is wrong with the daemon itself and with sinks. Credentials, breakers and changed APIs are told with their
/// own facts.
fn not_ready(reason: &Value) -> Option<Concern> {
    let code = fields::text(reason, "code");
    let told = ["credential_missing", "credential_locked_out", "breaker_open", "provider_changed"];
    if told.contains(&code.as_str()) {
        return None;
    }
    Some(concern(reason))
}

fn concern(reason: &Value) -> Concern {
    let code = fields::text(reason, "code");
    Concern {
        needs_person: code != "draining",
        subject: match fields::text(reason, "account") {
            account if account.is_empty() => "daemon".to_owned(),
            account => account,
        },
        detail: fields::text(reason, "detail"),
        advice: advice(&code).to_owned(),
        code,
    }
}

/// Where the detail does not say what to do.
fn advice(code: &str) -> &'static str {
    match code {
        "clock_doubtful" => "where the clock is right: attendant queues resume --all",
        "disk_full" => "make room on the disk of the database; it goes on by itself then",
        _ => "",
    }
}

fn bad_credential(one: &Value) -> Option<Concern> {
    let state = fields::text(one, "state");
    if state == "fresh" || (state == "missing" && fields::number(one, "errors") == 0) {
        return None;
    }
    let name = format!("{}/{}", fields::text(one, "account"), fields::text(one, "name"));
    let locked_out = state == "locked_out";
    Some(Concern {
        code: state,
        detail: fields::reason(one, "last_error.code", "last_error.message"),
        needs_person: locked_out,
        advice: if locked_out {
            format!(
                "mend the account's secrets and `attendant reload`; or, where they are right, \
                 `attendant credentials renew {name}`"
            )
        } else {
            String::new()
        },
        subject: name,
    })
}

fn shut_queue(queue: &Value, now: Timestamp) -> Option<Concern> {
    let state = fields::text(queue, "state");
    let paused = state == "paused";
    // A full budget holds an open queue, and only those that wait for it care.
    let spent =
        fields::text(queue, "waiting_for.code") == "budget" && fields::number(queue, "due") > 0;
    if !paused && state != "gated" && !spent {
        return None;
    }
    let account = fields::text(queue, "account");
    let until = fields::time(queue, "waiting_for.until");
    let until = until.map(|at| format!(" ({})", times::relative(at, now))).unwrap_or_default();
    let detail = format!("{}{until}", fields::text(queue, "waiting_for.detail"));
    Some(Concern {
        code: if spent && state == "open" { "budget".to_owned() } else { state },
        detail,
        needs_person: paused,
        advice: if paused { format!("attendant queues resume {account}") } else { String::new() },
        subject: account,
    })
}

fn held(queue: &Value, kind: &Value) -> Concern {
    let account = fields::text(queue, "account");
    Concern {
        code: "provider_changed".to_owned(),
        subject: fields::text(kind, "kind"),
        detail: fields::text(kind, "detail"),
        needs_person: true,
        advice: format!("mend its definition, or `attendant queues resume {account}`"),
    }
}

fn unknown_outcome(job: &Value) -> Concern {
    let id = fields::text(job, "id");
    Concern {
        code: "outcome_unknown".to_owned(),
        subject: fields::text(job, "kind"),
        detail: format!("nobody knows whether job {id} was carried out"),
        needs_person: true,
        advice: format!("attendant jobs show {id}"),
    }
}

/// Those whose outcome is known: each of the others is told by itself.
fn died(jobs: &[Value]) -> Option<Concern> {
    let known = |job: &&Value| fields::text(job, "last_error.code") != "outcome_unknown";
    let count = jobs.iter().filter(known).count();
    let newest = jobs.iter().find(known)?;
    let more = if jobs.len() >= 100 { " or more" } else { "" };
    Some(Concern {
        code: "dead".to_owned(),
        subject: "jobs".to_owned(),
        detail: format!(
            "{count}{more} in the last 24 hours, the newest {} ({})",
            fields::text(newest, "kind"),
            fields::cell(newest, "last_error.code")
        ),
        needs_person: false,
        advice: "attendant jobs --state dead --since 24h".to_owned(),
    })
}

fn coming(answers: &Answers, now: Timestamp) -> Vec<Next> {
    let queues = fields::list(&answers.queues, "queues");
    let credentials = fields::list(&answers.credentials, "credentials");
    let schedules = fields::list(&answers.schedules, "schedules");
    let occurrences = schedules.iter().filter_map(|one| {
        let at = fields::time(one, "next_at")?;
        let (name, kind) = (fields::text(one, "name"), fields::text(one, "kind"));
        Some(Next { at, what: format!("schedule {name}: {kind}") })
    });
    // Those that open by themselves; a spent budget opens a queue too.
    let gates = queues.iter().filter_map(|queue| {
        let at = fields::time(queue, "waiting_for.until")?;
        let (account, code) =
            (fields::text(queue, "account"), fields::text(queue, "waiting_for.code"));
        let held = fields::text(queue, "state") == "gated"
            || (code == "budget" && fields::number(queue, "due") > 0);
        held.then(|| Next { at, what: format!("the queue of {account} goes on ({code})") })
    });
    let runs = queues.iter().filter_map(|queue| {
        let at = fields::time(queue, "next_run_at")?;
        Some(Next { at, what: format!("a job of {}", fields::text(queue, "account")) })
    });
    let renewals = credentials.iter().filter_map(|one| {
        let at = fields::time(one, "renew_at")?;
        let what =
            format!("renewal of {}/{}", fields::text(one, "account"), fields::text(one, "name"));
        Some(Next { at, what })
    });
    let mut next: Vec<Next> = runs
        .chain(renewals)
        .chain(occurrences)
        .chain(gates)
        .filter(|next| next.at >= now)
        .collect();
    next.sort_by(|a, b| (a.at, &a.what).cmp(&(b.at, &b.what)));
    next.truncate(NEXT);
    next
}
