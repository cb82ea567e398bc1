//! `attendant backup` and `attendant restore`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{
    client::path,
    console::Console,
    exit::{Exit, Failure},
    options::Global,
    session::{Ended, Session},
    table::counted,
};
use crate::{
    backup::{
        self,
        restore::{self, Done},
    },
    config::{Config, Env, Inputs},
};

/// Write everything that the daemon keeps to one file, while it runs
#[derive(Debug, Args)]
#[command(after_help = "\
The file is a tar with the database, downloaded files included, all of it sealed. Nobody can read it
without the sealing key: keep a copy of that somewhere else. With --with-key the key is in the file
too, which then is as secret as everything that the daemon knows. The file is made with mode 0600,
appears only when it is whole, and takes no other file's place.

Examples:
  attendant backup /backups/attendant-monday
  attendant backup --with-key /media/safe/attendant")]
pub(super) struct Backup {
    file: PathBuf,
    /// Put the sealing key into the file too
    #[arg(long)]
    with_key: bool,
}

/// Put a backup in place of a database that is not there
#[derive(Debug, Args)]
#[command(after_help = "\
Needs no daemon, and refuses while one runs or where there is a database. The file is checked before
anything is put in place. Afterwards every queue is paused, and unfinished jobs that must not be
repeated are dead with code outcome_unknown: they may have been carried out since the backup.

Examples:
  attendant restore /backups/attendant-monday
  attendant jobs --code outcome_unknown
  attendant queues resume --all")]
pub(super) struct Restore {
    file: PathBuf,
}

impl Backup {
    pub async fn run(self, session: &mut Session<'_, '_>) -> Ended {
        if self.file.symlink_metadata().is_ok() {
            return Err(exists(&self.file));
        }
        let mut part = self.file.as_os_str().to_owned();
        part.push(format!(".{}.part", std::process::id()));
        let part = PathBuf::from(part);
        let mut to = OpenOptions::new();
        let mut to = to.write(true).create_new(true).mode(0o600).open(&part).map_err(|error| {
            Failure::usage(format!("{} cannot be written: {error}", part.display()))
        })?;
        let done = self.fill(&mut to, &part, session).await;
        if done.is_err() {
            let _ = fs::remove_file(&part);
        }
        let (manifest, size) = done?;
        if session.json() {
            session.console.value(&json!({
                "file": self.file.to_string_lossy(), "made_at": manifest.made_at, "bytes": size,
                "with_key": self.with_key,
            }))?;
        } else {
            let key = if self.with_key { ", with the sealing key" } else { "" };
            let file = self.file.display();
            session.console.line(format!("{file}: {size} bytes{key}; checked"))?;
        }
        Ok(Exit::Done)
    }

    async fn fill(
        &self,
        to: &mut File,
        part: &Path,
        session: &Session<'_, '_>,
    ) -> Result<(backup::Manifest, u64), Failure> {
        let unwritten = |error: io::Error| {
            Failure::not_so(format!("{} cannot be written: {error}", self.file.display()))
        };
        let body = json!({ "with_key": self.with_key });
        let mut reply = session.client.post_and_open(&path(&["backup"]), &body).await?;
        let mut size = 0_u64;
        while let Some(chunk) = session.client.chunk(&mut reply).await? {
            to.write_all(&chunk).map_err(unwritten)?;
            size += chunk.len() as u64;
        }
        to.sync_all().map_err(unwritten)?;
        let manifest = backup::verify(part)
            .map_err(|error| Failure::not_so(format!("what was written {error}")))?;
        self.put(part)?;
        Ok((manifest, size))
    }

    /// Never takes a file's place, where the file system knows links.
    fn put(&self, part: &Path) -> Result<(), Failure> {
        let put = match fs::hard_link(part, &self.file) {
            Ok(()) => fs::remove_file(part),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(exists(&self.file));
            }
            Err(_) if self.file.symlink_metadata().is_ok() => return Err(exists(&self.file)),
            Err(_) => fs::rename(part, &self.file),
        };
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        put.and_then(|()| File::open(folder.unwrap_or(Path::new(".")))?.sync_all())
            .map_err(|error| Failure::not_so(format!("{}: {error}", self.file.display())))
    }
}

fn exists(file: &Path) -> Failure {
    Failure::usage(format!("{} exists and is not overwritten", file.display()))
}

impl Restore {
    pub fn run(self, global: &Global, env: &Env, console: &mut Console<'_>) -> Ended {
        let inputs = Inputs::new(global.config.as_deref(), env);
        let config =
            Config::load(&inputs).map_err(|problems| Failure::usage(problems.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::not_so(format!("cannot start: {error}")))?;
        let now = console.now();
        let restored = runtime.block_on(restore::restore(&self.file, &config, env, now));
        let done = restored.map_err(|error| {
            let exit = if error.is_of_the_data() { Exit::NotSo } else { Exit::Usage };
            Failure::Said(exit, error.to_string())
        })?;
        if console.json {
            console.value(&json!({
                "database": done.database.to_string_lossy(), "made_at": done.manifest.made_at,
                "outcome_unknown": done.outcome_unknown,
                "key": done.key.map(|key| key.to_string_lossy().into_owned()),
            }))?;
        } else {
            console.text(told(&done))?;
        }
        Ok(Exit::Done)
    }
}

fn told(done: &Done) -> String {
    let mut lines = vec![format!(
        "The backup of {} is in place: {}.",
        done.manifest.made_at,
        done.database.display()
    )];
    if let Some(key) = &done.key {
        lines.push(format!("Its sealing key is in {}.", key.display()));
    }
    if let Some(key) = &done.unseen_key {
        lines.push(format!(
            "The sealing key ({key}) is not visible here: the daemon says at its start whether it fits."
        ));
    }
    let count = usize::try_from(done.outcome_unknown).unwrap_or(usize::MAX);
    if count > 0 {
        let jobs = counted(count, "job");
        lines.push(format!(
            "{jobs} that must not be repeated may have been carried out since: dead with code \
             outcome_unknown.\nStart the daemon, look at them (attendant jobs --code \
             outcome_unknown), and settle each with attendant jobs resolve."
        ));
    }
    lines.push("Every queue is paused: attendant queues resume --all lets them go on.".to_owned());
    lines.join("\n") + "\n"
}
