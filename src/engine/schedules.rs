//! `[schedules]` joined with accounts and definitions: everything about a schedule that can be wrong
//! is found here, before anything runs.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::enqueue::JobRequest;
use crate::{
    config::{self, Config, Misfire},
    definition::{Kind, Registry},
    diagnostic::Diagnostic,
    policy::schedule::{Timetable, TimetableError},
};

/// A schedule that is right.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub name: String,
    pub cron: String,
    pub timezone: String,
    pub timetable: Timetable,
    pub misfire: Misfire,
    /// Of a job, from its occurrence on.
    pub deadline: Option<Duration>,
    pub kind: String,
    pub account: String,
    /// The job of each occurrence, without its deadline.
    pub(super) request: JobRequest,
}

impl Schedule {
    /// What its next occurrence is of: where this changes, that is looked for anew.
    #[must_use]
    pub fn spec(&self) -> String {
        format!("{} {}", self.cron, self.timezone)
    }
}

/// The tag that the jobs of a schedule have.
#[must_use]
pub fn tag(schedule: &str) -> String {
    format!("schedule:{schedule}")
}

/// All schedules; what is wrong with them goes to `problems`.
pub(super) fn read(
    config: &Config,
    registry: &Registry,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Schedule> {
    let mut schedules = vec![];
    for (name, written) in &config.schedules {
        let mut reading = Reading { config, registry, name, problems: &mut *problems };
        schedules.extend(reading.schedule(written));
    }
    schedules
}

struct Reading<'a> {
    config: &'a Config,
    registry: &'a Registry,
    name: &'a str,
    problems: &'a mut Vec<Diagnostic>,
}

impl Reading<'_> {
    fn wrong(&mut self, key: &str, message: impl Into<String>) {
        let key = format!("schedules.{}.{key}", self.name);
        self.problems.push(self.config.diagnostic(&key, message));
    }

    fn schedule(&mut self, written: &config::Schedule) -> Option<Schedule> {
        let timetable = self.timetable(written);
        let kind = self.kind(&written.kind);
        let account = kind.as_ref().and_then(|kind| self.account(written, &kind.provider));
        let args = kind.as_ref().and_then(|kind| self.args(written, kind));
        let tags = self.tags(written);
        Some(Schedule {
            name: self.name.to_owned(),
            cron: written.cron.clone(),
            timezone: written.timezone.clone(),
            timetable: timetable?,
            misfire: written.misfire,
            deadline: written.deadline,
            kind: written.kind.clone(),
            account: account.clone()?,
            request: JobRequest {
                kind: written.kind.clone(),
                account,
                args: args?,
                // The occurrence is the key.
                unkeyed: true,
                priority: written.priority.map(i64::from),
                max_errors: written.max_errors.map(i64::from),
                tags: tags?,
                ..JobRequest::default()
            },
        })
    }

    fn timetable(&mut self, written: &config::Schedule) -> Option<Timetable> {
        match Timetable::read(&written.cron, &written.timezone) {
            Ok(timetable) => Some(timetable),
            Err(error) => {
                let key = match error {
                    TimetableError::Cron(_) => "cron",
                    TimetableError::Zone(_) => "timezone",
                };
                self.wrong(key, error.to_string());
                None
            }
        }
    }

    fn kind(&mut self, name: &str) -> Option<Arc<Kind>> {
        if let Some((_, kind)) = self.registry.kind(name) {
            return Some(Arc::clone(kind));
        }
        let provider = name.split('.').next();
        let all = || self.registry.kinds().map(|(_, kind)| kind);
        let mut known: Vec<&str> = all()
            .filter(|kind| Some(kind.provider.as_str()) == provider)
            .map(|kind| kind.name.as_str())
            .collect();
        if known.is_empty() {
            known = all().map(|kind| kind.name.as_str()).collect();
        }
        let words = format!("`{name}` is not a job kind; known: {}", known.join(", "));
        self.wrong("kind", words);
        None
    }

    /// The account that is named, or the one that is meant: the provider's only or default one.
    fn account(&mut self, written: &config::Schedule, provider: &str) -> Option<String> {
        let accounts = self.config.accounts.values();
        let of: Vec<&config::Account> = accounts.filter(|one| one.provider == provider).collect();
        let names = of.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        if let Some(name) = &written.account {
            // Whether there is such an account at all was looked at before.
            let other = self.config.accounts.get(name).filter(|one| one.provider != provider);
            if let Some(other) = other {
                let words = format!(
                    "account `{name}` is of {}, the kind is of {provider}; accounts of {provider}: \
                     {names}",
                    other.provider
                );
                self.wrong("account", words);
                return None;
            }
            return Some(name.clone());
        }
        match of.as_slice() {
            [only] => return Some(only.name.clone()),
            [] => {
                let words =
                    format!("no account of {provider} is configured: add [accounts.{provider}]");
                self.wrong("kind", words);
            }
            several => {
                if let Some(default) = several.iter().find(|one| one.is_default) {
                    return Some(default.name.clone());
                }
                let words = format!(
                    "is missing: {provider} has several accounts and none is the default: name one \
                     of {names}"
                );
                self.wrong("account", words);
            }
        }
        None
    }

    fn args(&mut self, written: &config::Schedule, kind: &Kind) -> Option<Value> {
        let args = Value::Object(written.args.clone());
        match kind.args.validate(&args) {
            Ok(_) => Some(args),
            Err(problems) => {
                for problem in problems {
                    let field = match problem.field.as_str() {
                        "" => "args".to_owned(),
                        field => format!("args.{field}"),
                    };
                    self.wrong(&field, problem.message);
                }
                None
            }
        }
    }

    fn tags(&mut self, written: &config::Schedule) -> Option<Vec<String>> {
        let mut tags = written.tags.clone();
        tags.push(tag(self.name));
        match super::enqueue::checked_tags(tags) {
            Ok(tags) => Some(tags),
            Err(words) => {
                self.wrong("tags", format!("{words}; one is the schedule's own"));
                None
            }
        }
    }
}
