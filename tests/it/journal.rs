//! The log as the journal gets it, from the real binary.

use std::os::unix::fs::MetadataExt as _;

use attendant::telemetry::events::Name;

use crate::support::{
    journal::{Entry, Journal},
    shop::{Fate, Shop},
};

fn event(entry: &Entry) -> &str {
    entry.get("ATTENDANT_EVENT").map_or("", String::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jobs_whole_story_is_found_by_its_id() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let journal = Journal::listen();
    let daemon = site.start_journaled(&journal, &[]);
    let ready = journal.of("ATTENDANT_EVENT", "daemon.ready").remove(0);
    assert_eq!(ready["PRIORITY"], "5");
    assert_eq!(ready["SYSLOG_IDENTIFIER"], "attendant");
    assert!(ready["MESSAGE"].starts_with("ready: listening on "), "{ready:?}");

    let done = site.ok(&["enqueue", "shop.thing", "--arg", "id=1", "--wait"]);
    let done = site.json(&["jobs"])["jobs"][0]["id"].as_str().map_or(done, str::to_owned);
    shop.meets(Fate::Status(400));
    site.run(&["enqueue", "shop.blind", "--arg", "ref=2", "--unkeyed", "--wait"]);
    shop.meets(Fate::Swallowed);
    site.run(&["enqueue", "shop.blind", "--arg", "ref=3", "--unkeyed", "--wait"]);
    let dead = |code: &str| {
        journal.wait_for(code, |entry| {
            event(entry) == "job.dead"
                && entry.get("ATTENDANT_ERROR_CODE").is_some_and(|is| is == code)
        })
    };
    let (refused, unknown) = (dead("http_400"), dead("outcome_unknown"));
    // A provider's no is not ours; what a person must decide is more.
    assert_eq!((refused["PRIORITY"].as_str(), unknown["PRIORITY"].as_str()), ("4", "3"));
    assert_eq!(refused["MESSAGE_ID"], Name::JobDead.about().message_id);
    assert!(unknown["MESSAGE"].contains("attendant jobs resolve"), "{unknown:?}");

    journal.wait_for("its end", |entry| {
        event(entry) == "job.completed" && entry["ATTENDANT_JOB_ID"] == done
    });
    let story = journal.of("ATTENDANT_JOB_ID", &done);
    let events: Vec<&str> = story.iter().map(event).collect();
    let expected = ["job.enqueued", "job.attempt_started", "job.status_changed", "job.completed"];
    assert_eq!(events, expected, "{story:#?}");
    for entry in &story {
        let name = Name::of(event(entry)).unwrap();
        assert_eq!(entry["MESSAGE_ID"], name.about().message_id);
        assert_eq!(entry["ATTENDANT_KIND"], "shop.thing");
        assert_eq!(entry["ATTENDANT_ACCOUNT"], "shop");
        assert!(entry["MESSAGE"].starts_with(&format!("shop.thing {done}: ")), "{entry:?}");
    }
    assert_eq!(story[2]["ATTENDANT_STATUS"], "done");
    assert!(story[3]["ATTENDANT_ELAPSED_MS"].parse::<u64>().is_ok());
    assert_eq!(story[1]["PRIORITY"], "7");
    assert!(story[0]["ATTENDANT_ACTOR"].starts_with("uid "), "{:?}", story[0]);

    // Nothing of it went to standard error.
    assert_eq!(daemon.stop(), [""; 0]);
    journal.wait_for("its end", |entry| event(entry) == "daemon.stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_journal_the_log_is_text_with_a_word() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let nowhere = site.path("nowhere").display().to_string();
    let format = ("ATTENDANT__LOG__FORMAT", "journald");
    let mut daemon = site.start_in(&[format, ("ATTENDANT_JOURNAL_SOCKET", &nowhere)]);
    let word = daemon.log.iter().find(|line| line.contains("there is no journal")).unwrap();
    assert!(word.contains(&nowhere) && word.contains(" warning "), "{word}");
    let id = site.ok(&["enqueue", "shop.ping"]);
    let line = daemon.wait_for("job.completed");
    assert!(
        line.contains(&format!(" info    job.completed          shop.ping {id}: completed")),
        "{line}"
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_error_that_is_the_journal_is_noticed() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let journal = Journal::listen();
    let stderr = std::fs::File::create(site.path("stderr")).unwrap();
    let found = stderr.metadata().unwrap();
    let stream = format!("{}:{}", found.dev(), found.ino());
    let daemon = site.start_to_file(stderr, &journal, &stream);
    journal.wait_for("daemon.ready", |entry| event(entry) == "daemon.ready");
    daemon.stop();
    assert_eq!(std::fs::read_to_string(site.path("stderr")).unwrap(), "");
}
