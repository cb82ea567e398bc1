//! Everything about one job.

use serde_json::Value;

use crate::{
    cli::{
        exit::Exit,
        fields,
        session::{Ended, Session},
        table::Table,
        times,
    },
    types::{JobId, JobState, Timestamp},
};

pub(super) async fn run(session: &mut Session<'_, '_>, ids: &[JobId]) -> Ended {
    let mut exit = Exit::Done;
    for (n, &id) in ids.iter().enumerate() {
        match session.job(id).await {
            Ok(reply) => {
                if n > 0 && !session.json() {
                    session.console.line("")?;
                }
                session.show(&reply, text)?;
            }
            Err(failure) => exit = session.tolerate(exit, failure)?,
        }
    }
    Ok(exit)
}

fn text(job: &Value, now: Timestamp) -> String {
    let mut text = facts(job, now);
    text.push_str(&attempts(job, now));
    text.push_str(&observations(job, now));
    text.push_str(&artifacts(job));
    if let Some(advice) = advice(job) {
        text.extend(["\n", &advice, "\n"]);
    }
    text
}

/// Names and values, without those that are null.
fn facts(job: &Value, now: Timestamp) -> String {
    let mut table = Table::bare();
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            table.row([name.to_owned(), value]);
        }
    };
    let at = |path| fields::time(job, path).map(|at| times::full(at, now)).unwrap_or_default();
    fact("id", fields::text(job, "id"));
    fact("kind", fields::text(job, "kind"));
    fact("account", fields::text(job, "account"));
    fact("state", fields::text(job, "state"));
    fact("status", fields::text(job, "status"));
    fact("waits", held(job, now));
    fact("last error", fields::reason(job, "last_error.code", "last_error.message"));
    fact("args", fields::text(job, "args"));
    // A daemon that does not tell of arguments at all has not erased them.
    if job.get("args").is_some_and(Value::is_null) {
        fact("erased", "its arguments, results, statuses, files, key and tags are gone".to_owned());
    }
    fact("result", short(&fields::text(job, "result")));
    fact("key", fields::text(job, "key"));
    fact("tags", words(fields::list(job, "tags")));
    fact("priority", fields::text(job, "priority"));
    fact("made", at("created_at"));
    fact("by", by(job));
    if fields::text(job, "state") == JobState::Queued.name() {
        fact("runs", at("run_at"));
    }
    fact("started", at("started_at"));
    fact("finished", at("finished_at"));
    fact("deadline", at("deadline"));
    fact("counts", counts(job));
    fact("parent", fields::text(job, "parent_id"));
    fact("children", words(fields::list(job, "children")));
    fact("chain", fields::text(job, "chain.state"));
    table.render()
}

fn held(job: &Value, now: Timestamp) -> String {
    let (code, detail) =
        (fields::text(job, "waiting_for.code"), fields::text(job, "waiting_for.detail"));
    let why = fields::said_once(&code, &detail);
    match fields::time(job, "waiting_for.until") {
        Some(until) => format!("{why}, until {}", times::full(until, now)),
        None => why,
    }
}

fn by(job: &Value) -> String {
    let user = fields::text(job, "created_by.user");
    let uid = fields::text(job, "created_by.uid");
    match (user.is_empty(), uid.is_empty()) {
        (false, false) => format!("{user} (uid {uid})"),
        (false, true) => user,
        (true, false) => format!("uid {uid}"),
        (true, true) => match fields::at(job, "created_by").and_then(Value::as_str) {
            Some(token) => format!("token {}", fields::clean(token)),
            None => fields::text(job, "created_by"),
        },
    }
}

fn counts(job: &Value) -> String {
    // Renewals are never given up: theirs is the largest number there is.
    let of = match fields::number(job, "max_errors") {
        0 => String::new(),
        max if max >= u64::from(u32::MAX) => String::new(),
        max => format!(" of {max}"),
    };
    format!(
        "attempts {}, polls {}, errors {}{of}",
        fields::number(job, "attempt"),
        fields::number(job, "polls"),
        fields::number(job, "errors"),
    )
}

fn words(items: &[Value]) -> String {
    let items = items.iter().map(|one| match one.as_str() {
        Some(text) => fields::clean(text),
        None => fields::text(one, "id"),
    });
    items.collect::<Vec<_>>().join(" ")
}

/// A result may be every user of a company: `jobs result` prints it.
fn short(text: &str) -> String {
    const ENOUGH: usize = 200;
    if text.chars().count() <= ENOUGH {
        return text.to_owned();
    }
    format!(
        "{} … (`attendant jobs result` prints all)",
        text.chars().take(ENOUGH).collect::<String>()
    )
}

fn attempts(job: &Value, now: Timestamp) -> String {
    let attempts = fields::list(job, "attempts");
    let mut table = Table::new(&["ATTEMPT", "WHEN", "TOOK", "OUTCOME", "WHY"]);
    for (n, one) in attempts.iter().enumerate() {
        let (from, to) = (fields::time(one, "started_at"), fields::time(one, "finished_at"));
        let took = from.zip(to).map(|(from, to)| format!("{:?}", to.since(from)));
        table.row([
            (n + 1).to_string(),
            times::cell(from, now),
            took.unwrap_or_else(|| "-".to_owned()),
            fields::cell(one, "outcome"),
            fields::reason(one, "code", "message"),
        ]);
    }
    section(attempts, &table)
}

fn observations(job: &Value, now: Timestamp) -> String {
    let observations = fields::list(job, "observations");
    let mut table = Table::new(&["OBSERVED", "WHEN", "POLLS"]);
    for one in observations {
        table.row([
            fields::cell(one, "status"),
            fields::time(one, "at").map(|at| times::full(at, now)).unwrap_or_default(),
            fields::cell(one, "polls"),
        ]);
    }
    section(observations, &table)
}

fn artifacts(job: &Value) -> String {
    let artifacts = fields::list(job, "chain.artifacts");
    let mut table = Table::new(&["ARTIFACT", "TYPE", "BYTES", "JOB"]);
    for one in artifacts {
        table.row([
            fields::cell(one, "name"),
            fields::cell(one, "content_type"),
            fields::cell(one, "size"),
            fields::cell(one, "job_id"),
        ]);
    }
    section(artifacts, &table)
}

fn section(items: &[Value], table: &Table) -> String {
    if items.is_empty() { String::new() } else { format!("\n{}", table.render()) }
}

/// What a person can do about it.
fn advice(job: &Value) -> Option<String> {
    if fields::text(job, "state") != JobState::Dead.name() {
        return None;
    }
    if job.get("args").is_some_and(Value::is_null) {
        return None;
    }
    let id = fields::text(job, "id");
    Some(if fields::text(job, "last_error.code") == "outcome_unknown" {
        format!(
            "Nobody knows whether the request was carried out. Look at the provider's side, then:\n  \
             attendant jobs resolve {id} --happened --response JSON   it was: this is its answer\n  \
             attendant jobs resolve {id} --not-sent                   it was not: send it again\n  \
             attendant jobs retry {id} --resend                       send it, though it may happen twice"
        )
    } else {
        format!("Once the cause is mended, `attendant jobs retry {id}` runs it again.")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dead_job_tells_its_story_and_what_to_do() {
        let now = Timestamp(1_790_000_060_000);
        let job = json!({
            "id": "7", "kind": "certn.application", "account": "certn", "state": "dead",
            "args": {"industry": "hr"}, "created_by": {"uid": 0, "user": "root"},
            "created_at": "2026-09-21T14:13:20.000Z", "attempt": 1, "polls": 0, "errors": 1,
            "max_errors": 20, "last_error": {"code": "outcome_unknown", "message": "timed out"},
            "attempts": [{"started_at": "2026-09-21T14:13:20.000Z",
                "finished_at": "2026-09-21T14:13:50.250Z", "outcome": "dead",
                "code": "timeout", "message": null}],
            "children": [], "chain": {"state": "dead", "artifacts": []},
        });
        let text = text(&job, now);
        for part in [
            "last error  outcome_unknown: timed out\n",
            "args        {\"industry\":\"hr\"}\n",
            "made        2026-09-21T14:13:20Z (1m ago)\n",
            "by          root (uid 0)\n",
            "ATTEMPT  WHEN    TOOK    OUTCOME  WHY\n1        1m ago  30.25s  dead     timeout\n",
            "attendant jobs resolve 7 --happened --response JSON ",
            "attendant jobs resolve 7 --not-sent ",
            "attendant jobs retry 7 --resend ",
            "errors 1 of 20\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("ARTIFACT"));
    }

    #[test]
    fn an_erased_job_says_so_and_is_not_to_be_run_again() {
        let job = json!({
            "id": "7", "state": "dead", "args": null, "created_by": "payroll",
            "last_error": {"code": "http_400", "message": null},
        });
        let text = text(&job, Timestamp(0));
        assert!(text.contains("erased      its arguments, "), "{text}");
        assert!(text.contains("by          token payroll\n"), "{text}");
        assert!(!text.contains("jobs retry"), "{text}");
    }

    #[test]
    fn a_renewal_has_no_number_of_errors_at_which_it_is_given_up() {
        let renewal = json!({"attempt": 3, "polls": 0, "errors": 1, "max_errors": u32::MAX});
        assert_eq!(counts(&renewal), "attempts 3, polls 0, errors 1");
    }
}
