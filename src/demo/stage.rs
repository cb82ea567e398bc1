//! What the demo plays on: a sandbox, a folder, a daemon of our own, and our own commands.

use std::{
    fmt,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::config::{self, SOCKET};
use crate::{
    clock::{self, Clock},
    sandbox::{Options, Provider, Sandbox},
};

/// How often something is looked at that has not come yet.
const LOOK: Duration = Duration::from_millis(150);
/// How long any single step may take.
const STEP: Duration = Duration::from_secs(25);

/// Why the demo cannot go on.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Something that was shown, and whether it was so.
pub struct Step {
    pub what: String,
    pub held: bool,
    pub seen: String,
}

pub struct Stage {
    /// Certn.
    pub sandbox: Sandbox,
    /// ControlByWeb.
    pub gate: Arc<Sandbox>,
    /// The daemon was killed, and its successor has not answered yet.
    pub down: Arc<AtomicBool>,
    pub steps: Vec<Step>,
    folder: PathBuf,
    program: PathBuf,
    daemon: Option<Child>,
}

impl Stage {
    /// Simulated providers, folder, configuration, definition: all but the daemon.
    pub async fn set() -> Result<Self, Failure> {
        let listen = ([127, 0, 0, 1], 0).into();
        let sandbox = Sandbox::start(listen, Options::certn(Clock::System)).await?;
        let gate = Options::new(Clock::System, Provider::ControlByWeb(config::gate()));
        let gate = Arc::new(Sandbox::start(listen, gate).await?);
        let id = clock::new_job_id(Clock::System.wall());
        let folder = std::env::temp_dir().join(format!("attendant-demo-{id}"));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join("jobs.d"))?;
        config::write(&folder, &sandbox.base_url(), &gate.base_url())?;
        Ok(Self {
            sandbox,
            gate,
            down: Arc::default(),
            steps: vec![],
            program: std::env::current_exe()?,
            daemon: None,
            folder,
        })
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    #[allow(clippy::unused_self)] // it belongs to the stage
    pub fn scene(&self, title: &str) {
        println!("\n--- {title}");
    }

    pub fn check(&mut self, what: &str, held: bool, seen: String) {
        println!("{}  {what}: {seen}", if held { "ok  " } else { "FAIL" });
        self.steps.push(Step { what: what.to_owned(), held, seen });
    }

    pub async fn start_daemon(&mut self) -> Result<(), Failure> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("daemon.log"))?;
        println!("$ attendant --config attendant.toml run");
        let config = self.path("attendant.toml");
        self.daemon = Some(
            Command::new(&self.program)
                .args(["--config", &config, "run"])
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .kill_on_drop(true)
                .spawn()?,
        );
        self.until("the daemon to answer", async |stage| {
            if let Some(daemon) = &mut stage.daemon
                && let Some(status) = daemon.try_wait()?
            {
                let log = std::fs::read_to_string(stage.folder.join("daemon.log"))?;
                return Err(Failure(format!("the daemon ended with {status}:\n{log}")));
            }
            Ok(stage.quiet(&["jobs", "--limit", "1"]).await.is_ok())
        })
        .await?;
        self.down.store(false, Ordering::Release);
        Ok(())
    }

    pub async fn kill_daemon(&mut self) -> Result<(), Failure> {
        if let Some(mut daemon) = self.daemon.take() {
            println!("$ kill -9 $(pidof attendant)");
            self.down.store(true, Ordering::Release);
            daemon.kill().await?;
        }
        Ok(())
    }

    /// SIGTERM; whether it exited with 0.
    pub async fn stop_daemon(&mut self) -> Result<bool, Failure> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(false) };
        let pid = daemon.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.ok_or(Failure("the daemon has no process id".to_owned()))?;
        println!("$ kill -TERM $(pidof attendant)");
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        let status = tokio::time::timeout(STEP, daemon.wait()).await??;
        Ok(status.success())
    }

    /// Ends what runs and removes what was made, unless the story was not `told` to its end.
    pub async fn strike(&mut self, told: bool) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill().await;
        }
        if told && self.steps.iter().all(|step| step.held) {
            let _ = std::fs::remove_dir_all(&self.folder);
        } else {
            println!("\nThe daemon's log and database are left in {}", self.folder.display());
        }
    }

    /// Runs a command of ours, shows it, and returns what it printed.
    pub async fn attendant(&self, args: &[&str]) -> Result<String, Failure> {
        let shown: Vec<&str> = args.iter().map(|arg| short(arg)).collect();
        println!("$ attendant {}", shown.join(" "));
        let printed = self.quiet(args).await?;
        println!("{}", short(&printed));
        Ok(printed)
    }

    /// Runs a command for its output's sake.
    pub async fn show(&self, args: &[&str]) -> Result<(), Failure> {
        println!("$ attendant {}", args.join(" "));
        println!("{}", self.quiet(args).await?);
        Ok(())
    }

    pub async fn json(&self, args: &[&str]) -> Result<Value, Failure> {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        Ok(serde_json::from_str(&self.quiet(&args).await?)?)
    }

    /// Runs a command without showing it.
    pub async fn quiet(&self, args: &[&str]) -> Result<String, Failure> {
        let output = Command::new(&self.program)
            .args(args)
            .env_clear()
            .env("ATTENDANT_SOCKET", self.folder.join(SOCKET))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(STEP + Duration::from_secs(10), output).await??;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Failure(format!("attendant {}: {}", args.join(" "), words.trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Looks until it is so.
    pub async fn until(
        &mut self,
        what: &str,
        mut so: impl AsyncFnMut(&mut Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let looking = async {
            while !so(self).await? {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        tokio::time::timeout(STEP, looking)
            .await
            .unwrap_or_else(|_| Err(Failure(format!("waited in vain for {what}"))))
    }

    pub async fn job(&self, id: &str) -> Result<Value, Failure> {
        self.json(&["jobs", "show", id]).await
    }

    /// The job of this kind in a chain; null while there is none.
    pub async fn chain_job(&self, root: &str, kind: &str) -> Result<Value, Failure> {
        let mut queue = vec![root.to_owned()];
        while let Some(id) = queue.pop() {
            let job = self.job(&id).await?;
            if job["kind"] == kind {
                return Ok(job);
            }
            let children = job["children"].as_array().into_iter().flatten();
            queue.extend(children.filter_map(|id| id.as_str().map(ToOwned::to_owned)));
        }
        Ok(Value::Null)
    }

    pub async fn follow_of(&self, root: &str) -> Result<Value, Failure> {
        self.chain_job(root, "certn.applicant").await
    }

    pub async fn result(&self, job: &Value) -> Result<Value, Failure> {
        let id = job["id"].as_str().unwrap_or_default();
        Ok(serde_json::from_str(&self.quiet(&["jobs", "result", id]).await?)?)
    }

    /// The arguments of an order for somebody.
    #[allow(clippy::unused_self)] // it belongs to the stage
    pub fn order(&self, first: &str, last: &str) -> String {
        let application = json!({
            "request_softcheck": true,
            "information": { "first_name": first, "last_name": last },
        });
        json!({ "industry": "hr", "report": "pdf", "application": application }).to_string()
    }

    /// The provider's id of the applicant that was ordered for somebody: what a person would look
    /// up in the provider's portal.
    pub fn placed(&self, person: &str) -> Result<String, Failure> {
        let books = self.sandbox.counters().applicants;
        books
            .get(person)
            .cloned()
            .ok_or_else(|| Failure(format!("{person} is not in the provider's books: {books:?}")))
    }
}

/// What fits a line.
fn short(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.char_indices().nth(100).map_or(line, |(at, _)| &line[..at])
}
