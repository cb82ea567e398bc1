//! Providers that answer with anything but what was asked for: each job ends, in good time and
//! with words, and the daemon lives on.

use std::{io::Write as _, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{daemon::Site, until};

const DEFINITION: &str = r#"
provider = "raw"
title    = "Raw"

[jobs.get]
shape    = "call"
args     = { n = { type = "integer" } }
timeout  = "2s"
max_body = 65536
success  = "response.ok is true"
request  = { path = "/{{ args.n }}" }

[jobs.list]
shape   = "call"
timeout = "5s"
pages   = { items = "response.items", next = "response.next" }
request = { path = "/list" }

[jobs.file]
shape    = "download"
args     = { n = { type = "integer" } }
timeout  = "2s"
max_body = 65536
artifact = "file"
request  = { path = "/{{ args.n }}" }
"#;

/// What comes over the wire, and how.
#[derive(Clone)]
enum Answer {
    Bytes(Vec<u8>),
    /// The bytes, and then one more every tenth of a second for ever.
    Drip(Vec<u8>),
}

fn http(head: &str, body: &[u8]) -> Answer {
    let mut bytes = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    bytes.insert_str(bytes.find("\r\n").unwrap(), "\r\nconnection: close");
    Answer::Bytes([bytes.as_bytes(), body].concat())
}

fn json_of(body: &[u8]) -> Answer {
    http("200 OK\r\ncontent-type: application/json", body)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Answers `/n` with the `n`th of these.
async fn provider(answers: Vec<Answer>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = Arc::new(answers);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                let _ = answer(stream, &answers).await;
            });
        }
    });
    url
}

async fn answer(mut stream: TcpStream, answers: &[Answer]) -> std::io::Result<()> {
    let mut head = vec![];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await?;
        if read == 0 {
            return Ok(());
        }
        head.extend_from_slice(&part[..read]);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let Some(answer) = path[1..].parse().ok().and_then(|n: usize| answers.get(n)) else {
        let page = json!({ "items": [path], "next": "/list?page=2" }).to_string();
        let Answer::Bytes(page) = json_of(page.as_bytes()) else { return Ok(()) };
        return stream.write_all(&page).await;
    };
    match answer {
        Answer::Bytes(bytes) => stream.write_all(bytes).await?,
        Answer::Drip(bytes) => {
            stream.write_all(bytes).await?;
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                stream.write_all(b" ").await?;
            }
        }
    }
    stream.shutdown().await
}

fn site(base_url: &str) -> Site {
    let site = Site { folder: tempfile::tempdir().unwrap() };
    site.write("jobs.d/raw.toml", DEFINITION);
    site.configure(&format!("[accounts.raw]\nprovider = \"raw\"\nbase_url = \"{base_url}\"\n"));
    site
}

/// Jobs that give up at the first error, one for each answer; their ids.
fn enqueue(site: &Site, kind: &str, count: usize) -> Vec<String> {
    let lines: Vec<String> = (0..count)
        .map(|n| json!({ "kind": kind, "args": { "n": n }, "max_errors": 1 }).to_string())
        .collect();
    site.write("batch.ndjson", &lines.join("\n"));
    let said = site.ok(&["enqueue", "--batch", site.path("batch.ndjson").to_str().unwrap()]);
    said.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_answer_has_its_word() {
    let deep = [vec![b'['; 20_000], vec![b']'; 20_000]].concat();
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 64 << 10);
    let zip = |body: &[u8]| http("200 OK\r\ncontent-encoding: gzip", body);
    let endless = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    let table: Vec<(&str, &str, Answer)> = vec![
        ("huge", "unreadable", json_of(&vec![b'1'; 65_537])),
        ("deep", "unparsable", json_of(&deep)),
        ("no JSON", "unparsable", json_of(b"<html>maintenance</html>")),
        ("other encoding", "unparsable", json_of(b"{\"ok\": \"\xe4\xf6\xfc\"}")),
        ("UTF-16", "unparsable", json_of(b"\xff\xfe{\0}\0")),
        ("NUL", "unparsable", json_of(b"\0\0\0")),
        ("empty", "unparsable", json_of(b"")),
        ("another shape", "unsuccessful", json_of(b"[1, 2]")),
        ("huge number", "unsuccessful", json_of(b"{\"ok\": 1e308}")),
        ("bomb", "unreadable", zip(&bomb)),
        ("no gzip", "unreadable", zip(b"not compressed")),
        ("cut", "truncated", Answer::Bytes(endless[..40].to_vec())),
        ("short", "truncated", {
            let Answer::Bytes(bytes) = json_of(b"{\"ok\": true}") else { return };
            Answer::Bytes(bytes[..bytes.len() - 3].to_vec())
        }),
        ("redirect", "redirected", http("302 Found\r\nlocation: /4", b"")),
        ("redirect to itself", "redirected", http("308 X\r\nlocation: /14", b"")),
        ("headers", "reset", {
            let many = "x-y: z\r\n".repeat(20_000);
            Answer::Bytes(format!("HTTP/1.1 200 OK\r\n{many}\r\n").into_bytes())
        }),
        ("no HTTP", "reset", Answer::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())),
        ("no head", "reset", Answer::Bytes(vec![])),
        ("status 999", "http_999", http("999 X", b"")),
        ("drip", "timeout", Answer::Drip(endless)),
        ("drip of a head", "timeout", Answer::Drip(b"HTTP/1.1 200 OK\r\nx: ".to_vec())),
    ];
    let base_url = provider(table.iter().map(|(_, _, answer)| answer.clone()).collect()).await;
    let site = site(&base_url);
    let daemon = site.start();
    let ids = enqueue(&site, "raw.get", table.len());
    for ((name, code, _), id) in table.iter().zip(&ids) {
        // `Few` is left to other tests: these were told to give up at once.
        site.run(&["jobs", "wait", id, "--timeout", "30s"]);
        let job = site.job(id);
        assert_eq!(job["state"], "dead", "{name}: {job:#}");
        let said = job["last_error"]["code"].as_str().unwrap();
        assert!(said == *code || (*code == "truncated" && said == "reset"), "{name}: {job:#}");
        let words = job["last_error"]["message"].as_str().unwrap();
        assert!(!words.is_empty() && words.len() < 2_000, "{name}: {words}");
    }
    site.ok(&["queues", "resume", "raw"]);
    let list = site.ok(&["enqueue", "raw.list"]);
    let mut log = daemon.stop();
    log.retain(|line| line.contains("panicked"));
    assert_eq!(log, [] as [String; 0]);
    // Pages that go round in circles end too.
    let mut daemon = site.start();
    daemon.wait_for(&list);
    daemon.wait_for("unparsable");
    assert!(site.job(&list)["last_error"]["message"].as_str().unwrap().contains("circles"));
}

/// Good answers with a few bytes changed, cut out or put in.
fn mangled(chance: &mut StdRng) -> Answer {
    let zipped = gzip(b"{\"ok\": true}");
    let good = [
        json_of(br#"{"ok": true, "items": [1, 2.5, null], "next": null}"#),
        http("200 OK\r\ncontent-encoding: gzip\r\ncontent-type: application/json", &zipped),
        http("429 Too Many\r\nretry-after: 1", b""),
        Answer::Bytes(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"ok\r\n8\r\n\": true}\r\n0\r\n\r\n"
                .to_vec(),
        ),
    ];
    let Answer::Bytes(mut bytes) = good[chance.random_range(0..good.len())].clone() else {
        return Answer::Bytes(vec![]);
    };
    for _ in 0..chance.random_range(1..6) {
        let at = chance.random_range(0..bytes.len());
        match chance.random_range(0..3) {
            0 => bytes[at] = chance.random(),
            1 => bytes.insert(at, chance.random()),
            _ => bytes.truncate(at.max(1)),
        }
    }
    Answer::Bytes(bytes)
}

/// It has ended, or there is a word on why it has not.
fn judged(job: &Value) -> bool {
    job["state"] == "completed" || job["last_error"]["code"].is_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mangled_answer_is_judged() {
    let seed = rand::random::<u64>();
    println!("the seed is {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let answers: Vec<Answer> = (0..300).map(|_| mangled(&mut chance)).collect();
    let count = answers.len();
    let site = site(&provider(answers).await);
    let daemon = site.start();
    for kind in ["raw.get", "raw.file"] {
        let ids = enqueue(&site, kind, count);
        assert_eq!(ids.len(), count);
        until("each to be judged", || {
            // The breaker opens, and a mangled Retry-After may shut the gate.
            site.run(&["queues", "resume", "raw"]);
            let jobs = site.json(&["jobs", "--kind", kind, "--limit", "1000"]);
            let jobs = jobs["jobs"].as_array().unwrap();
            jobs.len() == count && jobs.iter().all(judged)
        })
        .await;
    }
    let mut log = daemon.stop();
    log.retain(|line| line.contains("panicked"));
    assert_eq!(log, [] as [String; 0]);
}
