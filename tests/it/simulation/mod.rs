//! The daemon's inside, simulated: months of it in seconds, each seed another story that can be told
//! again exactly.
//!
//! Real are the engine (dispatcher, attempts, sender, shapes, settling, reaper, gates, budgets,
//! credentials), all of the policies, the outbound requests up to the wire, and the store on SQLite.
//! Simulated are the clocks, the jitter, the providers, the clients, and the order in which tasks
//! go on; the process dies at any place where it waits for the store or a provider.
//!
//! `SIM_SEED=7 cargo test --all-features --test it simulation::seeds -- --nocapture` runs one seed,
//! `SIM_TRACE=1` with it shows each step; `make soak` runs thousands.

mod call;
mod checks;
mod events;
mod ledger;
mod people;
mod provider;
mod sim;
mod store;
mod tasks;
mod template;
mod world;

use std::{
    env,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use self::world::World;

/// As many as the test suite has time for.
const SEEDS: u64 = 12;

/// What one seed came to.
struct Told {
    hash: u64,
    lines: u64,
    days: f64,
    crashes: u32,
    requests: u64,
    jobs: usize,
    wrong: Option<String>,
}

fn tell(seed: u64) -> Told {
    let mut world = World::new(seed);
    world.run();
    let state = world.sim.state();
    let wrong = (!state.wrong.is_empty()).then(|| {
        format!(
            "seed {seed}, at {} ms:\n{}- {}\n\nagain: SIM_SEED={seed} cargo test --all-features \
             --test it simulation::seeds -- --nocapture",
            state.t,
            state.trace.tail(),
            state.wrong.join("\n- ")
        )
    });
    #[allow(clippy::cast_precision_loss)] // for people
    let days = state.t as f64 / provider::DAY as f64;
    Told {
        hash: state.trace.hash,
        lines: state.trace.lines,
        days,
        crashes: world.crashes,
        requests: state.providers.all.values().map(|one| one.requests).sum(),
        jobs: state.ledger.jobs.len(),
        wrong,
    }
}

fn number<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

/// Seeds from the first on, on as many threads as were asked for; how each went.
fn run(first: u64, count: u64, threads: usize) -> Vec<Told> {
    let next = AtomicU64::new(first);
    let work = || {
        let mut told = vec![];
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return told;
            }
            let one = tell(seed);
            if env::var_os("SIM_SEEDS").is_some() {
                let Told { days, jobs, lines, crashes, .. } = &one;
                println!("{seed}: {days:.0} days, {jobs} jobs, {crashes} crashes, {lines} steps");
            }
            if let Some(wrong) = &one.wrong {
                println!("{wrong}");
                // Enough to know, where it was only asked whether there is one.
                if env::var_os("SIM_STOP").is_some() {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                }
            }
            told.push(one);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn seeds() {
    let only: Option<u64> = number("SIM_SEED");
    let first = only.or_else(|| number("SIM_FIRST")).unwrap_or(1);
    let count = if only.is_some() { 1 } else { number("SIM_SEEDS").unwrap_or(SEEDS) };
    let begun = Instant::now();
    let told = run(first, count, number("SIM_THREADS").unwrap_or(1));
    let seconds = begun.elapsed().as_secs_f64();
    let months = told.iter().map(|one| one.days).sum::<f64>() / 30.0;
    let sum = |of: fn(&Told) -> u64| told.iter().map(of).sum::<u64>();
    println!(
        "{count} seeds from {first} in {seconds:.1} s: {:.2} seeds a second, {months:.1} simulated \
         months; {} jobs, {} requests, {} crashes, {} steps",
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds,
        sum(|one| one.jobs as u64),
        sum(|one| one.requests),
        sum(|one| u64::from(one.crashes)),
        sum(|one| one.lines),
    );
    let wrong: Vec<&String> = told.iter().filter_map(|one| one.wrong.as_ref()).collect();
    assert!(wrong.is_empty(), "{} of {count} seeds failed; the first: {}", wrong.len(), wrong[0]);
}

#[test]
fn a_seed_is_told_again_exactly() {
    let (one, other) = (tell(2), tell(2));
    assert_eq!((one.hash, one.lines), (other.hash, other.lines));
    assert!(one.lines > 1_000, "{} steps are no story", one.lines);
    assert_ne!(one.hash, tell(3).hash);
}
