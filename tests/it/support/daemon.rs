//! The real binary: a daemon in a folder of its own, and the commands against it.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use attendant::definition::Registry;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use super::journal::Journal;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where a daemon finds another journal than the system's.
const JOURNAL: &str = "ATTENDANT_JOURNAL_SOCKET";

/// A folder with configuration, definitions and database.
#[derive(Debug)]
pub struct Site {
    pub folder: TempDir,
}

/// A daemon that runs.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
    /// Everything it has logged so far.
    pub log: Vec<String>,
}

impl Site {
    /// An empty folder.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A site with one Certn account whose follows are polled quickly.
    pub fn certn(base_url: &str, client_id: &str, client_secret: &str) -> Self {
        let site = Self::new();
        site.write("client_id", client_id);
        site.write("client_secret", client_secret);
        let shipped = Registry::load(None).unwrap();
        let shipped = &shipped.provider("certn").unwrap().source_toml;
        let quick = shipped.replace("[jobs.applicant]\n", "[jobs.applicant]\nevery = \"200ms\"\n");
        assert_ne!(&quick, shipped);
        site.write("jobs.d/certn.toml", &quick);
        site.configure(&format!(
            "[accounts.certn]\nprovider = \"certn\"\nbase_url = \"{base_url}\"\n\
             limits = []\n\
             secrets.client_id = {{ file = \"client_id\" }}\n\
             secrets.client_secret = {{ file = \"client_secret\" }}\n"
        ));
        site
    }

    /// Writes the configuration: where things are, and what is given.
    pub fn configure(&self, rest: &str) {
        let folder = self.path("").display().to_string();
        let folder = folder.trim_end_matches('/');
        self.write(
            "attendant.toml",
            &format!(
                "[database]\nurl = \"sqlite://{folder}/attendant.db\"\n\n\
                 [api]\nsocket = \"{folder}/attendant.sock\"\n\n\
                 [log]\nfilter = \"debug,hyper=info,hyper_util=info,reqwest=info\"\n\n{rest}"
            ),
        );
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Puts a database of another program where ours would be; its bytes.
    pub fn foreign_database(&self) -> Vec<u8> {
        use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
        let path = self.path("attendant.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut other = options.create_if_missing(true).connect().await.unwrap();
            other.execute("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").await.unwrap();
            other.close().await.unwrap();
        });
        std::fs::read(path).unwrap()
    }

    fn command(&self) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_attendant"))
    }

    fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("ATTENDANT_CONFIG", self.path("attendant.toml"))
            .env("HOME", self.folder.path())
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null());
        command
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub fn start(&self) -> Daemon {
        let mut daemon = self.spawn(None);
        daemon.wait_for("daemon.ready");
        daemon
    }

    /// Starts a daemon that kills itself at a named point.
    pub fn start_to_crash_at(&self, point: &str) -> Daemon {
        let mut daemon = self.spawn(Some(point));
        daemon.wait_for("daemon.ready");
        daemon
    }

    /// Starts a daemon whose attempts panic at a named point.
    pub fn start_to_panic_at(&self, point: &str) -> Daemon {
        let mut daemon = self.spawn_with(Some(("ATTENDANT_PANIC_AT", point)));
        daemon.wait_for("daemon.ready");
        daemon
    }

    /// Starts the daemon and waits for nothing.
    pub fn spawn(&self, crash_at: Option<&str>) -> Daemon {
        self.spawn_with(crash_at.map(|point| ("ATTENDANT_CRASH_AT", point)))
    }

    /// Starts the daemon with these variables more, and waits until it says that it is ready.
    pub fn start_in(&self, variables: &[(&str, &str)]) -> Daemon {
        let mut daemon = self.spawn_with(variables.iter().copied());
        daemon.wait_for("daemon.ready");
        daemon
    }

    /// Starts a daemon that logs to this journal, with these variables more, and waits until it
    /// says there that it is ready, once more than before.
    pub fn start_journaled(&self, journal: &Journal, variables: &[(&str, &str)]) -> Daemon {
        let socket = journal.path.display().to_string();
        let before = journal.of("ATTENDANT_EVENT", "daemon.ready").len();
        let logging = [("ATTENDANT__LOG__FORMAT", "journald"), (JOURNAL, &socket)];
        let daemon = self.spawn_with(variables.iter().copied().chain(logging));
        journal.wait_for_count("daemon.ready", before + 1);
        daemon
    }

    /// Starts a daemon whose standard error is a file, said to be the journal.
    pub fn start_to_file(&self, stderr: File, journal: &Journal, stream: &str) -> Daemon {
        let mut command = self.command();
        command.env(JOURNAL, &journal.path).env("JOURNAL_STREAM", stream).arg("run");
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Daemon { child, lines: channel().1, log: vec![] }
    }

    /// Starts the daemon with a variable more in its environment.
    pub fn spawn_in(&self, variable: (&str, &str)) -> Daemon {
        self.spawn_with(Some(variable))
    }

    /// Puts the database on a disk of its own, of so many kilobytes, which only the daemon sees.
    /// Takes a kernel that lets this user make namespaces; where it does not, the tests that need
    /// this fail and say so.
    pub fn start_on_small_disk(&self, kilobytes: u32) -> Daemon {
        let disk = self.path("disk");
        std::fs::create_dir(&disk).unwrap();
        let file = self.path("attendant.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("/attendant.db", "/disk/attendant.db")).unwrap();
        let mut command = self.command_of("unshare");
        let script = format!("mount -t tmpfs -o size={kilobytes}k tmpfs \"$1\" && exec \"$2\" run");
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
        command.arg(&disk).arg(env!("CARGO_BIN_EXE_attendant"));
        let mut daemon = Daemon::spawn(&mut command);
        daemon.wait_for("daemon.ready");
        daemon
    }

    fn spawn_with<'v>(&self, variables: impl IntoIterator<Item = (&'v str, &'v str)>) -> Daemon {
        let mut command = self.command();
        command.envs(variables).arg("run");
        Daemon::spawn(&mut command)
    }

    /// One request to the daemon; status and body.
    pub fn http(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        use std::io::{Read as _, Write as _};
        let mut stream =
            std::os::unix::net::UnixStream::connect(self.path("attendant.sock")).unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// Runs a command to its end, whatever that is.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// Starts a command whose end does not matter.
    pub fn start_command(&self, args: &[&str]) -> Child {
        let quiet = |command: &mut Command| {
            command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        };
        quiet(&mut self.command()).unwrap()
    }

    /// Runs a command that must succeed; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "attendant {}: {}\n{}{}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Runs a command that must fail with this code; what it said.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "attendant {}: {said}", args.join(" "));
        said
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.ok(&args)).unwrap()
    }

    pub fn job(&self, id: &str) -> Value {
        self.json(&["jobs", "show", id])
    }

    /// Waits until the whole chain has ended; its first job.
    pub fn wait_chain(&self, id: &str) -> Value {
        self.run(&["jobs", "wait", id, "--scope", "chain", "--timeout", "30s"]);
        self.job(id)
    }

    /// The job of a kind in the chain of `root`.
    pub fn in_chain(&self, root: &str, kind: &str) -> Option<Value> {
        let job = self.job(root);
        if job["kind"] == kind {
            return Some(job);
        }
        let children = job["children"].as_array().unwrap().clone();
        children.iter().find_map(|child| self.in_chain(child.as_str().unwrap(), kind))
    }
}

impl Daemon {
    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, log: vec![] }
    }

    /// A path as the daemon sees it, which may have disks of its own.
    pub fn sees(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        root.join(path.strip_prefix("/").unwrap())
    }

    /// Takes in what it has logged by now; how many lines so far have this text.
    pub fn told(&mut self, text: &str) -> usize {
        self.log.extend(self.lines.try_iter());
        self.log.iter().filter(|line| line.contains(text)).count()
    }

    /// Reads the log until a line has this text, and returns that line.
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {text} in:\n{}", self.log.join("\n")),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().unwrap();
                    panic!("ended with {status} before {text}:\n{}", self.log.join("\n"));
                }
            }
        }
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self) -> (ExitStatus, Vec<String>) {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.log.push(line);
        }
        (self.child.wait().unwrap(), std::mem::take(&mut self.log))
    }

    /// Waits until it has killed itself at its named point.
    pub fn crashed(self) {
        use std::os::unix::process::ExitStatusExt as _;
        let (status, log) = self.ended();
        assert_eq!(status.signal(), Some(9), "{status}:\n{}", log.join("\n"));
    }

    /// SIGKILL, from outside; everything it has logged.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.ended().1
    }

    /// SIGTERM; it must drain and exit with 0.
    pub fn stop(self) -> Vec<String> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let (status, log) = self.ended();
        assert!(status.success(), "{status}:\n{}", log.join("\n"));
        log
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The arguments of an order for somebody.
pub fn order(first: &str, last: &str) -> String {
    serde_json::json!({
        "industry": "hr",
        "report": "pdf",
        "application": {"information": {"first_name": first, "last_name": last}},
    })
    .to_string()
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
