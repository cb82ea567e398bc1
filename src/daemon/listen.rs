//! The socket of the API: the one that systemd passes, else one of our own.

use std::{
    io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use listenfd::ListenFd;
use tokio::net::UnixListener;

use super::StartError;

/// Where the API listens.
#[derive(Debug)]
pub(super) struct Listening {
    pub path: PathBuf,
    /// It is systemd's, and outlives this process: who connects while nobody accepts waits for the
    /// next one.
    pub inherited: bool,
}

impl Listening {
    /// Takes over the socket that systemd passes, else binds `path`, taking the place of one that
    /// a dead daemon left.
    pub async fn start(path: &Path) -> Result<(Self, UnixListener), StartError> {
        match inherited() {
            Ok(Some(passed)) => Ok(passed),
            Ok(None) => {
                let listener = bind(path).await?;
                Ok((Self { path: path.to_owned(), inherited: false }, listener))
            }
            Err(error) => Err(StartError::Passed(error)),
        }
    }

    /// Whoever comes next makes its own.
    pub fn remove(&self) {
        if !self.inherited {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// `sd_listen_fds(3)`: the first descriptor, if any are for this process.
fn inherited() -> io::Result<Option<(Listening, UnixListener)>> {
    let Some(passed) = ListenFd::from_env().take_unix_listener(0)? else { return Ok(None) };
    passed.set_nonblocking(true)?;
    let address = passed.local_addr()?;
    let path = address.as_pathname().map(Path::to_owned);
    let path = path.ok_or_else(|| {
        let words = "the socket has no path: write ListenStream=/run/attendant.sock";
        io::Error::new(io::ErrorKind::InvalidInput, words)
    })?;
    Ok(Some((Listening { path, inherited: true }, UnixListener::from_std(passed)?)))
}

async fn bind(path: &Path) -> Result<UnixListener, StartError> {
    let wrap = |error| StartError::Socket { path: path.to_owned(), error };
    if let Ok(found) = path.symlink_metadata() {
        if !found.file_type().is_socket() {
            return Err(wrap(io::ErrorKind::AlreadyExists.into()));
        }
        if tokio::net::UnixStream::connect(path).await.is_ok() {
            return Err(wrap(io::ErrorKind::AddrInUse.into()));
        }
        std::fs::remove_file(path).map_err(wrap)?;
    }
    let listener = UnixListener::bind(path).map_err(wrap)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(wrap)?;
    Ok(listener)
}
