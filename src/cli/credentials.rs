//! `attendant credentials` and `attendant token`.

use std::{str::FromStr, time::Duration};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    client::Reply,
    exit::{Exit, Failure},
    fields,
    session::{Ended, Session},
    table::Table,
    times,
};
use crate::types::Timestamp;

/// How long one request for a value may take; well below what is taken for a stuck daemon.
const LONGEST_TURN: Duration = Duration::from_mins(1);

/// `ACCOUNT/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Full {
    account: String,
    name: String,
}

impl FromStr for Full {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((account, name)) if !account.is_empty() && !name.is_empty() => {
                Ok(Self { account: account.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("`{text}`: write ACCOUNT/NAME, such as certn/access_token")),
        }
    }
}

/// What the daemon knows of the credentials that it keeps; never their values
#[derive(Debug, Args)]
#[command(after_help = "\
States: fresh; failing (there is a value, but its renewal fails); missing; locked_out (the provider
refused the login: mend the secrets, or `renew` to try again).

Examples:
  attendant credentials
  attendant credentials show certn/access_token
  attendant credentials renew certn/access_token
  attendant credentials revoke gate/certificate_request_token")]
pub(super) struct Credentials {
    #[command(subcommand)]
    command: Option<CredentialsCommand>,
}

#[derive(Debug, Subcommand)]
enum CredentialsCommand {
    /// Everything about one credential but its value
    Show {
        #[arg(value_name = "ACCOUNT/NAME")]
        credential: Full,
    },
    /// Obtain a new value now; also after refused logins
    Renew {
        #[arg(value_name = "ACCOUNT/NAME")]
        credential: Full,
    },
    /// Withdraw the value in hand, here and at the provider, and obtain another
    #[command(after_help = "\
Use it when a value has leaked. What its readers were promised does not count: it, and those before
it that are still valid, are revoked at once. Where the definition has no `revoke` the value is only
dropped here, and the answer says so; a secret of the configuration that is itself the value must be
changed there.")]
    Revoke {
        #[arg(value_name = "ACCOUNT/NAME")]
        credential: Full,
    },
}

impl Credentials {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        match self.command {
            None => {
                let reply = session.get(&["credentials"], &[]).await?;
                session.show(&reply, table)?;
            }
            Some(CredentialsCommand::Show { credential: Full { account, name } }) => {
                let reply = session.get(&["credentials", &account, &name], &[]).await?;
                session.show(&reply, shown)?;
            }
            Some(CredentialsCommand::Renew { credential: Full { account, name } }) => {
                let parts = ["credentials", &account, &name, "renew"];
                let reply = session.post(&parts, &json!({})).await?;
                session.show(&reply, |_, _| {
                    format!(
                        "{account}/{name} is being renewed; `attendant credentials show \
                             {account}/{name}` tells how it went\n"
                    )
                })?;
            }
            Some(CredentialsCommand::Revoke { credential: Full { account, name } }) => {
                let parts = ["credentials", &account, &name, "revoke"];
                let reply = session.post(&parts, &json!({})).await?;
                session.show(&reply, |one, _| withdrawn(one, &format!("{account}/{name}")))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn withdrawn(answer: &Value, name: &str) -> String {
    let what = match fields::text(answer, "provider").as_str() {
        "told" => "is withdrawn, and revoked at the provider",
        "pending" => {
            "is withdrawn here; the provider could not be told yet, which is tried until it is done"
        }
        "cannot" => {
            "is withdrawn here only: its definition has no `revoke`, so it stays valid at the \
             provider until it expires"
        }
        _ => "had no value to withdraw",
    };
    format!(
        "{name} {what}. A new value is being obtained; see `attendant credentials show {name}`\n"
    )
}

fn table(credentials: &Value, now: Timestamp) -> String {
    let heading = ["CREDENTIAL", "STATE", "EXPIRES", "RENEWAL", "GENERATION", "LAST ERROR"];
    let mut table = Table::new(&heading);
    for one in fields::list(credentials, "credentials") {
        table.row([
            full_name(one),
            fields::cell(one, "state"),
            times::cell(fields::time(one, "expires_at"), now),
            times::cell(fields::time(one, "renew_at"), now),
            fields::cell(one, "generation"),
            trouble(one),
        ]);
    }
    table.render()
}

fn shown(one: &Value, now: Timestamp) -> String {
    let mut table = Table::bare();
    let at = |path| fields::time(one, path).map_or_else(|| "-".into(), |at| times::full(at, now));
    table.row(["credential".to_owned(), full_name(one)]);
    table.row(["state".to_owned(), fields::cell(one, "state")]);
    table.row(["generation".to_owned(), fields::cell(one, "generation")]);
    table.row(["obtained".to_owned(), at("obtained_at")]);
    table.row(["expires".to_owned(), at("expires_at")]);
    table.row(["renewal".to_owned(), at("renew_at")]);
    table.row(["errors".to_owned(), fields::cell(one, "errors")]);
    if fields::at(one, "stage").is_some() {
        table.row(["successor".to_owned(), fields::cell(one, "stage")]);
    }
    for old in fields::list(one, "retired") {
        table.row(["out of use".to_owned(), retired(old, now)]);
    }
    if fields::at(one, "orphans").and_then(Value::as_u64).is_some_and(|orphans| orphans > 0) {
        let words = "at the provider, made by a create whose reply was lost, or by somebody else";
        table.row(["unused".to_owned(), format!("{} {words}", fields::cell(one, "orphans"))]);
    }
    if fields::at(one, "last_error").is_some() {
        let error = fields::reason(one, "last_error.code", "last_error.message");
        table.row(["last error".to_owned(), format!("{error}, {}", at("last_error.at"))]);
    }
    let sinks = fields::list(one, "sinks");
    for sink in sinks {
        table.row(["sink".to_owned(), sink_line(sink, now)]);
    }
    table.render()
}

/// `FILE: written, generation 3, 2026-…; its command: completed`.
fn sink_line(sink: &Value, now: Timestamp) -> String {
    let mut parts =
        vec![format!("{}: {}", fields::cell(sink, "file"), fields::cell(sink, "state"))];
    if fields::at(sink, "generation").is_some() {
        let at = fields::time(sink, "at").map(|at| times::full(at, now)).unwrap_or_default();
        let has = if fields::text(sink, "state") == "written" { "" } else { "last " };
        parts.push(format!(", {has}generation {}, {at}", fields::cell(sink, "generation")));
    }
    if fields::at(sink, "last_error").is_some() {
        parts.push(format!("; {}", fields::text(sink, "last_error.message")));
    }
    if fields::at(sink, "command").is_some() {
        parts.push(format!("; its command: {}", fields::cell(sink, "command.state")));
    }
    if fields::number(sink, "command.errors") > 0 {
        let id = fields::cell(sink, "command.job_id");
        let code = fields::cell(sink, "command.last_error");
        parts.push(format!(" after {code}, see `attendant jobs show {id}`"));
    }
    parts.concat()
}

fn retired(old: &Value, now: Timestamp) -> String {
    let generation = format!("generation {}", fields::cell(old, "generation"));
    let at = |path| fields::time(old, path).map(|at| times::full(at, now));
    match (at("revoke_at"), at("expires_at")) {
        (Some(revoked), _) => format!("{generation}, to be revoked {revoked}"),
        (None, Some(expires)) => format!("{generation}, expires {expires}"),
        (None, None) => generation,
    }
}

fn full_name(one: &Value) -> String {
    format!("{}/{}", fields::cell(one, "account"), fields::cell(one, "name"))
}

/// The last error, unless a success came after it, and what is wrong with its files.
fn trouble(one: &Value) -> String {
    let mut troubles = vec![];
    if fields::text(one, "state") != "fresh" {
        troubles.push(fields::reason(one, "last_error.code", "last_error.message"));
    }
    for sink in fields::list(one, "sinks") {
        let file = fields::text(sink, "file");
        if fields::text(sink, "state") == "failing" {
            troubles.push(format!("{file}: {}", fields::text(sink, "last_error.message")));
        }
        if fields::number(sink, "command.errors") > 0 {
            let code = fields::text(sink, "command.last_error");
            troubles.push(format!("the command of {file}: {code}"));
        }
    }
    troubles.retain(|one| !one.is_empty());
    troubles.join("; ")
}

/// Print a credential's value, which is obtained first if there is none
#[derive(Debug, Args)]
#[command(after_help = "\
Only the value is on standard output. It may be used for at least --min-ttl more: it neither expires
nor is revoked before. Exit code 1 if it cannot be had now, with the reason; 124 if the time is up.

Examples:
  curl -H \"Authorization: Bearer $(attendant token certn)\" https://api.certn.co/api/v1/users/
  attendant token gate/certificate_request_token --min-ttl 30m
  attendant token ipseity/access_token --json")]
pub(super) struct Token {
    /// The name may be left out where the account has one credential
    #[arg(value_name = "ACCOUNT[/NAME]")]
    credential: String,
    /// Valid for at least so much longer
    #[arg(
        long, value_name = "DURATION", default_value = "60s", value_parser = times::duration
    )]
    min_ttl: Duration,
    /// Wait at most so long for a value to be obtained
    #[arg(
        long, value_name = "DURATION", default_value = "30s", value_parser = times::duration
    )]
    timeout: Duration,
}

impl Token {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        let asked = timeout(self.timeout, self.obtain(session)).await;
        let reply = asked.unwrap_or_else(|_| {
            Err(Failure::timed_out(format!(
                "{} could not be obtained in {}; `attendant credentials` tells why",
                self.credential,
                humantime::format_duration(self.timeout)
            )))
        })?;
        if session.json() {
            session.console.raw(&reply.body)?;
            return Ok(Exit::Done);
        }
        let value = reply.value()?;
        let value = fields::at(&value, "value").and_then(Value::as_str);
        let value = value.ok_or_else(|| Failure::not_so("the daemon's answer has no value"))?;
        session.console.line(value)?;
        Ok(Exit::Done)
    }

    /// Asks until there is one, as often as the daemon says. What no time mends, or not in this
    /// time, ends it at once.
    async fn obtain(&self, session: &Session<'_, '_>) -> Result<Reply, Failure> {
        let until = Instant::now() + self.timeout;
        let Full { account, name } = self.full(session).await?;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // A little longer than this side waits, so that the end is told as what it is.
            let turn = left.saturating_add(Duration::from_secs(1)).min(LONGEST_TURN);
            let query = [
                ("min_ttl", humantime::format_duration(self.min_ttl).to_string()),
                ("timeout", format!("{}ms", turn.as_millis())),
            ];
            match session.get(&["credentials", &account, &name, "value"], &query).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => {
                    let pause = pause(&failure).filter(|pause| *pause < left);
                    sleep(pause.ok_or(failure)?).await;
                }
            }
        }
    }

    async fn full(&self, session: &Session<'_, '_>) -> Result<Full, Failure> {
        if self.credential.contains('/') {
            return self.credential.parse().map_err(Failure::usage);
        }
        let credentials = session.get(&["credentials"], &[]).await?.value()?;
        only(fields::list(&credentials, "credentials"), &self.credential)
    }
}

/// How long to wait before asking again; `None` where that is no use.
fn pause(failure: &Failure) -> Option<Duration> {
    let Failure::Problem { status: 503, problem, retry_after } = failure else { return None };
    match fields::text(problem, "code").as_str() {
        // Only a person can mend these.
        "lockout" | "login_refused" => None,
        // The daemon has waited already.
        "timeout" => Some(Duration::from_secs(1)),
        _ => Some(Duration::from_secs((*retry_after)?.max(1))),
    }
}

/// The one credential of an account.
fn only(credentials: &[Value], account: &str) -> Result<Full, Failure> {
    let of: Vec<&Value> =
        credentials.iter().filter(|one| fields::text(one, "account") == account).collect();
    match of.as_slice() {
        [one] => Ok(Full { account: account.to_owned(), name: fields::text(one, "name") }),
        [] => {
            let known: Vec<String> = credentials.iter().map(full_name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(Failure::not_so(format!(
                "there is no account `{account}` that keeps a credential; there is: {known}"
            )))
        }
        several => {
            let names: Vec<String> = several.iter().map(|one| full_name(one)).collect();
            Err(Failure::usage(format!(
                "{account} keeps several credentials: name one of {}",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_named_in_full() {
        let full = "certn/access_token".parse::<Full>();
        assert_eq!(full.map(|one| one.name), Ok("access_token".to_owned()));
        for text in ["certn", "certn/", "/x", ""] {
            assert!(text.parse::<Full>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_only_credential_of_an_account_needs_no_name() {
        let all = [
            json!({"account": "certn", "name": "access_token"}),
            json!({"account": "ipseity", "name": "access_token"}),
            json!({"account": "ipseity", "name": "refresh_token"}),
        ];
        assert_eq!(only(&all, "certn").map(|one| one.name).ok(), Some("access_token".to_owned()));
        let several = only(&all, "ipseity").map_err(|failure| (failure.exit(), failure.words()));
        let words = "ipseity keeps several credentials: name one of ipseity/access_token, \
                     ipseity/refresh_token";
        assert_eq!(several, Err((Exit::Usage, words.to_owned())));
        assert_eq!(only(&all, "x").map_err(|failure| failure.exit()), Err(Exit::NotSo));
    }

    #[test]
    fn sinks_show_what_they_have_and_what_is_wrong() {
        let now = Timestamp(1_790_000_060_000);
        let one = json!({
            "account": "gate", "name": "t", "state": "fresh", "generation": 4, "errors": 0,
            "last_error": null,
            "sinks": [
                {"file": "/run/a", "state": "written", "generation": 4,
                 "at": "2026-09-21T14:13:20.000Z", "last_error": null,
                 "command": {"job_id": "7", "state": "queued", "errors": 2,
                             "last_error": "command_failed"}},
                {"file": "/run/b", "state": "failing", "generation": 3,
                 "at": "2026-09-21T14:13:20.000Z", "command": null,
                 "last_error": {"code": "sink_failed", "message": "no room", "at": null}},
                {"file": "/run/c", "state": "waiting", "generation": null, "at": null,
                 "last_error": null, "command": null},
            ],
        });
        let text = shown(&one, now);
        for line in [
            "sink        /run/a: written, generation 4, 2026-09-21T14:13:20Z (1m ago); its command: \
             queued after command_failed, see `attendant jobs show 7`\n",
            "sink        /run/b: failing, last generation 3, 2026-09-21T14:13:20Z (1m ago); no room\n",
            "sink        /run/c: waiting\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_list_shows_lives_and_troubles() {
        let now = Timestamp(1_790_000_000_000);
        let list = json!({"credentials": [
            {"account": "certn", "name": "access_token", "state": "fresh", "generation": 3,
             "expires_at": "2026-09-21T15:13:20.000Z", "renew_at": "2026-09-21T14:53:20.000Z",
             "last_error": {"code": "connect", "message": "old"}},
            {"account": "gate", "name": "t", "state": "locked_out", "generation": 0,
             "expires_at": null, "last_error": {"code": "lockout", "message": null}},
            {"account": "x", "name": "t", "state": "fresh", "generation": 1, "expires_at": null,
             "sinks": [{"file": "/run/a", "state": "failing",
                        "last_error": {"code": "sink_failed", "message": "no room"}},
                       {"file": "/run/b", "state": "written",
                        "command": {"errors": 2, "last_error": "command_failed"}}]},
        ]});
        let expected = "\
CREDENTIAL          STATE       EXPIRES  RENEWAL  GENERATION  LAST ERROR
certn/access_token  fresh       in 1h    in 40m   3
gate/t              locked_out  -        -        0           lockout
x/t                 fresh       -        -        1           /run/a: no room; the command of \
/run/b: command_failed
";
        assert_eq!(table(&list, now), expected);
    }
}
