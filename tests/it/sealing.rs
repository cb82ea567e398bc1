//! What is erased can be read nowhere any more, in backups neither; a rekey leaves nothing sealed
//! with the old key; and a kill at any moment of either leaves what a restart finishes.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use attendant::{
    clock::Clock,
    credentials::{
        seal::{ChainKey, SealingKey},
        vault::{self, Part},
    },
    sandbox::{Fault, Options, Sandbox},
    types::JobId,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _, SqliteConnection};

use crate::support::daemon::{Site, files, order};

const TAG: &str = "canary-tag-5b1d";
const FIRST: &str = "Canarina";
const LAST: &str = "Zyxwvut";
const KEY: &str = "canary-key-77aa";

struct World {
    sandbox: Sandbox,
    site: Site,
}

async fn world() -> World {
    let sandbox =
        Sandbox::start(([127, 0, 0, 1], 0).into(), Options::certn(Clock::System)).await.unwrap();
    let site = Site::certn(&sandbox.base_url(), "sandbox-client", "sandbox-secret");
    World { sandbox, site }
}

/// Places the order, or asks for it again: the job's id.
fn order_in(site: &Site) -> String {
    let args = order(FIRST, LAST);
    site.ok(&["enqueue", "certn.application", "--key", KEY, "--tag", TAG, "--args", &args])
}

impl World {
    /// A chain with arguments, results, statuses and a file; its first job.
    fn chain(&self) -> String {
        let id = order_in(&self.site);
        assert_eq!(self.site.wait_chain(&id)["chain"]["state"], "completed");
        id
    }

    /// A job that a provider turned away with words of its own.
    fn failure(&self) -> String {
        self.sandbox.fault(Fault::status("GET /api/v1/users", 400));
        let id = self.site.ok(&["enqueue", "certn.users"]);
        self.site.run(&["jobs", "wait", &id, "--timeout", "30s"]);
        assert_eq!(self.site.job(&id)["state"], "dead");
        id
    }

    fn database(&self) -> PathBuf {
        self.site.path("attendant.db")
    }

    fn key(&self) -> SealingKey {
        SealingKey::read_file(&self.site.path("attendant.key")).unwrap().key
    }

    /// Copies the database, closed, as a backup does.
    fn back_up(&self) -> PathBuf {
        let copy = self.site.path("backup.db");
        std::fs::copy(self.database(), &copy).unwrap();
        copy
    }

    /// Puts a backup in the place of the database.
    fn restore(&self, copy: &Path) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(self.site.path(&format!("attendant.db{end}")));
        }
        std::fs::copy(copy, self.database()).unwrap();
    }

    /// The state folder shows none of these.
    fn shows_nowhere(&self, canaries: &[&str]) {
        let mut looked = 0;
        for file in files(self.site.folder.path()) {
            let bytes = std::fs::read(&file).unwrap_or_default();
            looked += 1;
            for canary in canaries {
                let shows = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
                assert!(!shows, "{canary} in {}", file.display());
            }
        }
        assert!(looked >= 4, "{looked} files");
    }

    fn assert_erased(&self, id: &str) {
        let job = self.site.job(id);
        for name in ["args", "key", "result", "status"] {
            assert_eq!(job[name], Value::Null, "{name}");
        }
        assert_eq!((&job["tags"], &job["observations"]), (&json!([]), &json!([])));
        assert_eq!(job["chain"]["artifacts"], json!([]));
        assert_eq!(job["chain"]["jobs"].as_array().unwrap().len(), 3);
        self.site.fails(1, &["jobs", "result", id]);
    }
}

/// Everything sealed in a database's chains: id, part, salt, bytes.
async fn sealed_in(database: &Path) -> Vec<(JobId, &'static str, [u8; 16], Vec<u8>)> {
    let mut connection = SqliteConnection::connect(database.to_str().unwrap()).await.unwrap();
    let salt = "coalesce(j.salt, (SELECT r.salt FROM jobs AS r WHERE r.seq = j.root))";
    let sql = format!(
        "SELECT j.id, 'args', {salt}, j.args FROM jobs AS j WHERE length(j.args) > 0
         UNION ALL SELECT j.id, 'result', {salt}, j.result FROM jobs AS j WHERE j.result IS NOT NULL
         UNION ALL SELECT j.id, 'error', {salt}, j.error_message FROM jobs AS j
           WHERE j.error_message IS NOT NULL
         UNION ALL SELECT j.id, 'status', {salt}, o.status FROM observations AS o
           JOIN jobs AS j ON j.seq = o.job WHERE o.n = 1
         UNION ALL SELECT j.id, 'file', {salt}, a.sealed FROM artifacts AS a
           JOIN jobs AS j ON j.seq = a.job"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let bytes = |row: &sqlx::sqlite::SqliteRow, n: usize| row.get::<Vec<u8>, _>(n);
    rows.iter()
        .map(|row| {
            let part = match row.get::<&str, _>(1) {
                "args" => "args",
                "result" => "result",
                "error" => "error",
                "status" => "status",
                _ => "file",
            };
            let id = JobId(uuid::Uuid::from_slice(&bytes(row, 0)).unwrap());
            (id, part, bytes(row, 2).try_into().unwrap(), bytes(row, 3))
        })
        .collect()
}

fn opens(chain: &ChainKey, id: JobId, part: &str, sealed: &[u8]) -> bool {
    let part = match part {
        "args" => Part::Args,
        "result" => Part::Result,
        "error" => Part::Error,
        "status" => Part::Status(1),
        _ => Part::Artifact("report.pdf"),
    };
    vault::open(chain, id, part, sealed).is_ok()
}

/// Whether the key opens each of the chain's values (or each of the others') in a database.
async fn opened(database: &Path, key: &SealingKey, ids: &[String]) -> (usize, usize) {
    let (mut good, mut all) = (0, 0);
    for (id, part, salt, sealed) in sealed_in(database).await {
        if ids.contains(&id.to_string()) {
            all += 1;
            good += usize::from(opens(&key.chain_key(&salt), id, part, &sealed));
        }
    }
    (good, all)
}

fn chain_of(job: &Value) -> Vec<String> {
    let jobs = job["chain"]["jobs"].as_array().unwrap().iter();
    jobs.map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_can_be_read_nowhere_any_more() {
    let world = world().await;
    let daemon = world.site.start();
    let id = world.chain();
    let failed = world.failure();
    let ids = chain_of(&world.site.job(&id));
    daemon.stop();
    let backup = world.back_up();
    let old_key = world.key();
    let (good, all) = opened(&backup, &old_key, &ids).await;
    assert!(good == all && all >= 7, "{good} of {all}");

    let mut daemon = world.site.start();
    let said = world.site.ok(&["jobs", "erase", &ids[2]]);
    assert!(said.contains("its chain of 3 jobs and 1 file; backups made before cannot"), "{said}");
    daemon.wait_for("job.erased");
    world.assert_erased(&id);
    let again = world.site.json(&["jobs", "erase", &id]);
    assert_eq!(again["erased"]["backups"], "unreadable");
    // The backup has the tag, in clear: it goes elsewhere.
    let outside = tempfile::tempdir().unwrap();
    let kept = outside.path().join("backup.db");
    std::fs::copy(&backup, &kept).unwrap();
    std::fs::remove_file(&backup).unwrap();
    let backup = kept;
    world.shows_nowhere(&[TAG, FIRST, LAST, KEY]);
    // The tombstone of its key is kept.
    assert_eq!(order_in(&world.site), id);
    assert_eq!(world.sandbox.counters().orders["Canarina Zyxwvut"], 1);
    daemon.stop();

    // What the key that is left opens in the backup: nothing of this chain, all of the other.
    let key = world.key();
    assert_eq!(key.id(), old_key.id());
    assert_eq!(opened(&backup, &key, &ids).await, (0, all));
    let (good, others) = opened(&backup, &key, std::slice::from_ref(&failed)).await;
    assert!(good == others && others >= 2, "{good} of {others}");

    world.restore(&backup);
    let log = {
        let mut daemon = world.site.spawn(None);
        daemon.wait_for("daemon.ready");
        world.assert_erased(&id);
        assert_eq!(world.site.job(&failed)["last_error"]["code"], "http_400");
        daemon.stop()
    };
    assert!(log.iter().any(|line| line.contains("daemon.stopped")), "{}", log.join("\n"));
    world.shows_nowhere(&[TAG, FIRST, LAST, KEY]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_changed_is_told_honestly() {
    let world = world().await;
    let daemon = world.site.start();
    let id = world.chain();
    daemon.stop();
    std::fs::create_dir(world.site.path("credentials")).unwrap();
    let given = world.site.path("credentials/seal");
    std::fs::rename(world.site.path("attendant.key"), &given).unwrap();
    let before = std::fs::read(&given).unwrap();
    let config = std::fs::read_to_string(world.site.path("attendant.toml")).unwrap();
    let seal = "[seal]\nkey = { credential = \"seal\" }\n\n[accounts.certn]";
    world.site.write("attendant.toml", &config.replace("[accounts.certn]", seal));
    let folder = world.site.path("credentials");
    let mut daemon = world.site.spawn_in(("CREDENTIALS_DIRECTORY", folder.to_str().unwrap()));
    daemon.wait_for("daemon.ready");
    let said = world.site.ok(&["jobs", "erase", &id]);
    assert!(said.contains("cannot change its sealing key"), "{said}");
    world.assert_erased(&id);
    let said = world.site.fails(1, &["rekey"]);
    assert!(said.contains("[seal] key = { file"), "{said}");
    assert_eq!(std::fs::read(&given).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rekey_leaves_nothing_sealed_with_the_old_key() {
    let world = world().await;
    let daemon = world.site.start();
    let (id, failed) = (world.chain(), world.failure());
    let ids = chain_of(&world.site.job(&id));
    let before = world.site.ok(&["jobs", "result", &id]);
    let old = world.key();
    let said = world.site.ok(&["rekey"]);
    assert!(said.starts_with("Sealed anew with key "), "{said}");
    assert_eq!(world.site.ok(&["jobs", "result", &id]), before);
    assert!(!world.site.path("attendant.key.next").exists());
    let new = world.key();
    assert_ne!(new.id(), old.id());
    // It goes on sealing and opening, erasing too.
    let after = world.failure();
    world.site.ok(&["token", "certn", "--min-ttl", "1s"]);
    world.site.ok(&["jobs", "erase", &after]);
    daemon.stop();
    let mut all = ids;
    all.push(failed);
    assert_eq!(opened(&world.database(), &old, &all).await.0, 0);
    let (good, count) = opened(&world.database(), &new, &all).await;
    assert!(good == count && count >= 9, "{good} of {count}");
    let _daemon = world.site.start();
    assert_eq!(world.site.ok(&["jobs", "result", &id]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rekey_ends_while_jobs_come_and_go() {
    let world = world().await;
    let daemon = world.site.start();
    let done = AtomicBool::new(false);
    let ids: Vec<String> = std::thread::scope(|scope| {
        let load = || {
            let mut ids = vec![];
            while !done.load(Ordering::Acquire) {
                ids.push(world.site.ok(&["enqueue", "certn.users"]));
                world.site.ok(&["credentials", "renew", "certn/access_token"]);
            }
            ids
        };
        let loads = [scope.spawn(load), scope.spawn(load)];
        let keys: Vec<_> = (0..4)
            .map(|_| {
                // Told first, so that the load ends even if this panics.
                let rekeyed = world.site.run(&["rekey"]);
                if !rekeyed.status.success() {
                    done.store(true, Ordering::Release);
                }
                assert!(rekeyed.status.success(), "{}", String::from_utf8_lossy(&rekeyed.stderr));
                world.key().id()
            })
            .collect();
        done.store(true, Ordering::Release);
        assert!(keys.windows(2).all(|two| two[0] != two[1]), "{keys:?}");
        loads.into_iter().flat_map(|load| load.join().unwrap()).collect()
    });
    for id in &ids {
        world.site.ok(&["jobs", "wait", id, "--timeout", "30s"]);
        assert_eq!(world.site.job(id)["state"], "completed");
    }
    daemon.stop();
    let (good, count) = opened(&world.database(), &world.key(), &ids).await;
    assert!(good == count && count >= ids.len(), "{good} of {count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_says_at_its_start_which_secrets_have_ended() {
    let world = world().await;
    let config = std::fs::read_to_string(world.site.path("attendant.toml")).unwrap();
    let given = r#"{ file = "client_secret" }"#;
    let dated = r#"{ file = "client_secret", expires = "2020-12-31" }"#;
    assert!(config.contains(given), "{config}");
    world.site.write("attendant.toml", &config.replace(given, dated));
    let daemon = world.site.start();
    let status = world.site.run(&["status"]);
    let said = String::from_utf8_lossy(&status.stdout);
    assert_eq!(status.status.code(), Some(1), "{said}");
    assert!(said.contains("secret_expiring") && said.contains("has expired"), "{said}");
    let log = daemon.stop();
    let told: Vec<&String> = log.iter().filter(|line| line.contains("secret.expiring")).collect();
    assert!(told.len() == 1 && told[0].contains("has expired (2020-12-31"), "{told:?}");
}

#[cfg(feature = "crash-points")]
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_was_cut_short_is_finished_at_the_next_start() {
    for point in ["erase.cut", "erase.stored"] {
        let world = world().await;
        let daemon = world.site.start_to_crash_at(point);
        let id = world.chain();
        world.site.fails(3, &["jobs", "erase", &id]);
        daemon.crashed();
        assert_eq!(world.key().erased().len(), 1);
        let mut daemon = world.site.spawn(None);
        daemon.wait_for("daemon.ready");
        world.assert_erased(&id);
        daemon.stop();
        world.shows_nowhere(&[TAG, FIRST, LAST, KEY]);
    }
}

#[cfg(feature = "crash-points")]
#[tokio::test(flavor = "multi_thread")]
async fn a_rekey_that_was_cut_short_goes_on_at_the_next_start() {
    for point in ["rekey.begun", "rekey.page", "rekey.resealed", "rekey.renamed"] {
        let world = world().await;
        let daemon = world.site.start_to_crash_at(point);
        let id = world.chain();
        let ids = chain_of(&world.site.job(&id));
        let before = world.site.ok(&["jobs", "result", &id]);
        let old = world.key();
        world.site.fails(3, &["rekey"]);
        daemon.crashed();
        let mut daemon = world.site.start();
        if point != "rekey.renamed" {
            daemon.wait_for("daemon.rekeyed");
        }
        assert_eq!(world.site.ok(&["jobs", "result", &id]), before, "{point}");
        daemon.stop();
        assert!(!world.site.path("attendant.key.next").exists(), "{point}");
        let new = world.key();
        assert_ne!(new.id(), old.id(), "{point}");
        let (good, count) = opened(&world.database(), &new, &ids).await;
        assert!(good == count && count >= 7, "{point}: {good} of {count}");
    }
}

#[cfg(feature = "crash-points")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_in_the_midst_of_a_rekey_is_gone_from_both_keys() {
    let world = world().await;
    let daemon = world.site.start_to_crash_at("rekey.page");
    let id = world.chain();
    let ids = chain_of(&world.site.job(&id));
    world.site.fails(3, &["rekey"]);
    daemon.crashed();
    let outside = tempfile::tempdir().unwrap();
    let copy = outside.path().join("copy.db");
    std::fs::copy(world.site.path("attendant.db-wal"), outside.path().join("copy.db-wal")).unwrap();
    std::fs::copy(world.database(), &copy).unwrap();
    // Killed again between key and database, in a daemon that holds both keys.
    let daemon = world.site.spawn(Some("erase.cut"));
    let said = loop {
        let tried = world.site.run(&["jobs", "erase", &id]);
        let words = String::from_utf8_lossy(&tried.stderr).into_owned();
        if tried.status.code() == Some(3) && words.contains("broke off") {
            break words;
        }
        assert!(words.contains("no socket") || words.contains("nothing listens"), "{words}");
    };
    assert!(said.contains("may have been done"), "{said}");
    daemon.crashed();
    let daemon = world.site.start();
    world.assert_erased(&id);
    daemon.stop();
    assert_eq!(world.key().erased().iter().filter(|one| ids[0] == one.job.to_string()).count(), 1);
    assert_eq!(opened(&copy, &world.key(), &ids).await.0, 0);
}
