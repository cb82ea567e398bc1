use attendant::{
    clock::new_job_id,
    store::{LoginRow, SecretChangeRow},
};

use crate::store::support::{World, at, hash};

fn login(n: u8, refusals: u32) -> LoginRow {
    LoginRow { login: hash(n), refusals, doubts: 2, distrust: 3, at: at(4) }
}

pub async fn logins_are_replaced_and_forgotten(world: World) {
    for row in [login(1, 1), login(2, 7), login(1, 2)] {
        world.store.save_login(row).await.unwrap();
    }
    let mut rows = world.store.logins().await.unwrap();
    rows.sort_by_key(|row| row.login);
    assert_eq!(rows, [login(1, 2), login(2, 7)]);
    world.store.forget_login(hash(1)).await.unwrap();
    world.store.forget_login(hash(9)).await.unwrap();
    assert_eq!(world.store.logins().await.unwrap(), [login(2, 7)]);
}

pub async fn a_certain_secret_takes_the_place_of_a_pending_one(world: World) {
    let job = new_job_id(at(0));
    let change = |name: &str, pending, value: &[u8]| SecretChangeRow {
        queue: world.queue,
        name: name.to_owned(),
        pending,
        configured: hash(1),
        salt: hash(2),
        value: value.to_vec(),
        job,
        at: at(3),
    };
    let rows = async || {
        let mut rows = world.store.secret_changes().await.unwrap();
        rows.sort_by(|a, b| (&a.name, a.pending).cmp(&(&b.name, b.pending)));
        rows
    };
    let save = |row| world.store.save_secret_change(row);
    save(change("other", true, b"o")).await.unwrap();
    save(change("pass", true, b"a")).await.unwrap();
    save(change("pass", true, b"b")).await.unwrap();
    assert_eq!(rows().await, [change("other", true, b"o"), change("pass", true, b"b")]);
    save(change("pass", false, b"b")).await.unwrap();
    save(change("pass", true, b"c")).await.unwrap();
    let both = [change("pass", false, b"b"), change("pass", true, b"c")];
    assert_eq!(rows().await[1..], both);
    world.store.forget_secret_change(world.queue, "pass", true).await.unwrap();
    assert_eq!(rows().await[1..], both[..1]);
    world.store.forget_secret_change(world.queue, "pass", false).await.unwrap();
    assert_eq!(rows().await, [change("other", true, b"o")]);
}
