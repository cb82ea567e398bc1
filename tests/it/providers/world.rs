//! One simulated provider, and a daemon with one account of it.

use std::fmt::Write as _;

use attendant::{
    clock::Clock,
    definition::Registry,
    sandbox::{Options, Provider, RateLimit, Recorded, Sandbox},
};
use serde_json::Value;

use crate::support::daemon::{Daemon, Site};

/// What a world is made of.
pub struct Plan {
    provider: Provider,
    /// Names of the definition with their values.
    secrets: Vec<(&'static str, String)>,
    /// Texts of the shipped definition with what an operator would write instead.
    mended: Vec<(&'static str, &'static str)>,
    rotation: bool,
    rate_limit: Option<RateLimit>,
    base_path: &'static str,
}

impl Plan {
    /// The provider with the account that it lets in.
    pub fn of(provider: Provider) -> Self {
        let (secrets, base_path) = (provider.secrets(), provider.base_path());
        Self { provider, secrets, mended: vec![], rotation: true, rate_limit: None, base_path }
    }

    /// With these secrets and no others.
    pub fn secrets(mut self, secrets: &[(&'static str, &str)]) -> Self {
        self.secrets = secrets.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self
    }

    pub fn mended(mut self, old: &'static str, new: &'static str) -> Self {
        self.mended.push((old, new));
        self
    }

    /// Without what the account does by itself, where a test counts tokens or requests.
    pub fn without_rotation(mut self) -> Self {
        self.rotation = false;
        self
    }

    pub fn rate_limit(mut self, rate_limit: RateLimit) -> Self {
        self.rate_limit = Some(rate_limit);
        self
    }

    pub fn base_path(mut self, path: &'static str) -> Self {
        self.base_path = path;
        self
    }

    pub async fn start(self) -> World {
        let (name, params) = (self.provider.name(), self.provider.params());
        let options =
            Options { rate_limit: self.rate_limit, ..Options::new(Clock::System, self.provider) };
        let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), options).await.unwrap();
        let site = Site::new();
        let mut account = format!(
            "[accounts.{name}]\nprovider = \"{name}\"\nbase_url = \"{}{}\"\nlimits = []\n",
            sandbox.base_url(),
            self.base_path
        );
        for (param, value) in params {
            writeln!(account, "params.{param} = \"{value}\"").unwrap();
        }
        for (secret, value) in self.secrets {
            site.write(secret, &value);
            writeln!(account, "secrets.{secret} = {{ file = \"{secret}\" }}").unwrap();
        }
        site.configure(&account);
        let mut definition = mend(name, &self.mended);
        if !self.rotation {
            definition = without_rotations(&definition);
        }
        site.write(&format!("jobs.d/{name}.toml"), &definition);
        let daemon = site.start();
        World { daemon, site, sandbox, name }
    }
}

fn mend(name: &str, mended: &[(&str, &str)]) -> String {
    let mut text = Registry::load(None).unwrap().provider(name).unwrap().source_toml.clone();
    for (old, new) in mended {
        assert!(text.contains(old), "{name} has no {old}");
        text = text.replace(old, new);
    }
    text
}

/// The definition but for its rotated credentials, which is a file as an operator could write it.
fn without_rotations(definition: &str) -> String {
    let rotates = |section: &&str| !section.contains("\nshape      = \"rotate\"");
    let sections: Vec<_> = definition.split("\n\n").filter(rotates).collect();
    assert_ne!(sections.len(), definition.split("\n\n").count(), "nothing rotates");
    sections.join("\n\n")
}

pub struct World {
    pub daemon: Daemon,
    pub site: Site,
    pub sandbox: Sandbox,
    name: &'static str,
}

/// How a job ended.
#[derive(Debug)]
pub struct Ended {
    pub result: Value,
    /// As `jobs show` has it.
    pub job: Value,
}

impl Ended {
    pub fn code(&self) -> &str {
        self.job["last_error"]["code"].as_str().unwrap_or("none")
    }

    /// That it is dead with this code, and what the provider said.
    #[track_caller]
    pub fn died(&self, code: &str) -> &str {
        assert_eq!((&self.job["state"], self.code()), (&"dead".into(), code), "{:#}", self.job);
        self.job["last_error"]["message"].as_str().unwrap_or_default()
    }

    /// That it was done at the first attempt.
    #[track_caller]
    pub fn done(self) -> Value {
        let seen = (&self.job["state"], &self.job["attempt"], &self.job["errors"]);
        assert_eq!(seen, (&"completed".into(), &1.into(), &0.into()), "{:#}", self.job);
        self.result
    }
}

impl World {
    pub fn enqueue(&self, kind: &str, args: &Value) -> String {
        let kind = format!("{}.{kind}", self.name);
        self.site.ok(&["enqueue", &kind, "--args", &args.to_string()])
    }

    /// Runs a job to its end.
    pub fn run(&self, kind: &str, args: &Value) -> Ended {
        let id = self.enqueue(kind, args);
        self.site.run(&["jobs", "wait", &id, "--timeout", "30s"]);
        self.ended(&id)
    }

    pub fn ended(&self, id: &str) -> Ended {
        let job = self.site.job(id);
        let output = self.site.run(&["jobs", "result", id]);
        let text = String::from_utf8(output.stdout).unwrap();
        let text = text.trim();
        let result = serde_json::from_str(text).unwrap_or_else(|_| text.into());
        Ended { result, job }
    }

    /// Waits until a job has failed once and is to be tried again.
    pub fn failed_once(&mut self, kind: &str, args: &Value) -> Ended {
        let id = self.enqueue(kind, args);
        loop {
            let line = self.daemon.wait_for("job.retry_scheduled");
            if line.contains(&id) {
                return self.ended(&id);
            }
        }
    }

    pub fn token(&self, credential: &str) -> String {
        let name = format!("{}/{credential}", self.name);
        self.site.ok(&["token", &name, "--min-ttl", "0s", "--timeout", "20s"])
    }

    /// The requests to a target, as `METHOD path`, those refused included.
    pub fn asked(&self, target: &str) -> Vec<Recorded> {
        self.sandbox.requests_to(target)
    }

    /// That a wrong login was tried twice and then no more.
    pub fn locks_out(&mut self, login: &str) {
        self.daemon.wait_for("credential.locked_out");
        let tries = self.asked(login).len();
        assert_eq!(tries, 2, "tries of {login}");
        let name = format!("{}/", self.name);
        let shown = self.site.json(&["credentials"]);
        let all = shown["credentials"].as_array().unwrap();
        assert!(all.iter().any(|one| one["state"] == "locked_out"), "{name}: {shown:#}");
    }
}

/// A request's header, as text.
pub fn header<'r>(request: &'r Recorded, name: &str) -> &'r str {
    request.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

pub fn body(request: &Recorded) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}
