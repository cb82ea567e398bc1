//! The real binary, killed again and again at moments that nobody chose, while it works for a
//! provider that fails in every way it can.

use std::{collections::BTreeMap, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use crate::support::{
    daemon::Site,
    shop::{Fate, Shop},
    until,
};

const KILLS: u32 = 35;
/// Jobs that are handed in between two kills.
const LOAD: u32 = 12;
/// The order that is never answered and that nobody can be asked about: a person's case, however
/// the moments of the kills fall.
const SILENT: &str = "silent";

/// What was handed in, by its key.
#[derive(Default)]
struct Handed {
    lines: BTreeMap<String, Value>,
    /// The ids that were answered, by key.
    ids: BTreeMap<String, String>,
}

impl Handed {
    fn add(&mut self, chance: &mut StdRng, kill: u32) {
        for n in 0..LOAD {
            let name = format!("{kill}-{n}");
            let (kind, args) = match chance.random_range(0..6) {
                0 | 1 => ("shop.order", json!({ "ref": name })),
                2 => ("shop.blind", json!({ "ref": name })),
                3 => ("shop.ping", json!({})),
                _ => ("shop.thing", json!({ "id": name })),
            };
            let line = json!({ "kind": kind, "args": args, "key": name });
            self.lines.insert(name, line);
        }
    }

    /// Hands in what was not answered yet, and now and then what was: a daemon that is killed
    /// meanwhile leaves the caller without an answer.
    fn hand_in(&mut self, site: &Site, chance: &mut StdRng) {
        let again = |name: &String| self.ids.contains_key(name);
        let names: Vec<String> = self
            .lines
            .keys()
            .filter(|name| !again(name) || chance.random_ratio(1, 20))
            .cloned()
            .collect();
        site.write("batch.ndjson", &ndjson(names.iter().map(|name| &self.lines[name])));
        let said = site.run(&["enqueue", "--batch", site.path("batch.ndjson").to_str().unwrap()]);
        // One id a line, in order, as far as the answer came.
        for (name, id) in names.iter().zip(String::from_utf8(said.stdout).unwrap().lines()) {
            if id.len() != 36 {
                continue;
            }
            let before = self.ids.insert(name.clone(), id.to_owned());
            assert!(before.is_none_or(|before| before == id), "{name} became two jobs");
        }
    }
}

fn ndjson<'l>(lines: impl Iterator<Item = &'l Value>) -> String {
    lines.map(Value::to_string).collect::<Vec<_>>().join("\n")
}

fn some_fate(chance: &mut StdRng) -> Fate {
    match chance.random_range(0..4) {
        0 => Fate::Swallowed,
        1 | 2 => Fate::Unanswered,
        _ => Fate::Status(500),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_doubled_whenever_it_is_killed() {
    let seed = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    println!("CHAOS_SEED={seed} has the same load and faults again, if not the same moments");
    let mut chance = StdRng::seed_from_u64(seed);
    let shop = Shop::start().await;
    let site = shop.site("[engine]\nlease = \"5s\"\n");
    shop.set(|books| _ = books.silent.insert(SILENT.to_owned()));
    let mut handed = Handed::default();
    handed.lines.insert(
        SILENT.to_owned(),
        json!({ "kind": "shop.blind", "args": { "ref": SILENT }, "key": SILENT }),
    );
    for kill in 0..KILLS {
        let daemon = site.start();
        if chance.random_ratio(1, 2) {
            shop.meets(some_fate(&mut chance));
        }
        shop.set(|books| (books.down, books.done) = (kill % 7 == 3, kill % 3 != 0));
        handed.add(&mut chance, kill);
        handed.hand_in(&site, &mut chance);
        std::thread::sleep(Duration::from_millis(chance.random_range(0..400)));
        if chance.random_ratio(1, 3) {
            // Somebody hands in more while it is killed.
            handed.add(&mut chance, 1_000 + kill);
            site.write("late.ndjson", &ndjson(handed.lines.values()));
            let file = site.path("late.ndjson").display().to_string();
            let mut late = site.start_command(&["enqueue", "--batch", &file]);
            std::thread::sleep(Duration::from_millis(chance.random_range(0..30)));
            daemon.kill();
            late.wait().unwrap();
        } else {
            daemon.kill();
        }
    }
    shop.set(|books| {
        books.fates.clear();
        (books.down, books.done) = (false, true);
    });
    let mut daemon = site.start();
    handed.hand_in(&site, &mut chance);
    site.ok(&["queues", "resume", "shop"]);
    until("all to end", || {
        site.json(&["jobs", "--state", "queued", "--limit", "1"])["jobs"] == json!([])
            && site.json(&["jobs", "--state", "running", "--limit", "1"])["jobs"] == json!([])
    })
    .await;
    daemon.wait_for("job.completed");
    count(&site, &shop, &handed);
}

fn count(site: &Site, shop: &Shop, handed: &Handed) {
    assert_eq!(handed.ids.len(), handed.lines.len(), "all were accepted in the end");
    let (mut lost, mut doubled) = (vec![], vec![]);
    let mut ends: BTreeMap<(String, String), u32> = BTreeMap::new();
    for (name, id) in &handed.ids {
        let kind = handed.lines[name]["kind"].as_str().unwrap();
        let job = site.job(id);
        let (state, code) = (&job["state"], &job["last_error"]["code"]);
        let ordered = shop.ordered(name);
        let known = state == "completed";
        let unknown = state == "dead" && code == "outcome_unknown" && kind != "shop.ping";
        let is_order = kind == "shop.order" || kind == "shop.blind";
        if !(known || unknown && is_order) || (is_order && known && ordered == 0) {
            lost.push(format!("{name}: {job:#}"));
        }
        if ordered > 1 {
            doubled.push(name);
        }
        let end = if known { "completed" } else { "outcome_unknown" };
        *ends.entry((kind.to_owned(), end.to_owned())).or_default() += 1;
    }
    println!("{KILLS} kills, {} jobs, {} requests", handed.ids.len(), shop.requests());
    for ((kind, end), count) in &ends {
        println!("{kind} {end}: {count}");
    }
    println!("lost: {}, doubled: {}", lost.len(), doubled.len());
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(doubled.is_empty(), "{doubled:?}");
    // The faults were met: one order at least was left to a person.
    assert!(
        ends.contains_key(&("shop.blind".to_owned(), "outcome_unknown".to_owned())),
        "{ends:?}"
    );
}
