//! A twelve-hour token, compressed to seconds: it rotates through outages, lost replies, throttling
//! and SIGKILLs, and whoever asks has a live value every time.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use attendant::{
    clock::Clock,
    sandbox::{Fault, FaultKind, Options, Provider, Sandbox, Sort, controlbyweb::Settings},
};
use serde_json::Value;

use crate::support::{
    daemon::{Daemon, Site},
    until,
};

const LIFE: Duration = Duration::from_secs(8);
const CREATE: &str = "POST /api/v1/accounts/";
const VALUE: &str = "/v1/credentials/gate/certificate_request_token/value?min_ttl=0s";
/// No daemon is down for longer.
const RESTART: Duration = Duration::from_secs(10);

struct World {
    sandbox: Sandbox,
    site: Site,
}

impl World {
    async fn start() -> Self {
        let settings = Settings { certificate_life: LIFE, ..Settings::default() };
        let account = settings.account_id;
        let site = Site::new();
        site.write("auth_token", &settings.auth_token);
        let options = Options::new(Clock::System, Provider::ControlByWeb(settings));
        let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), options).await.unwrap();
        site.configure(&format!(
            "[accounts.gate]\nprovider = \"controlbyweb\"\nbase_url = \"{}/api/v1\"\n\
             limits = []\noverlap = \"2s\"\nparams.account_id = {account}\n\
             secrets.auth_token = {{ file = \"auth_token\" }}\n\
             [[accounts.gate.sinks]]\ncredential = \"certificate_request_token\"\n\
             file = \"{}\"\n",
            sandbox.base_url(),
            site.path("token").display(),
        ));
        Self { sandbox, site }
    }

    /// How many rotations there have been.
    fn generation(&self) -> i64 {
        let shown = self.site.json(&["credentials", "show", "gate/certificate_request_token"]);
        shown["generation"].as_i64().unwrap()
    }

    fn created(&self) -> u64 {
        self.sandbox.counters().issued.get(&Sort::Certificate).map_or(0, |issued| issued.total)
    }

    /// Lets a fault meet the next rotation, and waits until that is over.
    async fn rotate_through(&self, fault: Fault) {
        let before = self.generation();
        self.sandbox.fault(fault);
        until("a rotation", || self.generation() > before).await;
    }
}

/// A program that asks ten times a second, over the socket and in the file.
struct Reader {
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicU32>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl Reader {
    fn start(world: &Arc<World>) -> Self {
        let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (world, over, count) = (Arc::clone(world), Arc::clone(&stop), Arc::clone(&reads));
        let thread = std::thread::spawn(move || {
            let mut failures = vec![];
            while !over.load(Ordering::Acquire) {
                failures.extend(one_read(&world).err());
                failures.extend(one_look(&world).err());
                count.fetch_add(1, Ordering::AcqRel);
                std::thread::sleep(Duration::from_millis(100));
            }
            failures
        });
        Self { stop, reads, thread }
    }

    /// How many reads there were, and what was wrong with some.
    fn end(self) -> (u32, Vec<String>) {
        self.stop.store(true, Ordering::Release);
        let failures = self.thread.join().unwrap();
        (self.reads.load(Ordering::Acquire), failures)
    }
}

/// A value by the API. While the daemon is being started again, it is asked again.
fn one_read(world: &World) -> Result<(), String> {
    let socket = world.site.path("attendant.sock");
    let begun = std::time::Instant::now();
    let answer = loop {
        match ask(&socket) {
            Some(answer) => break answer,
            None if begun.elapsed() > RESTART => return Err("nobody answers".to_owned()),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("no value: {head} {body}"));
    }
    let answer: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let value = answer["value"].as_str().unwrap_or_default();
    if world.sandbox.admits_device(value) { Ok(()) } else { Err("a dead value".to_owned()) }
}

/// One request; `None` where the daemon went away, or is not there.
fn ask(socket: &PathBuf) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let request = format!("GET {VALUE} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.contains("\r\n\r\n").then_some(answer)
}

/// The value in the file, which is there whether a daemon is or not.
fn one_look(world: &World) -> Result<(), String> {
    let value = std::fs::read_to_string(world.site.path("token"));
    let value = value.map_err(|error| format!("the file: {error}"))?;
    if world.sandbox.admits_device(&value) {
        Ok(())
    } else {
        Err("a dead value in the file".to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn not_one_read_without_a_live_value() {
    let world = Arc::new(World::start().await);
    let mut daemon = world.site.start();
    until("the first value", || world.site.path("token").exists()).await;
    let reader = Reader::start(&world);
    let mut faults = 0;

    // Plainly, once.
    world.rotate_through(Fault::status("GET /api/v1/nothing", 500)).await;
    world.sandbox.clear_faults();
    // The provider is away for a while.
    let outage = FaultKind::Status { code: 503, retry_after: None };
    world.rotate_through(Fault::new("/api/v1/accounts/", outage).times(3)).await;
    // It asks us to wait.
    let wait = FaultKind::Status { code: 429, retry_after: Some("1".to_owned()) };
    world.rotate_through(Fault::new(CREATE, wait)).await;
    // The reply to the create is lost, though it was carried out.
    world.rotate_through(Fault::new(CREATE, FaultKind::LoseReply)).await;
    faults += 1;
    // The reply comes in part.
    world.rotate_through(Fault::new(CREATE, FaultKind::Truncate)).await;
    faults += 1;
    // Killed in the midst of a create, and at two other moments.
    for slow in [true, false, false] {
        daemon = kill_once(&world, daemon, slow).await;
        faults += 1;
    }

    let (reads, failures) = reader.end();
    assert!(failures.is_empty(), "{} of {reads} reads: {failures:?}", failures.len());
    assert!(reads > 100, "{reads} reads");
    let generation = u64::try_from(world.generation()).unwrap();
    let created = world.created();
    assert!(generation >= 8, "{generation} rotations");
    assert!(created <= generation + faults, "{created} tokens in {generation} rotations");
    daemon.stop();
}

/// SIGKILL, and a new daemon; the rotation that was under way is finished.
async fn kill_once(world: &World, daemon: Daemon, slow: bool) -> Daemon {
    let (before, created) = (world.generation(), world.created());
    if slow {
        world.sandbox.fault(Fault::new(CREATE, FaultKind::Slow(Duration::from_millis(500))));
    }
    until("a create", || world.created() > created).await;
    daemon.kill();
    let daemon = world.site.start();
    until("its rotation", || world.generation() > before).await;
    daemon
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_not_revoked_while_a_file_still_has_it() {
    let world = World::start().await;
    let mut daemon = world.site.start();
    let file = world.site.path("token");
    until("the first value", || file.exists()).await;
    let first = std::fs::read_to_string(&file).unwrap();
    // From now on the file cannot be replaced; whoever has read it goes on with what it had.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    daemon.wait_for("credential.published");
    let line = daemon.wait_for("credential.not_revoked");
    assert!(line.contains("a file still has it"), "{line}");
    assert!(world.sandbox.admits_device(&first));
    std::fs::remove_dir(&file).unwrap();
    until("the newest value", || std::fs::read_to_string(&file).is_ok_and(|now| now != first))
        .await;
    until("the old one's end", || !world.sandbox.admits_device(&first)).await;
}
