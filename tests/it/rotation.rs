//! The real binary rotates real tokens of a real server, which lives, fails and is killed under it:
//! one token per rotation, none lost from sight, and always one that readers can use.

use std::time::Duration;

use attendant::types::Timestamp;
use serde_json::Value;

use crate::support::{
    daemon::Site,
    tokens::{Fault, Tokens},
    until,
};

const NAME: &str = "gate/token";
const LONG: Duration = Duration::from_mins(10);

fn show(site: &Site) -> Value {
    site.json(&["credentials", "show", NAME])
}

/// The value that a reader gets.
fn value(site: &Site) -> Value {
    site.json(&["token", NAME, "--min-ttl", "0s"])
}

fn text(value: &Value) -> String {
    value["value"].as_str().unwrap().to_owned()
}

fn time(value: &Value) -> Timestamp {
    value["expires_at"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_followed_before_it_expires_and_revoked_when_its_readers_are_done() {
    let tokens = Tokens::start(Duration::from_secs(4)).await;
    let site = tokens.site("500ms");
    let mut daemon = site.start();
    let mut read = vec![];
    for generation in 1..=4 {
        daemon.wait_for("credential.published");
        let value = value(&site);
        assert!(value["generation"].as_i64() >= Some(generation), "{value}");
        read.push((text(&value), time(&value)));
    }
    daemon.wait_for("credential.revoked");
    until("the third to be revoked", || tokens.deleted_at(&read[2].0).is_some()).await;
    for (value, promised) in &read[..3] {
        let deleted = tokens.deleted_at(value).unwrap();
        assert!(*promised <= deleted, "promised until {promised}, deleted at {deleted}");
    }
    assert!(!daemon.log.iter().any(|line| line.contains("renewal_failed")));
    // One each; the next may have been made meanwhile.
    assert!((4..=5).contains(&tokens.created()), "{}", tokens.created());
}

#[cfg(feature = "crash-points")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_between_any_two_steps_it_goes_on_there() {
    // (point, tokens created before the kill)
    let points = [
        ("rotation_intended", 1),
        ("rotation_created", 2),
        ("rotation_verified", 2),
        ("rotation_published", 2),
    ];
    for (point, created) in points {
        let tokens = Tokens::start(Duration::from_secs(40)).await;
        let site = tokens.site("1s");
        let mut daemon = site.start();
        daemon.wait_for("credential.published");
        let first = value(&site);
        daemon.stop();

        let daemon = site.start_to_crash_at(point);
        site.run(&["credentials", "renew", NAME]);
        daemon.crashed();
        assert_eq!(tokens.created(), created, "{point}");

        let daemon = site.start();
        // Readers are served at once: by the old one, or the new one if that was published.
        let served = value(&site);
        assert!(tokens.is_valid(&text(&served)), "{point}");
        until("the second generation", || show(&site)["generation"] == 2).await;
        let second = value(&site);
        assert_ne!(text(&first), text(&second), "{point}");
        assert!(tokens.is_valid(&text(&second)) && tokens.is_valid(&text(&first)), "{point}");
        let shown = show(&site);
        assert_eq!((tokens.created(), &shown["orphans"]), (2, &0.into()), "{point}: {shown:#}");
        // The old one is out of use, and stays as long as was promised.
        assert_eq!(shown["retired"][0]["generation"], 1, "{point}: {shown:#}");
        let revoke_at: Timestamp =
            shown["retired"][0]["revoke_at"].as_str().unwrap().parse().unwrap();
        assert!(time(&first) <= revoke_at, "{point}: {shown:#}");
        assert_eq!(shown["stage"], Value::Null);
        let log = daemon.stop();
        assert!(!log.iter().any(|line| line.contains("credential.orphaned")), "{point}");
    }
}

#[cfg(feature = "crash-points")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_between_a_revocation_and_its_record_it_revokes_again() {
    let tokens = Tokens::start(Duration::from_secs(5)).await;
    let site = tokens.site("0s");
    let daemon = site.start_to_crash_at("rotation_revoked");
    let first = value(&site);
    daemon.crashed();
    assert!(tokens.deleted_at(&text(&first)).is_some());
    assert_eq!(tokens.deleted(), 1);
    let mut daemon = site.start();
    assert!(tokens.is_valid(&text(&value(&site))));
    // The provider knows it no more, which is as good.
    let line = daemon.wait_for("credential.revoked");
    assert!(line.contains("generation=1") || line.contains("\"generation\":1"), "{line}");
    assert!(tokens.requests_to("delete") >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_makes_no_second_token() {
    for fault in [Fault::LostReply, Fault::Hang] {
        let tokens = Tokens::start(LONG).await;
        tokens.fault("create", [Some(fault)]);
        let site = tokens.site("1s");
        let mut daemon = site.start();
        daemon.wait_for("credential.renewal_failed");
        daemon.wait_for("credential.published");
        let value = value(&site);
        assert!(tokens.is_valid(&text(&value)), "{fault:?}");
        assert_eq!((tokens.created(), &value["generation"]), (1, &1.into()), "{fault:?}");
        assert_eq!(show(&site)["orphans"], 0);
    }
}

#[cfg(feature = "crash-points")]
#[tokio::test(flavor = "multi_thread")]
async fn among_several_new_ones_the_others_are_recorded_and_none_is_revoked() {
    let tokens = Tokens::start(LONG).await;
    let site = tokens.site("0s");
    site.spawn(Some("rotation_created")).crashed();
    tokens.create_other();
    let mut daemon = site.start();
    let line = daemon.wait_for("credential.orphaned");
    assert!(line.contains("somebody else"), "{line}");
    daemon.wait_for("credential.published");
    assert_eq!(show(&site)["orphans"], 1);
    let first = value(&site);
    site.ok(&["credentials", "renew", NAME]);
    daemon.wait_for("credential.published");
    // It may be somebody else's: it is left to expire.
    let shown = show(&site);
    assert_eq!(shown["retired"][0]["revoke_at"], Value::Null, "{shown:#}");
    assert!(tokens.is_valid(&text(&first)));
    assert_eq!((tokens.created(), tokens.requests_to("delete")), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_was_carried_out_late_is_found_and_recorded() {
    let tokens = Tokens::start(LONG).await;
    tokens.fault("create", [Some(Fault::Late(Duration::from_secs(6)))]);
    let site = tokens.site("0s");
    let mut daemon = site.start();
    daemon.wait_for("credential.published");
    until("the late one", || tokens.created() == 2).await;
    site.ok(&["credentials", "renew", NAME]);
    daemon.wait_for("credential.orphaned");
    daemon.wait_for("credential.published");
    let shown = show(&site);
    assert_eq!((&shown["orphans"], &shown["generation"]), (&1.into(), &2.into()), "{shown:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_create_is_tried_again_and_leaves_no_doubt() {
    let tokens = Tokens::start(LONG).await;
    tokens.fault("create", [Some(Fault::Status(400))]);
    let site = tokens.site("0s");
    let mut daemon = site.start();
    let line = daemon.wait_for("credential.renewal_failed");
    assert!(line.contains("http_400"), "{line}");
    // Other requests of the account do not need this credential, and go on.
    site.ok(&["enqueue", "gate.tokens", "--wait", "--timeout", "30s"]);
    daemon.wait_for("credential.published");
    assert_eq!((tokens.created(), tokens.requests_to("create")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_costs_a_login_and_no_second_token() {
    let tokens = Tokens::start(LONG).await;
    let site = tokens.site("0s");
    let mut daemon = site.start();
    daemon.wait_for("credential.published");
    tokens.end_sessions();
    site.ok(&["credentials", "renew", NAME]);
    daemon.wait_for("credential.published");
    // And one at which it is the create that meets the 401.
    tokens.fault("create", [Some(Fault::Status(401))]);
    site.ok(&["credentials", "renew", NAME]);
    daemon.wait_for("credential.published");
    assert!(!daemon.log.iter().any(|line| line.contains("renewal_failed")));
    assert_eq!((tokens.created(), tokens.requests_to("create")), (3, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_every_session_is_not_hammered() {
    let tokens = Tokens::start(LONG).await;
    tokens.fault("list", [Some(Fault::Status(401)); 4]);
    let site = tokens.site("0s");
    let mut daemon = site.start();
    let line = daemon.wait_for("credential.renewal_failed");
    assert!(line.contains("unauthorized"), "{line}");
    // Two sessions were refused; from now on tries come with growing waits.
    assert_eq!(tokens.requests_to("list"), 2);
    daemon.wait_for("credential.published");
    assert_eq!((tokens.created(), tokens.requests_to("create")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_verified_is_used_only_if_nothing_else_is_left() {
    let tokens = Tokens::start(Duration::from_secs(40)).await;
    // The list before the create, and the one after it.
    tokens.fault("list", [None, Some(Fault::Status(500))]);
    let site = tokens.site("0s");
    let mut daemon = site.start();
    let line = daemon.wait_for("credential.published");
    assert!(line.contains("unverified"), "{line}");
    let first = value(&site);
    // Now there is something else: the successor waits until the list shows it.
    tokens.fault("list", [None, Some(Fault::Status(500)), Some(Fault::Status(500))]);
    site.ok(&["credentials", "renew", NAME]);
    daemon.wait_for("credential.renewal_failed");
    let shown = show(&site);
    assert_eq!((&shown["stage"], &shown["generation"]), (&"verifying".into(), &1.into()));
    assert_eq!(text(&value(&site)), text(&first));
    let line = daemon.wait_for("credential.published");
    assert!(!line.contains("unverified"), "{line}");
    assert_eq!(tokens.created(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_broken_does_not_keep_readers_waiting_forever() {
    let tokens = Tokens::start(LONG).await;
    tokens.fault("list", [Some(Fault::Status(500)); 16]);
    let site = tokens.site("0s");
    let mut daemon = site.start();
    let line = daemon.wait_for("credential.published");
    assert!(line.contains("unverified"), "{line}");
    assert!(tokens.is_valid(&text(&value(&site))));
    assert_eq!(tokens.created(), 1);
}

#[cfg(feature = "crash-points")]
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_outlives_the_daemon() {
    let tokens = Tokens::start(LONG).await;
    let site = tokens.site("5m");
    site.start().wait_for("credential.published");
    // The provider is told; that it was is not on disk when the daemon is killed.
    let daemon = site.start_to_crash_at("rotation_revoked");
    let first = value(&site);
    site.run(&["credentials", "revoke", NAME]);
    daemon.crashed();
    let mut daemon = site.start();
    daemon.wait_for("credential.revoked");
    daemon.wait_for("credential.published");
    assert_ne!(text(&value(&site)), text(&first));
    assert_eq!(tokens.created(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_fails_is_tried_again_and_holds_nothing_up() {
    let tokens = Tokens::start(Duration::from_secs(8)).await;
    let fails = [Some(Fault::Status(500)), Some(Fault::LostReply)];
    tokens.fault("delete", fails);
    let site = tokens.site("0s");
    let mut daemon = site.start();
    daemon.wait_for("credential.published");
    let first = value(&site);
    daemon.wait_for("credential.not_revoked");
    assert_eq!(show(&site)["generation"], 2);
    daemon.wait_for("credential.revoked");
    assert!(tokens.deleted_at(&text(&first)).is_some());
    daemon.wait_for("credential.published");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_word_withdraws_what_is_in_hand() {
    let tokens = Tokens::start(LONG).await;
    let site = tokens.site("5m");
    let mut daemon = site.start();
    daemon.wait_for("credential.published");
    let first = value(&site);
    site.ok(&["credentials", "renew", NAME]);
    daemon.wait_for("credential.published");
    let second = value(&site);
    // Both were promised for minutes.
    assert!(tokens.is_valid(&text(&first)) && tokens.is_valid(&text(&second)));
    let said = site.ok(&["credentials", "revoke", NAME]);
    assert!(said.contains("revoked at the provider"), "{said}");
    assert!(!tokens.is_valid(&text(&first)) && !tokens.is_valid(&text(&second)));
    let line = daemon.wait_for("credential.withdrawn");
    assert!(line.contains("actor"), "{line}");
    daemon.wait_for("credential.published");
    let third = value(&site);
    assert!(tokens.is_valid(&text(&third)));
    assert_eq!(third["generation"], 3);
    // The provider is away: it is told later.
    tokens.fault("delete", [Some(Fault::Status(500)), Some(Fault::Status(500))]);
    site.ok(&["credentials", "revoke", NAME]);
    until("the third to be revoked", || !tokens.is_valid(&text(&third))).await;

    // The login itself: its definition says how to end it.
    let session = site.json(&["token", "gate/session", "--min-ttl", "0s"]);
    let said = site.json(&["credentials", "revoke", "gate/session"]);
    assert_eq!(said["provider"], "told", "{said:#}");
    assert_eq!(tokens.logged_out(), [text(&session)]);
    let another = site.json(&["token", "gate/session", "--min-ttl", "0s"]);
    assert_ne!(text(&session), text(&another));
}
