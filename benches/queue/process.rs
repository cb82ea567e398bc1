//! A whole daemon as a process of its own.

use std::{
    fs,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, SysconfVar, sysconf},
};

use crate::{client::Client, world::Files};

/// `attendant run`, killed when dropped.
pub struct Process {
    child: Child,
    /// From its start until it was ready.
    pub ready: Duration,
}

impl Process {
    pub async fn start(files: &Files) -> Result<Self> {
        let begun = Instant::now();
        let child = Command::new(std::env::current_exe()?)
            .arg("daemon")
            .arg(files.config())
            .spawn()
            .context("the daemon does not start")?;
        let mut process = Self { child, ready: Duration::ZERO };
        process.ready = process.wait_ready(files, begun).await?;
        Ok(process)
    }

    /// Ready, or unready for a reason of its accounts: it answers.
    async fn wait_ready(&mut self, files: &Files, begun: Instant) -> Result<Duration> {
        while begun.elapsed() < Duration::from_mins(1) {
            if let Ok(mut client) = Client::connect(&files.socket()).await
                && matches!(client.get("/readyz").await?.0, 200 | 503)
            {
                return Ok(begun.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended: {status}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bail!("the daemon was not ready within a minute")
    }

    /// Resident memory, in MiB.
    pub fn memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1_024.0)
    }

    /// Processor time so far, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the name in parentheses, which may contain anything.
        let (_, fields) = stat.rsplit_once(") ").context("no stat")?;
        let ticks: Vec<&str> = fields.split(' ').collect();
        let ticks = ticks.get(11).zip(ticks.get(12)).context("no times")?;
        let (user, system): (f64, f64) = (ticks.0.parse()?, ticks.1.parse()?);
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock tick")?;
        #[allow(clippy::cast_precision_loss)] // a hundred
        let per_second = per_second as f64;
        Ok((user + system) / per_second)
    }

    pub fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        ensure!(self.child.wait()?.success(), "the daemon did not end well");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing to do for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
