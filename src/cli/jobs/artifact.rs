//! `jobs artifact`.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    cli::{
        client::path,
        exit::{Exit, Failure},
        session::{Ended, Session},
    },
    types::JobId,
};

pub(super) async fn run(
    session: &mut Session<'_, '_>,
    id: JobId,
    name: &str,
    output: Option<&Path>,
) -> Ended {
    let mut response =
        session.client.open(&path(&["jobs", &id.to_string(), "artifacts", name])).await?;
    let Some(output) = output else {
        while let Some(chunk) = session.client.chunk(&mut response).await? {
            session.console.bytes(&chunk)?;
        }
        return Ok(Exit::Done);
    };
    let cannot = |error: io::Error| {
        Failure::not_so(format!("{} cannot be written: {error}", output.display()))
    };
    let mut target = Target::open(output).map_err(cannot)?;
    while let Some(chunk) = session.client.chunk(&mut response).await? {
        target.file.write_all(&chunk).map_err(cannot)?;
    }
    target.keep().map_err(cannot)?;
    Ok(Exit::Done)
}

/// A file that takes its name only when it is whole.
struct Target {
    file: File,
    /// The name to write under, and the one to get; none for what is no plain file (`/dev/stdout`).
    names: Option<(PathBuf, PathBuf)>,
}

impl Target {
    fn open(output: &Path) -> io::Result<Self> {
        let plain = fs::symlink_metadata(output).map_or(true, |found| found.is_file());
        let Some(name) = output.file_name().filter(|_| plain) else {
            return Ok(Self { file: File::create(output)?, names: None });
        };
        let mut part = OsString::from(".");
        part.push(name);
        part.push(format!(".{}.part", std::process::id()));
        let part = output.with_file_name(part);
        // Of an earlier process with this number.
        if let Err(error) = fs::remove_file(&part)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        // Reports are about people: only whoever fetched it reads it.
        let file = File::options().write(true).create_new(true).mode(0o600).open(&part)?;
        Ok(Self { file, names: Some((part, output.to_owned())) })
    }

    fn keep(mut self) -> io::Result<()> {
        self.file.flush()?;
        if let Some((part, output)) = &self.names {
            fs::rename(part, output)?;
            self.names = None;
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.names {
            // It is not whole, and nobody knows its name.
            let _ = fs::remove_file(part);
        }
    }
}
