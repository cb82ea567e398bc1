//! A night with a provider down for eight hours, compressed: the log that an operator reads the next
//! morning. `cargo nextest run --all-features night --no-capture` prints it.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use attendant::{
    clock::{Clock, ManualClock},
    credentials::vault::Vault,
    engine::enqueue::JobRequest,
    sandbox::{Fault, FaultKind, Options, Provider, Sandbox, certn},
    telemetry::lines::Lines,
    types::{JobState, Timestamp},
};
use serde_json::{Value, json};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _};

use crate::{outage::World, support::daemon::Site};

/// 2027-01-14, 21:00.
const EVENING: Timestamp = Timestamp(1_799_960_400_000);
const HOUR: u64 = 3_600;

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Orders at one provider that fails for the night, and work at another that does not.
struct Night {
    world: World,
    certn: Sandbox,
    _users: Sandbox,
    clock: ManualClock,
    log: Log,
}

impl Night {
    async fn begin(log: Log, clock: ManualClock) -> Self {
        let hours = |n| Duration::from_hours(n);
        let settings = certn::Settings {
            token_life: hours(1),
            stages: vec![
                certn::Stage::new(hours(0), "ANALYZING"),
                certn::Stage::new(hours(2), "COMPLETE"),
            ],
            ..certn::Settings::default()
        };
        let time = Clock::Manual(clock.clone());
        let start = async |provider| {
            let options = Options::new(time.clone(), provider);
            Sandbox::start(([127, 0, 0, 1], 0).into(), options).await.unwrap()
        };
        let certn = start(Provider::Certn(settings.clone())).await;
        let users = start(Provider::Certn(settings)).await;
        let site = Site::new();
        site.write("id", "sandbox-client");
        site.write("secret", "sandbox-secret");
        let account = |name: &str, base: String| {
            format!(
                "[accounts.{name}]\nprovider = \"certn\"\nbase_url = \"{base}\"\n\
                 secrets.client_id = {{ file = \"id\" }}\n\
                 secrets.client_secret = {{ file = \"secret\" }}\n"
            )
        };
        let other = account("elsewhere", users.base_url());
        site.configure(&format!("{}default = true\n{other}", account("certn", certn.base_url())));
        let world = World::open(site, clock.clone(), Arc::new(Vault::ephemeral())).await;
        Self { world, certn, _users: users, clock, log }
    }

    /// Lets time pass until so many seconds after the evening began.
    async fn until(&mut self, second: u64) {
        let end = EVENING.plus(Duration::from_secs(second));
        while self.clock_now() < end {
            // As often as the daemon looks by itself, and in the quiet hours more seldom.
            let since = self.clock_now().since(EVENING).as_secs();
            let busy = [0, HOUR, 2 * HOUR, 9 * HOUR].iter().any(|turn| since.abs_diff(*turn) < 300);
            let step = Duration::from_secs(if busy { 20 } else { 120 });
            self.world.pass(step.min(end.since(self.clock_now()))).await;
        }
    }

    fn clock_now(&self) -> Timestamp {
        Clock::Manual(self.clock.clone()).wall()
    }

    async fn ask(&self, account: &str, kind: &str, args: Value) {
        let key = format!("{kind} {}", self.clock_now());
        let request = JobRequest {
            kind: kind.to_owned(),
            account: Some(account.to_owned()),
            args,
            key: Some(key),
            ..JobRequest::default()
        };
        let engine = &self.world.engine;
        let made = engine.submit(vec![request], engine.actor, "uid 998 (hr-sync)").await;
        assert!(made.unwrap().iter().all(Result::is_ok));
    }

    async fn order(&self) {
        let information = json!({ "first_name": "Ada", "last_name": "Nyx" });
        let application = json!({ "information": information });
        let args = json!({ "industry": "hr", "application": application });
        self.ask("certn", "certn.application", args).await;
    }

    /// From nine to seven: four orders in the evening, the last with a lost reply; from ten to six the
    /// provider fails; two orders meanwhile, and one in the morning that the provider refuses.
    async fn pass(&mut self, down: Fault) {
        for minute in [0, 15, 30] {
            self.until(minute * 60).await;
            self.order().await;
        }
        self.until(HOUR - 60).await;
        let applications = "POST /api/v1/hr/applications";
        self.certn.fault(Fault::new(applications, FaultKind::LoseReply));
        self.order().await;
        self.until(HOUR).await;
        self.certn.fault(down.times(u32::MAX));
        for hour in [2, 5] {
            self.until(hour * HOUR).await;
            self.order().await;
            self.ask("elsewhere", "certn.users", json!({})).await;
        }
        self.until(9 * HOUR).await;
        self.certn.clear_faults();
        self.until(9 * HOUR + 1_200).await;
        self.certn.fault(Fault::status(applications, 400));
        self.order().await;
        self.until(10 * HOUR).await;
    }

    /// The lines from ten to six and the minutes in which the account comes back.
    fn of_the_outage(&self) -> Vec<String> {
        let (from, to) = (HOUR, 9 * HOUR + 600);
        let at = |second| EVENING.plus(Duration::from_secs(second)).to_string();
        let (from, to) = (at(from), at(to));
        let text = self.log.text();
        let lines = text.lines().filter(|line| *line >= from.as_str() && *line < to.as_str());
        lines.map(str::to_owned).collect()
    }
}

fn count(lines: &[String], event: &str) -> usize {
    lines.iter().filter(|line| line.contains(&format!(" {event} "))).count()
}

/// One night with this fault; what it looks like in the log is told by `check`.
async fn night(down: Fault, check: impl FnOnce(&[String])) {
    let (log, clock) = (Log::default(), ManualClock::at(EVENING));
    let lines = Lines::new(Clock::Manual(clock.clone()), log.clone());
    let subscriber = tracing_subscriber::registry().with(lines).with(EnvFilter::new("info"));
    let _logging = tracing::subscriber::set_default(subscriber);
    let mut night = Night::begin(log, clock).await;
    night.pass(down).await;
    println!("{}", night.log.text());
    let lines = night.of_the_outage();
    // All that ended has its line, and nothing else died.
    let all: Vec<String> = night.log.text().lines().map(str::to_owned).collect();
    assert_eq!(count(&all, "job.dead"), 2);
    let dead = night.world.count(JobState::Dead).await;
    assert_eq!(dead, 2);
    assert!(
        all.iter().any(|line| line.contains("outcome_unknown") && line.contains("jobs resolve"))
    );
    let completed = night.world.count(JobState::Completed).await;
    assert_eq!(count(&all, "job.completed"), usize::try_from(completed).unwrap());
    // The other account's night was quiet, and is not hushed.
    assert_eq!(all.iter().filter(|line| line.contains("certn.users")).count(), 4);
    // Of the account itself and its credential; the rest are its jobs' own.
    let of_the_account = |line: &&String| line.contains(" certn: ") || line.contains(" certn/");
    let account = lines.iter().filter(of_the_account).count();
    assert!(account <= 14, "{account} lines on the outage");
    assert!(lines.len() <= 50, "{} lines", lines.len());
    check(&lines);
}

#[tokio::test]
async fn eight_hours_of_errors_make_a_short_log() {
    night(Fault::status("/", 503), |lines| {
        for once in
            ["queue.gated", "credential.renewal_failed", "credential.at_risk", "provider.recovered"]
        {
            assert_eq!(count(lines, once), 1, "{once}");
        }
        assert!((6..=8).contains(&count(lines, "provider.failing")));
        let back = lines.iter().find(|line| line.contains("provider.recovered")).unwrap();
        assert!(
            back.contains("certn: is back: after 8h") && back.contains("since 2027-01-14T22:0")
        );
        assert!(back.contains("(http_503 "), "{back}");
    })
    .await;
}

#[tokio::test]
async fn eight_hours_of_being_asked_to_wait_make_a_short_log() {
    let kind = FaultKind::Status { code: 429, retry_after: Some("300".to_owned()) };
    night(Fault::new("/", kind), |lines| {
        assert!(count(lines, "queue.gated") <= 2);
        assert_eq!(count(lines, "provider.recovered"), 1);
        assert!((6..=8).contains(&count(lines, "provider.failing")));
    })
    .await;
}
