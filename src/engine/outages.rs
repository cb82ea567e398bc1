//! Providers that go on failing, in the log: decided by [`crate::policy::outage`], one watch for each
//! account. Kept in memory: after a restart the first failure is told again.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Engine;
use crate::{
    policy::{
        codes::Code,
        outage::{Line, News, Report, Watch, is_providers},
    },
    store::QueueId,
    telemetry::{
        events::{Event, Name, emit, hush},
        record::to_the_second,
    },
    types::Timestamp,
};

/// The watches of all accounts that have failed of late.
#[derive(Debug, Default)]
pub struct Outages(Mutex<BTreeMap<QueueId, Watch>>);

impl Outages {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<QueueId, Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answered(&self, queue: QueueId, now: Timestamp) {
        if let Some(watch) = self.lock().get_mut(&queue) {
            watch.answered(now);
        }
    }

    pub(super) fn step(&self, by_ms: i64) {
        self.lock().values_mut().for_each(|watch| watch.step(by_ms));
    }
}

impl Engine {
    /// Tells a failure; where it is the provider's and was told before, quietly.
    pub(super) fn tell_failure(
        &self,
        (queue, line, code): (QueueId, Line, Code),
        name: Name,
        event: &Event<'_>,
    ) {
        let now = self.clock.wall();
        let is_news = !is_providers(code)
            || self.outages.lock().entry(queue).or_default().failed(now, line, code);
        if is_news { emit(name, event) } else { hush(name, event) }
    }

    /// Tells that the breaker opened, and the queue was shut for it, or closed.
    pub(super) fn tell_breaker(&self, queue: QueueId, account: &str, opened: bool) {
        let event = Event { account: Some(account), ..Event::default() };
        if opened {
            let detail = "the provider fails: from now on one probe at a time, until it answers";
            let event = Event { error_code: Some("breaker_open"), detail: Some(detail), ..event };
            // What opened it is counted where it is told.
            let of = (queue, Line::Gate, Code::Connect);
            return self.tell_failure(of, Name::QueueGated, &event);
        }
        let event = Event { detail: Some("the provider answers again"), ..event };
        // Where the log speaks of an outage, `provider.recovered` follows.
        let hushed = self.outages.lock().contains_key(&queue);
        if hushed { hush(Name::QueueOpened, &event) } else { emit(Name::QueueOpened, &event) }
    }

    /// Sums up what goes on failing, and tells what is back.
    pub(super) fn look_at_outages(&self, now: Timestamp) {
        let queues: Vec<QueueId> = self.outages.lock().keys().copied().collect();
        for queue in queues {
            let hold = self.gates.hold(queue, None, now);
            let is_paused = hold.as_ref().is_some_and(|hold| hold.code == "paused");
            let due = self.due_in(queue);
            let news = {
                let mut watches = self.outages.lock();
                let Some(watch) = watches.get_mut(&queue) else { continue };
                let news = watch.look(now, hold.is_some() && !is_paused && due > 0);
                if *watch == Watch::default() {
                    watches.remove(&queue);
                }
                news
            };
            if let Some(news) = news {
                self.tell_outage(queue, &news, (due, hold.and_then(|hold| hold.until)));
            }
        }
    }

    fn tell_outage(&self, queue: QueueId, news: &News, (due, next): (i64, Option<Timestamp>)) {
        let catalog = self.catalog();
        let account = catalog.by_queue(queue).map(|account| account.name.as_str());
        let (name, report, detail) = match news {
            News::StillFailing(report) => {
                let detail = format!("{}; {due} due jobs wait, none loses an attempt", sum(report));
                (Name::ProviderFailing, report, detail)
            }
            News::Recovered(report) => {
                let back = report.since.plus(report.lasted);
                let detail =
                    format!("{}; back since {}; {due} due jobs go on", sum(report), clock(back));
                (Name::ProviderRecovered, report, detail)
            }
        };
        let failing = name == Name::ProviderFailing;
        let code = report.codes.first().map(|(code, _)| code.text()).filter(|_| failing);
        let event = Event {
            account,
            error_code: code.as_deref(),
            next_run_at: next.filter(|_| failing),
            elapsed: Some(report.lasted),
            detail: Some(&detail),
            ..Event::default()
        };
        emit(name, &event);
    }
}

/// What an outage came to so far.
fn sum(report: &Report) -> String {
    let Report { since, lasted, failures, .. } = report;
    let mut codes = String::new();
    for (code, count) in &report.codes {
        let comma = if codes.is_empty() { "" } else { ", " };
        let _ = write!(codes, "{comma}{code} {count}");
    }
    // To the second, or where it was long to the minute: enough for people.
    let lasted = match lasted.as_secs() {
        seconds @ 0..3_600 => Duration::from_secs(seconds),
        seconds => Duration::from_secs(seconds / 60 * 60),
    };
    let lasted = humantime::format_duration(lasted);
    format!("for {lasted}, since {}: {failures} requests failed ({codes})", clock(*since))
}

fn clock(at: Timestamp) -> String {
    to_the_second(&at.to_string())
}
