//! Values in other programs' files and the commands that tell them: the real binary, the simulated
//! Certn, real files and processes.

use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use attendant::{
    clock::Clock,
    sandbox::{Fault, Options, Provider, Sandbox, certn},
};
use serde_json::Value;

use crate::support::{daemon::Site, until};

const LONG: Duration = Duration::from_mins(10);
const SECRET: &str = "sandbox-secret";

struct World {
    sandbox: Sandbox,
    site: Site,
}

/// A Certn account with these sinks; `DIR` in them is the site's folder.
async fn world(token_life: Duration, sinks: &str) -> World {
    let settings = certn::Settings { token_life, ..certn::Settings::default() };
    let options = Options { provider: Provider::Certn(settings), ..Options::certn(Clock::System) };
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), options).await.unwrap();
    let site = Site::certn(&sandbox.base_url(), "sandbox-client", SECRET);
    let world = World { sandbox, site };
    let config = std::fs::read_to_string(world.path("attendant.toml")).unwrap();
    let folder = world.site.folder.path().display().to_string();
    world.site.write("attendant.toml", &format!("{config}\n{}", sinks.replace("DIR", &folder)));
    std::fs::create_dir(world.path("out")).unwrap();
    world
}

/// A sink with a command that is a shell script in the site's folder.
fn sink(name: &str, rest: &str) -> String {
    format!(
        "[[accounts.certn.sinks]]\ncredential = \"access_token\"\nfile = \"DIR/out/{name}\"\n{rest}\n"
    )
}

const SCRIPT: &str = "on_change = [\"/bin/sh\", \"DIR/changed\", \"DIR\"]\n";

impl World {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.site.path(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Obtains another value.
    fn renew(&self) {
        self.site.ok(&["credentials", "renew", "certn/access_token"]);
    }

    fn token(&self) -> String {
        self.site.ok(&["token", "certn", "--min-ttl", "0s"])
    }

    fn sink(&self, n: usize) -> Value {
        self.site.json(&["credentials", "show", "certn/access_token"])["sinks"][n].clone()
    }

    async fn until_sink(&self, what: &str, mut so: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        until(what, || {
            last = self.sink(0);
            so(&last)
        })
        .await;
        last
    }

    fn jobs(&self) -> Vec<Value> {
        let jobs = self.site.json(&["jobs", "--kind", "attendant.on_change"]);
        jobs["jobs"].as_array().unwrap().clone()
    }
}

fn completed(sink: &Value, generation: i64) -> bool {
    sink["generation"] == generation && sink["command"]["state"] == "completed"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_changes_with_its_value_and_a_command_hears_of_it() {
    let rest = format!(
        "mode = \"0640\"\ntemplate = \"TOKEN={{{{ value }}}} # {{{{ account }}}} {{{{ name }}}} {{{{ \
         generation }}}} {{{{ expires_at }}}}\\n\"\n{SCRIPT}"
    );
    let world = world(LONG, &sink("token", &rest)).await;
    world.site.write("changed", "{ pwd; cat; env | sort; echo; } >> \"$1/ran\"\n");
    let mut daemon = world.site.start();
    let line = daemon.wait_for("sink.written");
    assert!(line.contains("out/token"), "{line}");
    let sink = world.until_sink("the first command", |sink| completed(sink, 1)).await;
    assert_eq!(sink["state"], "written", "{sink:#}");
    let first = world.token();
    let shown = world.site.json(&["credentials", "show", "certn/access_token"]);
    let expires_at = shown["expires_at"].as_str().unwrap().to_owned();
    let content = format!("TOKEN={first} # certn access_token 1 {expires_at}\n");
    assert_eq!(world.read("out/token"), content);
    let file = world.path("out/token");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o640);

    world.renew();
    world.until_sink("the second command", |sink| completed(sink, 2)).await;
    let second = world.token();
    assert_ne!(first, second);
    assert!(world.read("out/token").starts_with(&format!("TOKEN={second} # ")));
    let ran = world.read("ran");
    let runs: Vec<&str> = ran.trim_end().split("\n\n").collect();
    assert_eq!(runs.len(), 2, "{ran}");
    for (n, run) in runs.iter().enumerate() {
        let mut lines = run.lines();
        assert_eq!(lines.next(), Some("/"), "{run}");
        let known: Vec<&str> =
            lines.filter(|line| !line.starts_with("PWD=") && !line.starts_with("_=")).collect();
        assert_eq!(known[0], "ATTENDANT_ACCOUNT=certn", "{run}");
        assert_eq!(known[1], "ATTENDANT_CREDENTIAL=access_token", "{run}");
        assert!(known[2].starts_with("ATTENDANT_EXPIRES_AT=20"), "{run}");
        assert_eq!(known[3], format!("ATTENDANT_FILE={}", file.display()), "{run}");
        assert_eq!(known[4], format!("ATTENDANT_GENERATION={}", n + 1), "{run}");
        assert!(known[5].starts_with("PATH="), "{run}");
        assert_eq!(known.len(), 6, "{run}");
    }
    assert_eq!(
        world.site.json(&["jobs", "--tag", "certn/access_token"])["jobs"][0]["args"]["generation"],
        2
    );
    let entries = std::fs::read_dir(world.path("out")).unwrap().count();
    assert_eq!(entries, 1);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_command_is_retried_shown_without_secrets_and_held_by_nothing() {
    let world = world(LONG, &sink("token", SCRIPT)).await;
    let script = format!(
        "[ -e \"$1/good\" ] && exit 0\necho \"token $(cat $ATTENDANT_FILE) secret {SECRET}\" >&2\n\
         echo out; exit 3\n"
    );
    world.site.write("changed", &script);
    let mut daemon = world.site.start();
    daemon.wait_for("job.retry_scheduled");
    world.until_sink("an error", |sink| sink["command"]["errors"].as_i64() >= Some(1)).await;
    let token = world.token();
    let job = world.jobs().remove(0);
    let id = job["id"].as_str().unwrap();
    let shown = world.site.job(id);
    let message = shown["attempts"][0]["message"].as_str().unwrap();
    assert!(message.contains("/bin/sh ended with exit status: 3"), "{message}");
    assert!(message.contains("token *** secret ***\nout"), "{message}");
    assert_eq!(shown["attempts"][0]["code"], "command_failed", "{shown:#}");
    assert_eq!(shown["args"]["file"], world.path("out/token").display().to_string());
    let all = world.site.ok(&["jobs", "show", id])
        + &world.site.ok(&["credentials", "show", "certn/access_token"]);
    assert!(!all.contains(&token) && !all.contains(SECRET), "{all}");
    assert!(all.contains("after command_failed, see `attendant jobs show"), "{all}");

    // A pause of the account holds neither it nor the file.
    world.site.ok(&["queues", "pause", "certn"]);
    world.site.write("good", "");
    world.site.ok(&["jobs", "retry", id]);
    world.until_sink("the retry", |sink| completed(sink, 1)).await;
    let log = daemon.stop().join("\n");
    assert!(!log.contains(&token) && !log.contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_generation_overtakes_a_waiting_command() {
    let world = world(LONG, &sink("token", SCRIPT)).await;
    world.site.write(
        "changed",
        "echo $ATTENDANT_GENERATION >> \"$1/ran\"; [ $ATTENDANT_GENERATION != 1 ]\n",
    );
    let _daemon = world.site.start();
    world.until_sink("an error", |sink| sink["command"]["errors"].as_i64() >= Some(1)).await;
    world.renew();
    world.until_sink("the newer one", |sink| completed(sink, 2)).await;
    until("the older one to end", || world.jobs().iter().any(|job| job["state"] == "cancelled"))
        .await;
    let jobs = world.jobs();
    let states: Vec<&str> = jobs.iter().map(|job| job["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["completed", "cancelled"]);
    assert_eq!(jobs[1]["last_error"]["message"], "generation 2 has taken the place of 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_under_way_is_followed_by_one_for_the_newest() {
    let world = world(LONG, &sink("token", SCRIPT)).await;
    let script = "echo begin $ATTENDANT_GENERATION >> \"$1/ran\"\n\
                  while [ ! -e \"$1/go\" ]; do sleep 0.05; done\n\
                  echo end $ATTENDANT_GENERATION >> \"$1/ran\"\n";
    world.site.write("changed", script);
    let _daemon = world.site.start();
    until("the first run", || world.read("ran") == "begin 1\n").await;
    for generation in 2..=3 {
        world.renew();
        world.until_sink("a newer value", |sink| sink["generation"] == generation).await;
    }
    assert_eq!(world.read("ran"), "begin 1\n");
    world.site.write("go", "");
    world.until_sink("the newest", |sink| completed(sink, 3)).await;
    assert_eq!(world.read("ran"), "begin 1\nend 1\nbegin 3\nend 3\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_command_is_killed_with_its_children() {
    let world = world(LONG, &sink("token", &format!("{SCRIPT}timeout = \"500ms\"\n"))).await;
    world.site.write("changed", "sleep 300 & echo $! >> \"$1/pids\"; echo waiting; wait\n");
    let _daemon = world.site.start();
    let sink =
        world.until_sink("an error", |sink| sink["command"]["errors"].as_i64() >= Some(1)).await;
    assert_eq!(sink["command"]["last_error"], "timeout");
    let id = sink["command"]["job_id"].as_str().unwrap().to_owned();
    let message = world.site.job(&id)["attempts"][0]["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "/bin/sh did not end within 500ms and was killed; it said:\nwaiting");
    let pid = world.read("pids").lines().next().unwrap().to_owned();
    until("the child to be gone", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_err() || stat.unwrap().contains(") Z ")
    })
    .await;
    world.site.ok(&["jobs", "cancel", &id]);
    until("the cancel", || world.site.job(&id)["state"] == "cancelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_is_shown_and_delays_nothing() {
    let sinks = sink("missing/token", SCRIPT) + &sink("good", "");
    let world = world(LONG, &sinks).await;
    world.site.write("changed", "echo $ATTENDANT_GENERATION >> \"$1/ran\"\n");
    let mut daemon = world.site.start();
    let line = daemon.wait_for("sink.failing");
    assert!(line.contains("out/missing cannot be opened") && line.contains("make it"), "{line}");
    let first = world.token();
    world.renew();
    until("the good sink", || world.sink(1)["generation"] == 2).await;
    let second = world.token();
    assert_ne!(first, second);
    assert_eq!(world.read("out/good"), second);
    let sink = world.sink(0);
    assert_eq!(
        (&sink["state"], &sink["generation"]),
        (&"failing".into(), &Value::Null),
        "{sink:#}"
    );
    assert_eq!(sink["last_error"]["code"], "sink_failed");
    let status = world.site.run(&["status"]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert_eq!(status.status.code(), Some(1), "{said}");
    assert!(said.contains("not ready") && said.contains("sink_failing"), "{said}");
    assert!(said.contains("out/missing"), "{said}");
    assert!(world.jobs().is_empty());
    // Mended, it goes on by itself, with the newest value alone.
    std::fs::create_dir(world.path("out/missing")).unwrap();
    world.until_sink("the mended one", |sink| completed(sink, 2)).await;
    assert_eq!(world.read("out/missing/token"), second);
    assert_eq!(world.read("ran"), "2\n");
    world.site.ok(&["status"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_start_only_what_differs_is_written() {
    let world = world(LONG, &sink("token", SCRIPT)).await;
    world.site.write("changed", "echo $ATTENDANT_GENERATION >> \"$1/ran\"\n");
    let daemon = world.site.start();
    world.until_sink("the command", |sink| completed(sink, 1)).await;
    daemon.stop();
    let file = world.path("out/token");
    let inode = |file: &Path| file.metadata().unwrap().ino();
    let before = inode(&file);

    let daemon = world.site.start();
    // The sink of another credential would be told by then; this one has nothing to tell.
    let token = world.token();
    until("the look at it", || world.sink(0)["state"] == "written").await;
    let log = daemon.stop().join("\n");
    assert!(!log.contains("sink.written"), "{log}");
    assert_eq!((inode(&file), world.read("ran").as_str()), (before, "1\n"));

    for meddle in ["content", "mode", "gone"] {
        match meddle {
            "content" => std::fs::write(&file, "theirs").unwrap(),
            "mode" => {
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
            }
            _ => std::fs::remove_file(&file).unwrap(),
        }
        let runs = world.read("ran").lines().count();
        let daemon = world.site.start();
        until("the command to run again", || world.read("ran").lines().count() > runs).await;
        assert_eq!(world.read("out/token"), token, "{meddle}");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600, "{meddle}");
        daemon.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_value_is_removed_or_kept() {
    let sinks = sink("removed", "on_expire = \"remove\"\n") + &sink("kept", "");
    let world = world(Duration::from_secs(3), &sinks).await;
    // The first token comes, no other ever does.
    world.sandbox.fault(Fault::status("POST /token/", 503).times(u32::MAX).after(1));
    let mut daemon = world.site.start();
    for _ in 0..2 {
        daemon.wait_for("sink.written");
    }
    let token = world.read("out/kept");
    assert!(!token.is_empty());
    daemon.wait_for("sink.removed");
    assert!(!world.path("out/removed").exists());
    assert_eq!(world.sink(0)["state"], "removed");
    daemon.stop();
    // Killed before it expired, it is removed at the start.
    std::fs::write(world.path("out/removed"), &token).unwrap();
    let mut daemon = world.site.start();
    daemon.wait_for("sink.removed");
    assert!(!world.path("out/removed").exists());
    assert_eq!(world.read("out/kept"), token);
}

#[cfg(feature = "crash-points")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_the_file_is_right_and_the_command_runs() {
    for point in ["published", "sink_written", "sink_handed", "on_change"] {
        let world = world(LONG, &sink("token", SCRIPT)).await;
        world.site.write("changed", "echo $ATTENDANT_GENERATION >> \"$1/ran\"\n");
        world.site.spawn(Some(point)).crashed();
        assert_eq!(world.path("out/token").exists(), point != "published", "{point}");
        let before = world.read("ran").lines().count();
        let _daemon = world.site.start();
        let sink = world.until_sink(point, |sink| completed(sink, 1)).await;
        assert_eq!(sink["state"], "written", "{point}");
        assert_eq!(world.read("out/token"), world.token(), "{point}");
        assert!(world.read("ran").lines().count() > before, "{point}");
        assert_eq!(world.sandbox.counters().tokens_issued, 1, "{point}");
        let ended = world.jobs().iter().all(|job| job["state"] == "completed");
        assert!(ended, "{point}");
    }
}

#[test]
fn check_names_what_is_wrong_with_a_sink() {
    let site = Site::certn("http://127.0.0.1:1", "a", "b");
    let config = std::fs::read_to_string(site.path("attendant.toml")).unwrap();
    let sinks = "[[accounts.certn.sinks]]\ncredential = \"acces_token\"\nfile = \"/run/x\"\n\
                 group = \"no-such-group\"\n";
    site.write("attendant.toml", &format!("{config}{sinks}"));
    let check = || {
        let said = site.run(&["check"]);
        assert_eq!(said.status.code(), Some(2));
        String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned()
    };
    let said = check();
    let words = "accounts.certn.sinks[0].credential: certn keeps no credential `acces_token`; it \
                 keeps: access_token";
    assert!(said.contains(words), "{said}");
    let bad =
        format!("{config}{}", sinks.replace("group =", "template = \"{{ valeu }}\"\ngroup ="));
    site.write("attendant.toml", &bad.replace("acces_token", "access_token"));
    let said = check();
    assert!(said.contains("sinks[0].template: uses `valeu`, which is not there"), "{said}");
}
