//! `attendant sandbox`.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    console::Console,
    exit::{Exit, Failure},
    service,
    session::Ended,
    times,
};
use crate::{
    clock::Clock,
    sandbox::{self, Options, Provider, certiscan, certn, controlbyweb, ipseity, scantrust},
};

const AFTER: &str = "\
Five providers, each on a port of its own: Certn at the given address, then ControlByWeb, ScanTrust,
CertiScan and ipseity. What it prints on standard output is a piece of a configuration file: take the
accounts that you want. Ctrl-C stops it. It keeps nothing: started again, it knows none of the tokens
and applicants of before.

Faults are ordered over HTTP, of each provider at its own port. `on` is a method (any, if there is none) and how the path begins;
`times` is how many requests it spoils (1), `after` how many it lets pass before (0).

  curl http://127.0.0.1:7500/_sandbox/faults -H 'content-type: application/json' -d FAULT

  {\"on\": \"/api/\", \"kind\": \"hang\"}             nothing is done, no answer ever comes
  {\"on\": \"POST /token/\", \"kind\": \"reset\"}     nothing is done, the connection is reset
  {\"on\": \"POST /api/\", \"kind\": \"lose_reply\"}  it is done, the answer is lost: an order's
                                              outcome is then unknown
  {\"on\": \"GET /api/\", \"kind\": \"truncate\"}     it is done, the answer breaks off
  {\"on\": \"GET /api/\", \"kind\": \"garbage\"}      it is done, the answer is no JSON
  {\"on\": \"GET /api/\", \"slow\": 5000}           it is done after 5000 ms
  {\"on\": \"/api/\", \"status\": 503, \"times\": 9}  nothing is done, 503
  {\"on\": \"/api/\", \"retry_after\": 30}          nothing is done, 429 with Retry-After: 30;
                                              with \"status\": 503 too, that instead

  curl -X DELETE http://127.0.0.1:7500/_sandbox/faults       forgets the faults still to come
  curl -X POST http://127.0.0.1:7500/_sandbox/revoke_tokens  makes all tokens invalid
  curl http://127.0.0.1:7500/_sandbox/state                  what was asked, ordered and billed

A device that joins ControlByWeb with a certificate request token (403 if that is not valid):

  curl http://127.0.0.1:7501/_sandbox/device -H 'content-type: application/json' \\
      -d '{\"token\": \"TOKEN\"}'

Examples:
  attendant sandbox
  attendant sandbox --token-life 30s --complete-after 2m --certificate-life 5m";

/// Run only the simulated providers, on loopback
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Sandbox {
    /// A loopback address: of the first provider, the next ones follow; port 0 is any free ones
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7500")]
    listen: SocketAddr,
    /// How long an access token lives
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = life)]
    token_life: Duration,
    /// How long a certificate request token of ControlByWeb lives
    #[arg(long, value_name = "DURATION", default_value = "12h", value_parser = life)]
    certificate_life: Duration,
    /// When an applicant's report is complete, from its order on
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = times::duration)]
    complete_after: Duration,
}

/// The provider tells it in whole seconds, of which 0 would be a token that never lives.
fn life(text: &str) -> Result<Duration, String> {
    let life = times::duration(text)?;
    if life.as_secs() == 0 { Err("write at least 1s".to_owned()) } else { Ok(life) }
}

impl Sandbox {
    pub fn run(self, console: &mut Console<'_>) -> Ended {
        service::runtime()?.block_on(self.serve(console))
    }

    async fn serve(self, console: &mut Console<'_>) -> Ended {
        let mut sandboxes = vec![];
        let mut accounts = vec![];
        for (number, provider) in (0..).zip(self.providers()) {
            let listen = self.address(number)?;
            let options = Options::new(Clock::System, provider.clone());
            let sandbox = sandbox::Sandbox::start(listen, options)
                .await
                .map_err(|error| Failure::usage(error.to_string()))?;
            accounts.push(Account::new(&provider, &sandbox.base_url()));
            sandboxes.push(sandbox);
        }
        told(&accounts, console)?;
        tokio::signal::ctrl_c()
            .await
            .map_err(|error| Failure::not_so(format!("signals cannot be received: {error}")))?;
        for sandbox in sandboxes {
            sandbox.shutdown().await;
        }
        Ok(Exit::Done)
    }

    /// Where the provider of this number listens.
    fn address(&self, number: u16) -> Result<SocketAddr, Failure> {
        if self.listen.port() == 0 {
            return Ok(self.listen);
        }
        let port = self.listen.port().checked_add(number).ok_or_else(|| {
            Failure::usage("--listen: there are not enough ports after this one".to_owned())
        })?;
        Ok(SocketAddr::new(self.listen.ip(), port))
    }

    fn providers(&self) -> [Provider; 5] {
        let (token_life, complete) = (self.token_life, self.complete_after);
        Provider::all().map(|provider| match provider {
            Provider::CertiScan(one) => {
                Provider::CertiScan(certiscan::Settings { token_life, ..one })
            }
            Provider::Certn(one) => Provider::Certn(certn::Settings {
                token_life,
                stages: vec![
                    certn::Stage::new(Duration::ZERO, "ANALYZING"),
                    certn::Stage::new(complete / 2, "PARTIAL"),
                    certn::Stage::new(complete, "COMPLETE"),
                ],
                ..one
            }),
            Provider::ControlByWeb(one) => Provider::ControlByWeb(controlbyweb::Settings {
                token_life,
                certificate_life: self.certificate_life,
                ..one
            }),
            Provider::Ipseity(one) => Provider::Ipseity(ipseity::Settings { token_life, ..one }),
            Provider::ScanTrust(one) => {
                Provider::ScanTrust(scantrust::Settings { token_life, ..one })
            }
        })
    }
}

/// What lets an account use a simulated provider.
pub(super) struct Account {
    provider: &'static str,
    base_url: String,
    params: Vec<(&'static str, String)>,
    secrets: Vec<(&'static str, String)>,
}

impl Account {
    pub(super) fn new(provider: &Provider, origin: &str) -> Self {
        Self {
            provider: provider.name(),
            base_url: format!("{origin}{}", provider.base_path()),
            params: provider.params(),
            secrets: provider.secrets(),
        }
    }

    fn json(&self) -> Value {
        let object = |pairs: &[(&str, String)]| -> Map<String, Value> {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), text.as_str().into())).collect()
        };
        json!({
            "provider": self.provider, "base_url": self.base_url,
            "params": object(&self.params), "secrets": object(&self.secrets),
        })
    }

    /// TOML that can be pasted into a configuration file as it is.
    pub(super) fn toml(&self) -> String {
        let Self { provider, base_url, .. } = self;
        let mut text = format!(
            "# The simulated {provider}. Make these files in the folder of the configuration file:\n"
        );
        let file = |name: &str| format!("{provider}_{name}");
        for (name, value) in &self.secrets {
            text = format!("{text}#   (umask 077; echo {value} > {})\n", file(name));
        }
        text = format!(
            "{text}[accounts.{provider}]\nprovider = \"{provider}\"\nbase_url = \"{base_url}\"\n"
        );
        for (name, value) in &self.params {
            text = format!("{text}params.{name} = \"{value}\"\n");
        }
        for (name, _) in &self.secrets {
            text = format!("{text}secrets.{name} = {{ file = \"{}\" }}\n", file(name));
        }
        text
    }
}

fn told(accounts: &[Account], console: &mut Console<'_>) -> Result<(), Failure> {
    if console.json {
        let accounts: Vec<_> = accounts.iter().map(Account::json).collect();
        console.value(&json!({ "sandboxes": accounts }))?;
    } else {
        let accounts: Vec<_> = accounts.iter().map(Account::toml).collect();
        console.text(accounts.join("\n"))?;
        console.flush()?;
        console.note("The sandbox runs until Ctrl-C.");
    }
    console.flush()
}
