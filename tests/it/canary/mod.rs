//! Distinctive secrets and names go in; afterwards no file, no log line at trace level and no
//! answer shows one that should not.

mod everywhere;
mod forms;
mod world;

use attendant::{
    clock::Clock,
    sandbox::{Fault, Options, Provider, Sandbox, certn},
};

use crate::support::daemon::{Site, files, order};

const CLIENT_ID: &str = "canary-id-5dc1";
const CLIENT_SECRET: &str = "canary-secret-9f04";
const NAME: &str = "Canarina Zyxwvut";

fn shows(bytes: &[u8], canary: &str) -> bool {
    bytes.windows(canary.len()).any(|window| window == canary.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_canary_gets_out() {
    let settings = certn::Settings {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        ..certn::Settings::default()
    };
    let options = Options { provider: Provider::Certn(settings), ..Options::certn(Clock::System) };
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), options).await.unwrap();
    let site = Site::certn(&sandbox.base_url(), CLIENT_ID, CLIENT_SECRET);
    let config = std::fs::read_to_string(site.path("attendant.toml")).unwrap();
    site.write(
        "attendant.toml",
        &config.replace("debug,hyper=info,hyper_util=info,reqwest=info", "trace"),
    );
    let (first, last) = NAME.split_once(' ').unwrap();

    let daemon = site.start();
    let token = site.ok(&["token", "certn", "--min-ttl", "1s"]);
    let args = order(first, last);
    let id = site.ok(&["enqueue", "certn.application", "--key", "canary-key-77", "--args", &args]);
    site.wait_chain(&id);
    // An error whose words come from the provider, and one of a request that never ends well.
    sandbox.fault(Fault::status("GET /api/v1/users", 400));
    site.run(&["enqueue", "certn.users", "--wait", "--timeout", "30s"]);
    let answers = ["credentials", "queues", "status", "kinds", "jobs"]
        .map(|command| site.run(&[command, "--json"]).stdout)
        .concat();
    let log = daemon.stop();

    let everywhere = [CLIENT_SECRET, token.as_str()];
    let personal = [NAME, first, last, "canary-key-77"];
    for line in &log {
        for canary in everywhere.iter().chain(&personal).chain(&[CLIENT_ID]) {
            assert!(!shows(line.as_bytes(), canary), "{canary} in the log: {line}");
        }
    }
    for canary in everywhere {
        assert!(!shows(&answers, canary), "{canary} in an answer");
    }
    let mut looked = 0;
    for file in files(site.folder.path()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if ["client_id", "client_secret"].contains(&name.as_str()) {
            continue;
        }
        looked += 1;
        let bytes = std::fs::read(&file).unwrap();
        for canary in everywhere.iter().chain(&personal).chain(&[CLIENT_ID]) {
            assert!(!shows(&bytes, canary), "{canary} in {name}");
        }
    }
    // Database, key, lock, definition and configuration.
    assert!(looked >= 4, "{looked} files");
}
