//! Backups of the real binary, made while it works and restored elsewhere: nothing is ordered
//! twice, and no file is believed that is not whole.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};

use crate::support::{
    daemon::{Site, files},
    shop::Shop,
    until,
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn enqueue(site: &Site, kind: &str, reference: &str) -> String {
    let args = json!({ "ref": reference }).to_string();
    site.ok(&["enqueue", kind, "--key", reference, "--args", &args])
}

/// A site elsewhere, with the same configuration and the key, if that is brought there.
fn elsewhere(shop: &Shop, key_of: Option<&Site>) -> Site {
    let site = shop.site("");
    if let Some(other) = key_of {
        fs::copy(other.path("attendant.key"), site.path("attendant.key")).unwrap();
    }
    site
}

/// Executes SQL on a database that nobody uses.
async fn execute(database: &Path, sql: &'static str) {
    use sqlx::{Connection as _, Executor as _};
    let mut sqlite = sqlx::SqliteConnection::connect(text(database)).await.unwrap();
    sqlite.execute(sql).await.unwrap();
    sqlite.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_restored_elsewhere_orders_nothing_twice() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let daemon = site.start();
    let first = enqueue(&site, "shop.blind", "first");
    site.wait_chain(&first);
    site.ok(&["queues", "pause", "shop"]);
    let blind = enqueue(&site, "shop.blind", "blind");
    let order = enqueue(&site, "shop.order", "order");
    let ping = site.ok(&["enqueue", "shop.ping"]);
    // The backup is made while others write.
    let (enough, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let file = site.path("backup");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !enough.load(Ordering::Relaxed) {
                let (status, _) = site.http("POST", "/v1/jobs", &json!({ "kind": "shop.ping" }));
                assert_eq!(status, 201);
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        while written.load(Ordering::Relaxed) < 20 {
            std::thread::yield_now();
        }
        let made = site.ok(&["backup", text(&file)]);
        enough.store(true, Ordering::Relaxed);
        assert!(made.ends_with("bytes; checked"), "{made}");
    });
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let said = site.fails(2, &["backup", text(&file)]);
    assert!(said.contains("exists and is not overwritten"), "{said}");
    // Meanwhile the work is done here.
    site.ok(&["queues", "resume", "shop"]);
    until("the orders", || shop.ordered("blind") == 1 && shop.ordered("order") == 1).await;
    assert_eq!(site.wait_chain(&order)["chain"]["state"], "completed");
    daemon.stop();

    let copy = elsewhere(&shop, Some(&site));
    let said = copy.ok(&["restore", text(&file)]);
    assert!(said.contains("2 jobs that must not be repeated"), "{said}");
    let daemon = copy.start();
    let queues = copy.json(&["queues"]);
    assert_eq!(queues["queues"][0]["state"], "paused", "{queues:#}");
    let detail = queues["queues"][0]["waiting_for"]["detail"].as_str().unwrap();
    assert!(detail.contains("paused by the restore of a backup from 20"), "{detail}");
    for id in [&blind, &order] {
        let job = copy.job(id);
        let told = (&job["state"], &job["last_error"]["code"]);
        assert_eq!(told, (&json!("dead"), &json!("outcome_unknown")), "{job:#}");
    }
    assert_eq!(copy.job(&first)["state"], "completed");
    assert_eq!(copy.job(&ping)["waiting_for"]["code"], "paused");
    copy.ok(&["queues", "resume", "--all"]);
    assert_eq!(copy.wait_chain(&ping)["state"], "completed");
    // A person says what the shop shows, and the chain goes on.
    let word = json!({ "ref": "order" }).to_string();
    copy.ok(&["jobs", "resolve", &order, "--happened", "--response", &word]);
    assert_eq!(copy.wait_chain(&order)["chain"]["state"], "completed");
    // A key that came before is known.
    assert_eq!(enqueue(&copy, "shop.blind", "blind"), blind);
    daemon.stop();
    for name in ["first", "blind", "order"] {
        assert_eq!(shop.ordered(name), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_brought_only_where_it_was_asked_for() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let daemon = site.start();
    let done = enqueue(&site, "shop.blind", "done");
    site.wait_chain(&done);
    let (without, with) = (site.path("without"), site.path("with"));
    site.ok(&["backup", text(&without)]);
    let made = site.json(&["backup", "--with-key", text(&with)]);
    assert_eq!(made["with_key"], true);
    daemon.stop();
    let key = fs::read(site.path("attendant.key")).unwrap();
    let key = key.trim_ascii();
    let has_key = |file: &Path| fs::read(file).unwrap().windows(key.len()).any(|part| part == key);
    assert!(has_key(&with) && !has_key(&without));

    let copy = elsewhere(&shop, None);
    // Without definitions nobody knows what must not be repeated.
    let (there, away) = (copy.path("jobs.d/shop.toml"), copy.path("away"));
    fs::rename(&there, &away).unwrap();
    let said = copy.fails(2, &["restore", text(&with)]);
    assert!(said.contains("no definition of `shop` is there"), "{said}");
    fs::rename(&away, &there).unwrap();
    let before = files(copy.folder.path()).len();
    let said = copy.fails(2, &["restore", text(&without)]);
    assert!(said.contains("holds no key") && said.contains("attendant.key"), "{said}");
    // The lock is all that a refusal leaves.
    assert_eq!(files(copy.folder.path()).len(), before + 1);
    let said = copy.ok(&["restore", text(&with)]);
    assert!(said.contains("Its sealing key is in"), "{said}");
    let placed = copy.path("attendant.key");
    assert_eq!(fs::metadata(&placed).unwrap().permissions().mode() & 0o777, 0o600);
    let daemon = copy.start();
    assert_eq!(copy.job(&done)["args"]["ref"], "done", "it opens what was sealed");
    daemon.stop();

    // The key of another database stays, and nothing takes its place.
    let other = elsewhere(&shop, None);
    other.start().stop();
    let foreign = fs::read(other.path("attendant.key")).unwrap();
    fs::remove_file(other.path("attendant.db")).unwrap();
    let said = other.fails(2, &["restore", text(&with)]);
    assert!(said.contains("is not the one that this backup was sealed with"), "{said}");
    assert_eq!(fs::read(other.path("attendant.key")).unwrap(), foreign);
    assert!(!other.path("attendant.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_whole_backup_is_put_in_place_and_nothing_is_overwritten() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let daemon = site.start();
    enqueue(&site, "shop.blind", "done");
    let file = site.path("backup");
    site.ok(&["backup", text(&file)]);
    let said = site.fails(2, &["restore", text(&file)]);
    assert!(said.contains("another attendant uses"), "{said}");
    daemon.stop();
    let database = fs::read(site.path("attendant.db")).unwrap();
    let said = site.fails(2, &["restore", text(&file)]);
    assert!(said.contains("is there already, and is not overwritten"), "{said}");
    assert_eq!(fs::read(site.path("attendant.db")).unwrap(), database);

    let copy = elsewhere(&shop, Some(&site));
    let whole = fs::read(&file).unwrap();
    let bad = copy.path("bad");
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle] ^= 0x55;
    let cases: [(&[u8], &str); 5] = [
        (&whole[..whole.len() / 2], "is cut short or damaged"),
        (&torn, "is cut short or damaged: attendant.db is not what was written"),
        (&database, "is no backup of attendant"),
        (b"", "is no backup of attendant"),
        (b"a letter to somebody", "is no backup of attendant"),
    ];
    for (bytes, words) in cases {
        fs::write(&bad, bytes).unwrap();
        let said = copy.fails(1, &["restore", text(&bad)]);
        assert!(said.contains(words), "{said}");
    }
    let said = copy.fails(1, &["restore", text(&copy.path("nowhere"))]);
    assert!(said.contains("cannot be read"), "{said}");
    let left: Vec<_> = files(copy.folder.path());
    assert!(left.iter().all(|path| !text(path).contains("attendant.db.restoring")), "{left:?}");
    assert!(!copy.path("attendant.db").exists());
    copy.ok(&["restore", text(&file)]);
    copy.start().stop();
}

/// Undoes the last migration, as if an older program had made the database.
const OLDER: &str = "DROP INDEX jobs_ended; DROP INDEX keys_job; DROP TABLE pruning;
    DELETE FROM _sqlx_migrations WHERE version = 10;";

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_before_the_schema_is_changed() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let daemon = site.start();
    let done = enqueue(&site, "shop.blind", "done");
    site.wait_chain(&done);
    daemon.stop();
    let database = site.path("attendant.db");
    execute(&database, OLDER).await;
    // Where none can be made, nothing is changed.
    let before = fs::read(&database).unwrap();
    fs::create_dir(site.path("attendant.db.copy")).unwrap();
    let said = site.fails(1, &["run"]);
    assert!(said.contains("no backup of it could be made first"), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(fs::read(&database).unwrap(), before);
    fs::remove_dir(site.path("attendant.db.copy")).unwrap();

    for old in 5..9 {
        site.write(&format!("attendant.db.before-schema-{old}.backup"), "an old one");
    }
    let mut daemon = site.start();
    assert_eq!(daemon.told("daemon.backed_up"), 1, "{:#?}", daemon.log);
    daemon.stop();
    let backups: Vec<String> = files(site.folder.path())
        .iter()
        .filter_map(|path| path.file_name()?.to_str()?.strip_prefix("attendant.db.before-schema-"))
        .map(str::to_owned)
        .collect();
    let mut kept: Vec<&str> = backups.iter().map(String::as_str).collect();
    kept.sort_unstable();
    assert_eq!(kept, ["10.backup", "7.backup", "8.backup"]);
    site.start().stop();

    let copy = elsewhere(&shop, Some(&site));
    copy.ok(&["restore", text(&site.path("attendant.db.before-schema-10.backup"))]);
    let daemon = copy.start();
    assert_eq!(copy.job(&done)["state"], "completed");
    assert_eq!(copy.http("GET", "/v1/schedules", &Value::Null).0, 200);
    daemon.stop();
}
