//! All providers with distinctive secrets, one daemon that logs at trace level, and everything
//! that it and the commands ever said.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::Output,
};

use attendant::{
    clock::Clock,
    sandbox::{Fault, FaultKind, Options, Provider, Sandbox, certiscan, certn, controlbyweb},
    sandbox::{ipseity, scantrust},
};
use serde_json::Value;

use super::forms::Canaries;
use crate::support::{
    daemon::{Daemon, Site, files},
    journal::Journal,
    until,
};

/// Secrets as people choose them: with what must be escaped in URLs, JSON, HTML and shells.
pub const CONFIGURED: [&str; 7] = [
    "canary-certn/\"9f04+&<s>ä",
    "canary-cbw-given-71aa",
    "canary-cbw/pass'7 1+ü",
    "canary-scantrust~pass\\55%41",
    "canary-session-e77b.1",
    "canary-certiscan=secret&9",
    "canary-ipseity{{pass}}#3",
];
/// Who the accounts are: shown in results, nowhere else.
pub const NAMES: [&str; 4] =
    ["canary-id-5dc1", "canary-cbw-user", "canary@mail-5.example", "canary-ipseity-user"];
pub const SUBJECT: &str = "ca9a17e5-56c8-4593-8e51-5e98c5afbbbe";

const DEFINITION: &str = r#"
provider = "nest"
title = "A provider with secrets within arguments"
auth = "none"

[jobs.watch]
title = "A follow with a secret"
shape = "follow"
every = "200ms"
deadline = "1h"
args = { id = { title = "What", type = "id" }, box = { title = "Secrets", type = "object", secret = true } }
unique = ["id"]
request = { method = "POST", path = "/version", json = "args.box" }
status = "body"
until = "http.status == 418"
"#;

/// What the command of a sink says and leaves behind.
const COMMAND: &str = r#"
cat "$ATTENDANT_FILE" "$1"/given/*
base64 -w0 "$ATTENDANT_FILE"
cat /proc/$$/environ /proc/$$/cmdline >> "$1/seen"
exit 3
"#;

pub struct World {
    pub sandboxes: Vec<(&'static str, Sandbox)>,
    pub site: Site,
    pub daemon: Option<Daemon>,
    journal: Journal,
    starts: u32,
    /// Everything that was said, with where.
    pub said: Vec<(String, Vec<u8>)>,
}

fn providers() -> [Provider; 5] {
    let [certn, given, cbw, scantrust, session, certiscan, ipseity] = CONFIGURED.map(str::to_owned);
    let [client_id, username, email, user] = NAMES.map(str::to_owned);
    [
        Provider::Certn(certn::Settings { client_id, client_secret: certn, ..Default::default() }),
        Provider::ControlByWeb(controlbyweb::Settings {
            auth_token: given,
            username,
            password: cbw,
            ..Default::default()
        }),
        Provider::ScanTrust(scantrust::Settings {
            email,
            password: scantrust,
            login_limit: None,
            ..Default::default()
        }),
        Provider::CertiScan(certiscan::Settings {
            auth_token: session,
            subject: SUBJECT.to_owned(),
            secret: certiscan,
            ..Default::default()
        }),
        Provider::Ipseity(ipseity::Settings { user, pass: ipseity, ..Default::default() }),
    ]
}

impl World {
    pub async fn start() -> Self {
        let site = Site::new();
        let (mut sandboxes, mut accounts) = (vec![], String::new());
        for provider in providers() {
            let (name, path) = (provider.name(), provider.base_path());
            let (mut secrets, params) = (provider.secrets(), provider.params());
            let given = match &provider {
                Provider::ControlByWeb(one) => Some(&one.auth_token),
                Provider::CertiScan(one) => Some(&one.auth_token),
                _ => None,
            };
            secrets.extend(given.map(|token| ("auth_token", format!("Bearer {token}"))));
            let options = Options::new(Clock::System, provider);
            let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), options).await.unwrap();
            let base = format!("{}{path}", sandbox.base_url());
            writeln!(
                accounts,
                "[accounts.{name}]\nprovider = \"{name}\"\nbase_url = \"{base}\"\nlimits = []"
            )
            .unwrap();
            for (param, value) in params {
                writeln!(accounts, "params.{param} = \"{value}\"\noverlap = \"1s\"").unwrap();
            }
            for (secret, value) in secrets {
                let from = match secret {
                    "client_id" => "credential = \"client_id\"".to_owned(),
                    "client_secret" => "env = \"CANARY_SECRET\"".to_owned(),
                    _ => format!("file = \"given/{name}-{secret}\""),
                };
                let file = if secret == "client_id" { secret } else { &format!("{name}-{secret}") };
                site.write(&format!("given/{file}"), &format!("{value}\n"));
                writeln!(accounts, "secrets.{secret} = {{ {from} }}").unwrap();
            }
            sandboxes.push((name, sandbox));
        }
        let folder = site.folder.path().display().to_string();
        let ipseity = sandboxes[4].1.base_url();
        write!(
            accounts,
            "[[accounts.ipseity.sinks]]\ncredential = \"access_token\"\nfile = \
             \"{folder}/out/token\"\ntemplate = \"TOKEN={{{{ value }}}}\\n\"\non_change = \
             [\"/bin/sh\", \"{folder}/changed\", \"{folder}\"]\n\
             [accounts.nest]\nprovider = \"nest\"\nbase_url = \"{ipseity}\"\nlimits = []\n"
        )
        .unwrap();
        site.configure(&accounts);
        let config = std::fs::read_to_string(site.path("attendant.toml")).unwrap();
        let config = config.replace("debug,hyper=info,hyper_util=info,reqwest=info", "trace");
        site.write("attendant.toml", &config);
        site.write("jobs.d/nest.toml", DEFINITION);
        site.write("changed", COMMAND);
        std::fs::create_dir(site.path("out")).unwrap();
        let (daemon, said) = (None, vec![]);
        let mut world =
            Self { sandboxes, site, daemon, journal: Journal::listen(), starts: 0, said };
        world.restart();
        world
    }

    /// Kills the daemon where there is one, and starts the next: every other logs to the journal.
    pub fn restart(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            self.said.push(("the log".to_owned(), daemon.kill().join("\n").into_bytes()));
            self.said.push(("the log in the journal".to_owned(), self.journal.take_bytes()));
            self.keep_files();
        }
        let given = self.site.path("given").display().to_string();
        let secrets = [("CANARY_SECRET", CONFIGURED[0]), ("CREDENTIALS_DIRECTORY", &given)];
        self.starts += 1;
        self.daemon = Some(if self.starts.is_multiple_of(2) {
            self.site.start_journaled(&self.journal, &secrets)
        } else {
            self.site.start_in(&secrets)
        });
    }

    /// Takes the given tokens out of the configuration, so that accounts must log in.
    pub fn forget_given(&self) {
        let config = std::fs::read_to_string(self.site.path("attendant.toml")).unwrap();
        let kept = config.lines().filter(|line| !line.starts_with("secrets.auth_token"));
        self.site.write("attendant.toml", &kept.collect::<Vec<_>>().join("\n"));
        // What the daemon does not know it cannot hide: the command must not say them either.
        for name in ["controlbyweb", "certiscan"] {
            std::fs::remove_file(self.site.path(&format!("given/{name}-auth_token"))).unwrap();
        }
    }

    pub fn stop(&mut self) {
        let log = self.daemon.take().unwrap().stop();
        self.said.push(("the log".to_owned(), log.join("\n").into_bytes()));
        self.keep_files();
    }

    /// Every file but those that are to hold secrets.
    pub fn keep_files(&mut self) {
        let meant = ["given", "out"].map(|name| self.site.path(name));
        for file in files(self.site.folder.path()) {
            let is_meant = meant.iter().any(|folder| file.starts_with(folder));
            if !is_meant && file.metadata().is_ok_and(|data| data.is_file()) {
                let name = file.file_name().unwrap().to_string_lossy().into_owned();
                self.said.push((format!("file {name}"), std::fs::read(&file).unwrap()));
            }
        }
    }

    pub fn sandbox(&self, provider: &str) -> &Sandbox {
        &self.sandboxes.iter().find(|(name, _)| *name == provider).unwrap().1
    }

    pub fn echo(&self, provider: &str, target: &str, code: u16, times: u32) {
        self.sandbox(provider).fault(Fault::new(target, FaultKind::Echo(code)).times(times));
    }

    pub fn calm(&self) {
        for (_, sandbox) in &self.sandboxes {
            sandbox.clear_faults();
        }
    }

    /// Runs a command and keeps what it says.
    pub fn run(&mut self, args: &[&str]) -> Output {
        let output = self.site.run(args);
        let said = [&output.stdout[..], &output.stderr].concat();
        self.said.push((format!("the answer to {}", args[..2.min(args.len())].join(" ")), said));
        output
    }

    pub fn show(&mut self, args: &[&str]) {
        self.run(args);
        self.run(&[args, &["--json"]].concat());
    }

    /// Enqueues a job; its id.
    pub fn enqueue(&mut self, kind: &str, args: &Value) -> String {
        let output = self.run(&["enqueue", kind, "--args", &args.to_string(), "--unkeyed"]);
        assert!(output.status.success(), "{kind}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs a job until its first attempt has ended, and no further.
    pub async fn attempt(&mut self, kind: &str, args: &Value) -> String {
        let id = self.enqueue(kind, args);
        until(&format!("an attempt of {kind}"), || {
            let job = self.site.job(&id);
            ["completed", "dead"].contains(&job["state"].as_str().unwrap())
                || job["attempts"].as_array().is_some_and(|all| !all.is_empty())
        })
        .await;
        self.show(&["jobs", "show", &id]);
        self.run(&["jobs", "cancel", &id]);
        id
    }

    /// Renews a credential until that has ended, well or not; its state.
    pub async fn renew(&mut self, name: &str) -> Value {
        let see = |site: &Site| {
            let shown = site.json(&["credentials", "show", name]);
            (shown["generation"].clone(), shown["last_error"]["at"].clone(), shown)
        };
        let before = see(&self.site);
        self.run(&["credentials", "renew", name]);
        let mut last = Value::Null;
        until(&format!("the renewal of {name}: {}", before.2), || {
            let now = see(&self.site);
            last = now.2;
            now.0 != before.0 || (now.1 != before.1 && !now.1.is_null())
        })
        .await;
        self.show(&["credentials", "show", name]);
        last
    }

    /// One request to the API, as it is; its answer.
    pub fn ask(&mut self, method: &str, target: &str, body: &str) -> String {
        let mut stream = UnixStream::connect(self.site.path("attendant.sock")).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).unwrap();
        self.said.push((format!("{method} {target}"), answer.clone()));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// That nothing that was said has one of these, but where it is `meant`.
    pub fn shows_none(&self, canaries: &Canaries, meant: impl Fn(&str) -> bool) {
        let mut leaks = String::new();
        for (place, bytes) in self.said.iter().filter(|(place, _)| !meant(place)) {
            for (canary, around) in canaries.seen(bytes) {
                writeln!(leaks, "{canary} in {place}: …{around}…\n").unwrap();
            }
        }
        assert!(leaks.is_empty(), "{leaks}");
    }
}
