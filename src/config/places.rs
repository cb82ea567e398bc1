//! Default folders and sockets, from the environment that systemd or a login session gives.

use std::path::{Path, PathBuf};

use config::ValueKind;

use super::{Env, Inputs, position::Positions, source};
use crate::diagnostic::Diagnostics;

const SOCKET: &str = "attendant.sock";

/// Where `systemd/attendant.socket` listens.
const SYSTEM_SOCKET: &str = "/run/attendant.sock";

/// `$STATE_DIRECTORY`, else `$XDG_STATE_HOME/attendant`, else `~/.local/state/attendant`.
pub(super) fn state_dir(env: &Env) -> Option<PathBuf> {
    directory(env, "STATE_DIRECTORY")
        .or_else(|| Some(directory(env, "XDG_STATE_HOME")?.join("attendant")))
        .or_else(|| Some(directory(env, "HOME")?.join(".local/state/attendant")))
}

/// The daemon's socket where none is configured: in `$RUNTIME_DIRECTORY`, else
/// `$XDG_RUNTIME_DIR`, else the state folder.
pub(super) fn daemon_socket(env: &Env) -> Option<PathBuf> {
    directory(env, "RUNTIME_DIRECTORY")
        .or_else(|| directory(env, "XDG_RUNTIME_DIR"))
        .or_else(|| state_dir(env))
        .map(|folder| folder.join(SOCKET))
}

/// The folder that a variable names. systemd lists several with colons, of which the first is
/// ours; a relative one is ignored (XDG Base Directory Specification: "must be absolute").
fn directory(env: &Env, name: &str) -> Option<PathBuf> {
    let first = env.get(name)?.split(':').next()?;
    Some(PathBuf::from(first)).filter(|path| path.is_absolute())
}

/// The socket that a client command speaks to: `--socket`, else `$ATTENDANT_SOCKET`, else the
/// configuration's, else `/run/attendant.sock` if it exists, else that of a daemon that this user
/// runs without a configuration.
///
/// A client needs nothing else of the configuration, and may not be allowed to read it: problems
/// in it are not the client's.
///
/// # Errors
/// `--config` or `$ATTENDANT_CONFIG` names a file that cannot be read.
pub fn client_socket(
    flag: Option<&Path>,
    config: Option<&Path>,
    env: &Env,
) -> Result<PathBuf, Diagnostics> {
    client_socket_with(flag, config, env, Path::new(super::SYSTEM_FILE), Path::new(SYSTEM_SOCKET))
}

pub(super) fn client_socket_with(
    flag: Option<&Path>,
    config: Option<&Path>,
    env: &Env,
    system_file: &Path,
    system_socket: &Path,
) -> Result<PathBuf, Diagnostics> {
    if let Some(path) = flag {
        return Ok(path.to_owned());
    }
    if let Some(path) = env.get("ATTENDANT_SOCKET").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    if let Some(path) = configured_socket(&Inputs::new(config, env), system_file)? {
        return Ok(path);
    }
    if system_socket.exists() {
        return Ok(system_socket.to_owned());
    }
    let session = directory(env, "XDG_RUNTIME_DIR").or_else(|| state_dir(env));
    Ok(session.map_or_else(|| system_socket.to_owned(), |folder| folder.join(SOCKET)))
}

fn configured_socket(
    inputs: &Inputs<'_>,
    system_file: &Path,
) -> Result<Option<PathBuf>, Diagnostics> {
    let found = source::read(inputs, system_file);
    if source::named_file(inputs).is_some() && found.main.is_none() {
        return Err(Diagnostics(found.problems));
    }
    let mut positions = Positions::default();
    let mut socket = None;
    for layer in found.layers {
        let written = layer.value.into_table().ok().and_then(|mut root| root.remove("api"));
        let written = written.and_then(|api| api.into_table().ok()?.remove("socket"));
        if let Some(ValueKind::String(path)) = written.map(|value| value.kind) {
            socket = Some(path);
            positions.overlay(&layer.origin, layer.places);
        }
    }
    Ok(socket.map(|path| positions.path("api.socket", Path::new(&path))))
}
