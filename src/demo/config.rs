//! What the demo's daemon is configured with: two accounts, at two simulated providers.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use super::stage::Failure;
use crate::{
    definition::Registry,
    sandbox::{certn, controlbyweb},
};

/// A device token's twelve hours: an hour is a second here.
const LIFE: Duration = Duration::from_secs(12);
/// For how long a device token stays valid beside its successor.
pub const OVERLAP: Duration = Duration::from_secs(1);

/// The file with the device token.
pub const TOKEN: &str = "device-token";
/// A line for each run of the sink's command.
pub const CHANGES: &str = "changes";
pub const SOCKET: &str = "attendant.sock";

pub fn gate() -> controlbyweb::Settings {
    controlbyweb::Settings { certificate_life: LIFE, ..controlbyweb::Settings::default() }
}

/// Writes configuration, definition and secrets.
pub fn write(folder: &Path, certn_url: &str, gate_url: &str) -> Result<(), Failure> {
    let (certn, gate) = (certn::Settings::default(), gate());
    secret(&folder.join("client_id"), &certn.client_id)?;
    secret(&folder.join("client_secret"), &certn.client_secret)?;
    secret(&folder.join("auth_token"), &gate.auth_token)?;
    // The shipped definition, mended in one line as an operator would: polls come quickly.
    let registry = Registry::load(None)?;
    let shipped = registry.provider("certn").ok_or_else(|| Failure::new("no certn"))?;
    let quick =
        shipped.source_toml.replace("[jobs.applicant]\n", "[jobs.applicant]\nevery = \"400ms\"\n");
    fs::write(folder.join("jobs.d/certn.toml"), quick)?;
    let (place, account) = (folder.display(), gate.account_id);
    let overlap = humantime::format_duration(OVERLAP);
    // Hours pass as seconds here, but a budget's minute is one: the shipped limits are for the former.
    let config = format!(
        "[database]\nurl = \"sqlite://{place}/attendant.db\"\n\n\
         [api]\nsocket = \"{place}/{SOCKET}\"\n\n\
         [log]\nformat = \"text\"\n\n\
         [accounts.certn]\nprovider = \"certn\"\nbase_url = \"{certn_url}\"\nlimits = [\"1000/1m\"]\n\
         secrets.client_id = {{ file = \"client_id\" }}\n\
         secrets.client_secret = {{ file = \"client_secret\" }}\n\n\
         [accounts.gate]\nprovider = \"controlbyweb\"\nbase_url = \"{gate_url}/api/v1\"\n\
         limits = [\"1000/1m\"]\noverlap = \"{overlap}\"\nparams.account_id = {account}\n\
         secrets.auth_token = {{ file = \"auth_token\" }}\n\
         [[accounts.gate.sinks]]\ncredential = \"certificate_request_token\"\n\
         file = \"{place}/{TOKEN}\"\n\
         on_change = [\"/bin/sh\", \"-c\", 'echo \"$ATTENDANT_GENERATION\" >> \"$0\"', \
         \"{place}/{CHANGES}\"]\n"
    );
    fs::write(folder.join("attendant.toml"), config)?;
    Ok(())
}

/// A file for nobody else's eyes.
fn secret(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(text.as_bytes())
}
