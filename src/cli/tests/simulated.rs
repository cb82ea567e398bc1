//! `sandbox`: what it prints and what its help shows are right.

use serde_json::Value;

use super::fake::{Fake, run};
use crate::{
    cli::sandbox::Account,
    clock::Clock,
    sandbox::{Options, Provider, Sandbox},
};

#[test]
fn what_it_prints_is_a_configuration_with_its_files() {
    let fake = Fake::new();
    let accounts = Provider::all().map(|one| Account::new(&one, "http://127.0.0.1:7500").toml());
    let printed = accounts.join("\n");
    let commands: Vec<&str> =
        printed.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    let made = std::process::Command::new("sh")
        .args(["-ec", &commands.join("\n")])
        .current_dir(fake.path(""))
        .status();
    assert!(made.unwrap().success());
    let file = fake.path("attendant.toml");
    std::fs::write(&file, &printed).unwrap();
    let check = run(&["check", "--config", &file], &[("HOME", "/nonexistent")], "");
    assert_eq!(check.out, "configuration is valid: 5 accounts, 5 providers, 19 kinds\n");
}

#[test]
fn its_flags_are_checked() {
    for args in [
        ["--token-life", "500ms"],
        ["--complete-after", "soon"],
        ["--listen", "x"],
        ["--certificate-life", "0s"],
        ["--listen", "127.0.0.1:65535"],
    ] {
        assert_eq!(run(&[&["sandbox"], &args[..]].concat(), &[], "").code, 2, "{args:?}");
    }
}

#[tokio::test]
async fn every_fault_of_the_help_can_be_ordered() {
    let help = run(&["sandbox", "--help"], &[], "").out;
    let faults: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  {"))
        .filter_map(|line| line.split_once('}'))
        .map(|(fault, _)| fault)
        .collect();
    assert_eq!(faults.len(), 8, "{help}");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let any = ([127, 0, 0, 1], 0).into();
    let sandbox = Sandbox::start(any, Options::certn(Clock::System)).await.unwrap();
    let url = format!("{}/_sandbox/faults", sandbox.base_url());
    for fault in faults {
        let fault: Value = serde_json::from_str(&format!("{{{fault}}}")).unwrap();
        let reply = reqwest::Client::new().post(&url).json(&fault).send().await.unwrap();
        assert_eq!(reply.status(), 204, "{fault}");
    }
}

/// The order that the README has a newcomer place.
#[test]
fn the_sample_order_is_one() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/application.json");
    let order: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(order["request_softcheck"], true);
    assert!(order["information"]["last_name"].is_string());
}
