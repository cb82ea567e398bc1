//! A database that is not intact, or not this daemon's, is refused with words and left as it is.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::World;
use crate::support::daemon::Site;

/// What a database consists of. Looking at one makes an empty log.
fn parts(site: &Site) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = ["attendant.db", "attendant.db-wal", "attendant.key"];
    let there = names.map(|name| site.path(name)).into_iter().filter(|path| path.exists());
    let parts = there.map(|path| (path.clone(), fs::read(path).unwrap()));
    parts
        .filter(|(path, bytes)| !(path.ends_with("attendant.db-wal") && bytes.is_empty()))
        .collect()
}

/// The daemon does not start, says this, ends so, and has changed nothing.
fn refused(site: &Site, what: &str, code: i32, words: &[&str]) {
    let before = parts(site);
    let (status, log) = site.spawn(None).ended();
    let log = log.join("\n");
    assert_eq!(status.code(), Some(code), "{what}: {log}");
    for word in words {
        assert!(log.contains(word), "{what}: no `{word}` in {log}");
    }
    assert!(parts(site) == before, "{what}: something was changed");
}

/// A site with some hundred jobs, stopped in good order.
async fn filled() -> World {
    let world = World::start().await;
    let daemon = world.site.start();
    let job = serde_json::json!({
        "kind": "certn.users", "args": {}, "run_at": "2099-01-01T00:00:00Z",
        "tags": ["t".repeat(60)],
    });
    for _ in 0..300 {
        assert_eq!(world.site.http("POST", "/v1/jobs", &job).0, 201);
    }
    daemon.stop();
    world
}

fn overwrite(site: &Site, from: usize, length: usize) {
    let path = site.path("attendant.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[from..from + length].fill(0xA5);
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_is_refused() {
    let world = filled().await;
    let site = &world.site;
    let whole = fs::read(site.path("attendant.db")).unwrap();
    let restore = || fs::write(site.path("attendant.db"), &whole).unwrap();
    let advice = ["attendant.db", "is damaged", "Restore a backup", "nothing was changed"];

    overwrite(site, 0, 100);
    refused(site, "the header", 1, &advice);
    restore();
    overwrite(site, whole.len() / 2 / 4096 * 4096, 4096);
    refused(site, "a page", 1, &advice);
    restore();
    fs::write(site.path("attendant.db"), &whole[..whole.len() / 2]).unwrap();
    refused(site, "cut in half", 1, &advice);
    fs::write(site.path("attendant.db"), b"").unwrap();
    refused(site, "cut to nothing", 1, &advice);
    fs::write(site.path("attendant.db"), "Dear diary.\n".repeat(99)).unwrap();
    refused(site, "no database", 1, &advice);
    restore();
    let daemon = site.start();
    assert_eq!(site.json(&["jobs", "--limit", "500"])["jobs"].as_array().unwrap().len(), 301);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_changes_that_was_overwritten_is_refused() {
    let world = World::start().await;
    let daemon = world.site.start();
    world.site.ok(&["enqueue", "certn.users", "--in", "1h"]);
    daemon.kill();
    let log = world.site.path("attendant.db-wal");
    let whole = fs::read(&log).unwrap();
    assert!(whole.len() > 4096);
    fs::write(&log, vec![0xA5; whole.len()]).unwrap();
    refused(&world.site, "its log", 1, &["-wal", "Restore a backup"]);
    // The file went, and only its log is left.
    fs::write(&log, &whole).unwrap();
    fs::rename(world.site.path("attendant.db"), world.site.path("away")).unwrap();
    refused(&world.site, "without the file", 1, &["gone or empty"]);
    fs::rename(world.site.path("away"), world.site.path("attendant.db")).unwrap();
    // Torn at its end, as by a power cut: what was answered is before that.
    fs::write(&log, [&whole[..], &[0xA5; 5_000]].concat()).unwrap();
    world.site.start().stop();
    assert_eq!(fs::metadata(&log).map_or(0, |log| log.len()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_or_with_another_it_is_refused() {
    let world = filled().await;
    let site = &world.site;
    let key = fs::read(site.path("attendant.key")).unwrap();
    fs::remove_file(site.path("attendant.key")).unwrap();
    refused(site, "no key", 2, &["attendant.key", "nothing was changed"]);
    let other = World::start().await;
    other.site.start().stop();
    fs::copy(other.site.path("attendant.key"), site.path("attendant.key")).unwrap();
    refused(site, "another key", 2, &["is not the key of", "nothing was changed"]);
    fs::write(site.path("attendant.key"), key).unwrap();
    site.start().stop();
}
