use attendant::store::{
    BucketRow, CadenceRow, CredentialRow, GateRow, GateTimeRow, KindGateRow, PriceRow, QueueRow,
    SinkRow, StoredError,
};

use crate::store::support::{World, at, hash};

fn gate(code: &str) -> GateRow {
    GateRow { until: Some(at(5)), code: code.to_owned(), detail: Some("Retry-After".to_owned()) }
}

pub async fn queues_are_saved_whole(world: World) {
    let other = world.store.queue_id("other").await.unwrap();
    let queue = |paused_by: Option<&str>, gate| QueueRow {
        id: world.queue,
        account: "certn".to_owned(),
        paused_by: paused_by.map(str::to_owned),
        breaker: paused_by.map(|_| r#"{"state":"open"}"#.to_owned()),
        gate,
    };
    let open = GateRow { until: None, detail: None, ..gate("provider_changed") };
    let rows = [
        queue(Some(r#"{"uid":0}"#), Some(gate("rate_limited"))),
        queue(None, Some(open)),
        queue(None, None),
    ];
    for row in rows {
        world.store.save_queue(row.clone()).await.unwrap();
        let mut queues = world.store.queues().await.unwrap();
        queues.sort_by_key(|queue| queue.id);
        let untouched = QueueRow {
            id: other,
            account: "other".to_owned(),
            paused_by: None,
            gate: None,
            breaker: None,
        };
        assert_eq!(queues, [row, untouched]);
    }
}

pub async fn gate_times_are_replaced_and_forgotten(world: World) {
    let row = |kind, since, until: Option<u64>| GateTimeRow {
        queue: world.queue,
        kind,
        since: at(since),
        until: until.map(at),
    };
    let kept = [row(None, 1, Some(2)), row(Some(world.kind), 1, None), row(None, 5, None)];
    for one in kept {
        world.store.save_gate_time(one, false).await.unwrap();
    }
    let ended = row(None, 5, Some(9));
    world.store.save_gate_time(ended, false).await.unwrap();
    world.store.save_gate_time(kept[0], true).await.unwrap();
    let mut times = world.store.gate_times().await.unwrap();
    times.sort_by_key(|one| one.since);
    assert_eq!(times, [kept[1], ended]);
}

pub async fn kind_gates_are_replaced_and_opened(world: World) {
    let kind = world.store.kind_id("certn.report").await.unwrap();
    let row = |kind, gate| KindGateRow { queue: world.queue, kind, gate };
    let kept = row(world.kind, gate("kept"));
    world.store.save_kind_gate(kept.clone(), false).await.unwrap();
    for code in ["provider_changed", "breaker"] {
        let gate = GateRow { until: None, detail: None, ..gate(code) };
        world.store.save_kind_gate(row(kind, gate.clone()), false).await.unwrap();
        let mut gates = world.store.kind_gates().await.unwrap();
        gates.sort_by_key(|gate| gate.kind);
        assert_eq!(gates, [kept.clone(), row(kind, gate)]);
    }
    world.store.save_kind_gate(row(kind, gate("any")), true).await.unwrap();
    assert_eq!(world.store.kind_gates().await.unwrap(), [kept]);
}

fn credential(world: &World, name: &str) -> CredentialRow {
    CredentialRow {
        queue: world.queue,
        name: name.to_owned(),
        generation: 3,
        salt: hash(7),
        value: Some(b"sealed".to_vec()),
        sent_at: Some(at(1)),
        expires_at: Some(at(2)),
        renew_at: Some(at(3)),
        promised_until: Some(at(4)),
        errors: 5,
        error: Some(StoredError {
            code: "refused".to_owned(),
            message: Some(b"words".to_vec()),
            at: at(6),
        }),
        secrets: Some(hash(8)),
    }
}

pub async fn credentials_are_saved_whole(world: World) {
    let full = credential(&world, "access_token");
    let bare = CredentialRow {
        generation: 4,
        value: None,
        sent_at: None,
        expires_at: None,
        renew_at: None,
        promised_until: None,
        errors: 0,
        error: None,
        secrets: None,
        ..full.clone()
    };
    let other = credential(&world, "refresh_token");
    world.store.save_credential(other.clone()).await.unwrap();
    for row in [full, bare] {
        world.store.save_credential(row.clone()).await.unwrap();
        let mut rows = world.store.credentials().await.unwrap();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(rows, [row, other.clone()]);
    }
}

pub async fn sinks_are_saved_whole(world: World) {
    let row = |file: &str, generation: u32, job| SinkRow {
        queue: world.queue,
        credential: "access_token".to_owned(),
        file: file.to_owned(),
        generation: generation.into(),
        at: at(generation.into()),
        job,
    };
    let other = row("/run/o'ther", 9, None);
    world.store.save_sink(other.clone()).await.unwrap();
    let job = attendant::clock::new_job_id(at(1));
    for row in [row("/run/a", 1, Some(job)), row("/run/a", 2, None)] {
        world.store.save_sink(row.clone()).await.unwrap();
        let mut rows = world.store.sinks().await.unwrap();
        rows.sort_by(|a, b| a.file.cmp(&b.file));
        assert_eq!(rows, [row, other.clone()]);
    }
}

pub async fn what_is_learned_is_saved_whole(world: World) {
    let row = |status, learned: &[u8], now| CadenceRow {
        queue: world.queue,
        kind: 3,
        status,
        learned: learned.to_vec(),
        at: at(now),
    };
    let all = row(None, b"\x01\x00'", 1);
    for row in [all.clone(), row(Some(hash(1)), b"old", 1), row(Some(hash(1)), b"new", 2)] {
        world.store.save_cadence(row).await.unwrap();
    }
    let mut rows = world.store.cadence().await.unwrap();
    rows.sort_by_key(|row| row.status);
    assert_eq!(rows, [all, row(Some(hash(1)), b"new", 2)]);
}

pub async fn prices_are_replaced(world: World) {
    let row = |budget: &str, price| PriceRow { budget: budget.to_owned(), price, at: at(1) };
    for row in [row("account:a", 1_000_000), row("budget:o'ther", 7), row("account:a", 2)] {
        world.store.save_price(row).await.unwrap();
    }
    let mut rows = world.store.prices().await.unwrap();
    rows.sort_by(|a, b| a.budget.cmp(&b.budget));
    assert_eq!(rows, [row("account:a", 2), row("budget:o'ther", 7)]);
}

const BOOT: &str = "b;o?o't";

fn bucket(budget: &str, start_ms: i64, spent: i64) -> BucketRow {
    BucketRow {
        budget: budget.to_owned(),
        window_ms: 60_000,
        boot: BOOT.to_owned(),
        start_ms,
        wall_ms: at(0).0 + start_ms,
        spent,
        version: spent,
    }
}

pub async fn buckets_are_replaced(world: World) {
    let save = |rows: Vec<BucketRow>| world.store.save_buckets(rows);
    save(vec![bucket("a", 0, 1), bucket("b", 0, 2), bucket("a", 1_000, 3)]).await.unwrap();
    // The later word on a bucket counts, in one list too.
    save(vec![bucket("a", 0, 5), bucket("a", 0, 6)]).await.unwrap();
    let mut rows = world.store.buckets().await.unwrap();
    rows.sort_by(|a, b| (&a.budget, a.start_ms).cmp(&(&b.budget, b.start_ms)));
    assert_eq!(rows, [bucket("a", 0, 6), bucket("a", 1_000, 3), bucket("b", 0, 2)]);
    // A count from before arrives late; and then one from which some was given back.
    save(vec![bucket("a", 0, 2)]).await.unwrap();
    assert!(world.store.buckets().await.unwrap().contains(&bucket("a", 0, 6)));
    let given_back = BucketRow { version: 7, ..bucket("a", 0, 4) };
    save(vec![given_back.clone()]).await.unwrap();
    assert!(world.store.buckets().await.unwrap().contains(&given_back));
    save(vec![]).await.unwrap();
}

pub async fn old_buckets_are_dropped(world: World) {
    let rows = vec![bucket("a", 0, 1), bucket("a", 1, 1), bucket("b", 0, 1), bucket("c'\"", 0, 1)];
    world.store.save_buckets(rows).await.unwrap();
    let drop_of = |names: &[&str], boot: &'static str, now| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        world.store.drop_buckets(names, boot, now)
    };
    drop_of(&[], BOOT, 1_000_000).await.unwrap();
    // A bucket counts until its end plus its window; twice the window is past that.
    drop_of(&["a", "c'\""], BOOT, 120_000).await.unwrap();
    assert_eq!(world.store.buckets().await.unwrap().len(), 4);
    drop_of(&["a", "c'\"", "unknown"], BOOT, 120_001).await.unwrap();
    let mut rows = world.store.buckets().await.unwrap();
    rows.sort_by(|a, b| a.budget.cmp(&b.budget));
    assert_eq!(rows, [bucket("a", 1, 1), bucket("b", 0, 1)]);
    // Those of another boot were written anew under this one.
    drop_of(&["b"], "another boot", 0).await.unwrap();
    assert_eq!(world.store.buckets().await.unwrap(), [bucket("a", 1, 1)]);
}

pub async fn queues_are_numbered_in_their_order(world: World) {
    let names = ["new", "certn", "o'th\"er", "new"].map(str::to_owned).to_vec();
    let ids = world.store.queue_ids(names.clone()).await.unwrap();
    assert_eq!((ids.len(), ids[1], ids[0]), (4, world.queue, ids[3]));
    for (name, id) in names.iter().zip(&ids) {
        assert_eq!(world.store.queue_id(name).await.unwrap(), *id, "{name}");
    }
    assert_eq!(world.store.queue_ids(names).await.unwrap(), ids);
    assert!(world.store.queue_ids(vec![]).await.unwrap().is_empty());
}

pub async fn meta_is_replaced(world: World) {
    assert_eq!(world.store.meta("check").await.unwrap(), None);
    for value in [&b"one"[..], &[0, 255, 0]] {
        world.store.set_meta("check", value.to_vec()).await.unwrap();
        assert_eq!(world.store.meta("check").await.unwrap().as_deref(), Some(value));
    }
    assert_eq!(world.store.meta("Check").await.unwrap(), None);
}
