//! Requests that must not be repeated, and of which nobody knows whether they were carried out.

use serde_json::{Value, json};

use crate::support::{
    daemon::Site,
    shop::{Fate, Shop},
    until,
};

fn ended(site: &Site, id: &str) -> Value {
    site.run(&["jobs", "wait", id, "--timeout", "60s"]);
    site.job(id)
}

fn is_in_doubt(job: &Value) -> bool {
    job["state"] == "queued" && job["last_error"]["code"] == "outcome_unknown"
}

fn order(site: &Site, kind: &str, name: &str) -> String {
    let arg = format!("ref={name}");
    site.ok(&["enqueue", &format!("shop.{kind}"), "--key", name, "--arg", &arg])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_be_ambiguous_is_left_to_a_person() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let _daemon = site.start();
    let fates = [
        Fate::Swallowed,
        Fate::Unanswered,
        Fate::Status(500),
        Fate::Status(502),
        Fate::Status(503),
        Fate::Status(504),
        Fate::Status(408),
        Fate::Status(302),
    ];
    for (n, fate) in fates.into_iter().enumerate() {
        shop.meets(fate);
        let name = format!("b{n}");
        let id = order(&site, "blind", &name);
        let job = ended(&site, &id);
        let expected = (&json!("dead"), &json!("outcome_unknown"));
        assert_eq!((&job["state"], &job["last_error"]["code"]), expected, "{fate:?}: {job:#}");
        assert_eq!(shop.ordered(&name), u64::from(fate != Fate::Swallowed), "{fate:?}");
        // Neither by hand, unless it is said in words, nor by the same request again.
        assert!(site.fails(1, &["jobs", "retry", &id]).contains("--resend"), "{fate:?}");
        assert_eq!(order(&site, "blind", &name), id);
        // Nothing of it opens the breaker for the next.
        site.ok(&["enqueue", "shop.ping", "--wait", "--timeout", "30s"]);
    }
    assert_eq!(shop.asked("POST orders"), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_knows_is_asked_before_a_person_is() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let _daemon = site.start();
    shop.meets(Fate::Unanswered);
    let id = order(&site, "order", "a");
    let job = ended(&site, &id);
    assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!({"ref": "a"})));
    // The chain goes on from what was found.
    assert_eq!(site.wait_chain(&id)["chain"]["state"], "completed");
    assert!(site.in_chain(&id, "shop.thing").is_some());
    assert_eq!((shop.ordered("a"), shop.asked("POST orders")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_does_not_know_is_asked_a_few_times_and_never_sent_again() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let _daemon = site.start();
    shop.meets(Fate::Swallowed);
    let id = order(&site, "order", "a");
    until("doubt", || is_in_doubt(&site.job(&id))).await;
    // A person's impatience has the provider asked at once.
    site.ok(&["jobs", "retry", &id]);
    let job = ended(&site, &id);
    assert_eq!(job["last_error"]["code"], "outcome_unknown", "{job:#}");
    assert_eq!(job["state"], "dead");
    let words = job["last_error"]["message"].as_str().unwrap();
    assert!(words.contains("shows nothing of it"), "{words}");
    assert_eq!((shop.asked("POST orders"), shop.asked("GET orders")), (1, 2));
    site.ok(&["jobs", "resolve", &id, "--not-sent"]);
    assert_eq!(ended(&site, &id)["state"], "completed");
    assert_eq!((shop.ordered("a"), shop.asked("POST orders")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_leaves_a_doubt_to_a_person() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let _daemon = site.start();
    shop.meets(Fate::Unanswered);
    let id = order(&site, "order", "a");
    until("doubt", || is_in_doubt(&site.job(&id))).await;
    site.ok(&["jobs", "cancel", &id]);
    let job = site.job(&id);
    assert_eq!(job["state"], "dead", "{job:#}");
    assert_eq!(job["last_error"]["code"], "outcome_unknown");
    assert_eq!(shop.asked("GET orders"), 0);
    let response = json!({ "ref": "a" }).to_string();
    site.ok(&["jobs", "resolve", &id, "--happened", "--response", &response]);
    assert_eq!(site.wait_chain(&id)["chain"]["state"], "completed");
    assert_eq!(shop.asked("POST orders"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_outlives_kills_and_outages() {
    let shop = Shop::start().await;
    let site = shop.site("");
    let daemon = site.start();
    shop.meets(Fate::Unanswered);
    let id = order(&site, "order", "a");
    until("the order", || shop.ordered("a") == 1).await;
    daemon.kill();
    // Nobody can be asked: it stays in doubt.
    shop.set(|books| books.down = true);
    let daemon = site.start();
    until("two askings", || shop.asked("GET orders") >= 2).await;
    assert!(is_in_doubt(&site.job(&id)), "{:#}", site.job(&id));
    daemon.kill();
    shop.set(|books| books.down = false);
    let _daemon = site.start();
    assert_eq!(ended(&site, &id)["state"], "completed");
    assert_eq!((shop.ordered("a"), shop.asked("POST orders")), (1, 1));
}
