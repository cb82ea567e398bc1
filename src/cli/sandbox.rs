//! `attendant sandbox`.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use serde_json::json;

use super::{
    console::Console,
    exit::{Exit, Failure},
    service,
    session::Ended,
    times,
};
use crate::{
    clock::Clock,
    sandbox::{self, Options, Provider, certn},
};

const AFTER: &str = "\
What it prints on standard output is a piece of a configuration file. Ctrl-C stops it. It keeps
nothing: started again, it knows none of the tokens and applicants of before.

Faults are ordered over HTTP. `on` is a method (any, if there is none) and how the path begins;
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

Examples:
  attendant sandbox
  attendant sandbox --token-life 30s --complete-after 2m";

/// Run only the simulated providers, on loopback
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Sandbox {
    /// A loopback address; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7500")]
    listen: SocketAddr,
    /// How long a token lives
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = life)]
    token_life: Duration,
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
        let settings = self.settings();
        let provider = Provider::Certn(settings.clone());
        let options = Options { clock: Clock::System, rate_limit: None, provider };
        let sandbox = sandbox::Sandbox::start(self.listen, options)
            .await
            .map_err(|error| Failure::usage(error.to_string()))?;
        told(&sandbox.base_url(), &settings, console)?;
        tokio::signal::ctrl_c()
            .await
            .map_err(|error| Failure::not_so(format!("signals cannot be received: {error}")))?;
        sandbox.shutdown().await;
        Ok(Exit::Done)
    }

    fn settings(&self) -> certn::Settings {
        let complete = self.complete_after;
        certn::Settings {
            token_life: self.token_life,
            stages: vec![
                certn::Stage::new(Duration::ZERO, "ANALYZING"),
                certn::Stage::new(complete / 2, "PARTIAL"),
                certn::Stage::new(complete, "COMPLETE"),
            ],
            ..certn::Settings::default()
        }
    }
}

fn told(
    base_url: &str,
    settings: &certn::Settings,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let certn::Settings { client_id, client_secret, .. } = settings;
    if console.json {
        console.value(&json!({"sandboxes": [{
            "provider": "certn", "base_url": base_url,
            "secrets": {"client_id": client_id, "client_secret": client_secret},
        }]}))?;
    } else {
        console.text(account(base_url, settings))?;
        console.flush()?;
        console.note("The sandbox runs until Ctrl-C.");
    }
    console.flush()
}

/// TOML that can be pasted into a configuration file as it is.
pub(super) fn account(base_url: &str, settings: &certn::Settings) -> String {
    let certn::Settings { client_id, client_secret, .. } = settings;
    format!(
        "\
# The simulated Certn. Make the two files in the folder of the configuration file:
#   (umask 077; echo {client_id} > client_id)
#   (umask 077; echo {client_secret} > client_secret)
[accounts.certn]
provider = \"certn\"
base_url = \"{base_url}\"
secrets.client_id     = {{ file = \"client_id\" }}
secrets.client_secret = {{ file = \"client_secret\" }}
"
    )
}
