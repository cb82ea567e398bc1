//! The rows and the table.

use crate::{
    known::Known,
    sim::{self, Doubling, LIMITS, Ours, Outcome, PartOfAge, RATE},
    world::{self, Applicant, DAY, KINDS, Kind},
};

/// New applicants a day, and how many of them are measured. Arrivals go on after these, so that
/// the load stays the same until the last of them is noticed.
const PER_DAY: f64 = 100.0;
const MEASURED: usize = 4_000;
const DAYS: f64 = MEASURED as f64 / PER_DAY + 60.0;
const SEED: u64 = 7;
/// What is shown by itself: the days in which most is learned.
const FIRST_DAYS: f64 = 3.0;

/// One policy on one distribution.
struct Row {
    policy: &'static str,
    outcome: Outcome,
}

pub fn print() {
    println!("{MEASURED} applicants of each distribution, {PER_DAY} new ones a day from an empty");
    println!("history on; {} as the budget, of which polls aim", LIMITS.join(" and "));
    println!(
        "at 80 %, one a minute. Ratios are those of the mean to round-robin's at as many calls"
    );
    println!(
        "as this policy made: of all, of those that began in the first {FIRST_DAYS} days, and of"
    );
    println!("those after.\n");
    println!("| completion times | policy | mean s | p95 s | calls | ratio | first days | after |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut ratios: Vec<Vec<(&str, f64)>> = vec![];
    for (kind, name) in KINDS {
        let all = world::applicants(kind, SEED, PER_DAY, DAYS);
        let rows = rows(kind, &all);
        ratios.push(
            rows.iter().map(|row| (row.policy, table_row(name, row, &rows[0], &all))).collect(),
        );
    }
    println!();
    geometric_means(&ratios);
}

/// Round-robin first: the others are compared with it. It gets as many calls as the daemon made.
fn rows(kind: Kind, all: &[Applicant]) -> Vec<Row> {
    let known = Known::new(
        world::applicants(kind, SEED + 1, 4_000.0, 50.0).iter().map(Applicant::takes).collect(),
    );
    let learned = sim::run(all, MEASURED, &mut Ours::new(true));
    let calls = |outcome: &Outcome| outcome.calls[..MEASURED].iter().sum::<u32>();
    let round_robin = |rate| sim::ticks(all, MEASURED, rate, |last, now| now - last);
    let mut rate = RATE;
    let mut even = round_robin(rate);
    for _ in 0..3 {
        rate *= f64::from(calls(&learned)) / f64::from(calls(&even));
        even = round_robin(rate);
    }
    let whole = round_robin(RATE);
    let oracle = sim::ticks(all, MEASURED, rate, |last, now| known.waiting(last, now));
    let row = |policy, outcome| Row { policy, outcome };
    vec![
        row("round-robin, as many calls", even),
        row("**this, learned online**", learned),
        row("round-robin, one a minute", whole),
        row("this, nothing learned", sim::run(all, MEASURED, &mut Ours::new(false))),
        row("expected waiting, times known", oracle),
        row("backoff, 0.3 × age", sim::run(all, MEASURED, &mut PartOfAge(0.3))),
        row("backoff, doubling to a day", sim::run(all, MEASURED, &mut Doubling)),
        row("each every 5 s (over budget)", sim::always(all, MEASURED, 5.0)),
    ]
}

fn table_row(name: &str, row: &Row, even: &Row, all: &[Applicant]) -> f64 {
    let begun = |days: f64| all.iter().take_while(|one| one.begins < days * DAY).count();
    let first = begun(FIRST_DAYS).min(MEASURED);
    let ratio = |from: usize, to: usize| mean(row, from, to) / mean(even, from, to);
    let calls = row.outcome.calls[..MEASURED].iter().map(|n| f64::from(*n)).sum::<f64>();
    println!(
        "| {name} | {} | {:.0} | {:.0} | {:.1} | {:.3} | {:.2} | {:.2} |",
        row.policy,
        mean(row, 0, MEASURED),
        p95(row),
        calls / MEASURED as f64,
        ratio(0, MEASURED),
        ratio(0, first),
        ratio(first, MEASURED),
    );
    ratio(0, MEASURED)
}

fn mean(row: &Row, from: usize, to: usize) -> f64 {
    row.outcome.delays[from..to].iter().sum::<f64>() / (to - from) as f64
}

fn p95(row: &Row) -> f64 {
    let mut delays = row.outcome.delays[..MEASURED].to_vec();
    delays.sort_by(f64::total_cmp);
    delays[MEASURED * 95 / 100]
}

fn geometric_means(ratios: &[Vec<(&str, f64)>]) {
    println!("Geometric mean over the distributions, and the worst of them:\n");
    println!("| policy | mean, of round-robin's | worst |\n| --- | --- | --- |");
    for (n, (policy, _)) in ratios[0].iter().enumerate() {
        let one: Vec<f64> = ratios.iter().map(|of_kind| of_kind[n].1).collect();
        let mean = (one.iter().map(|r| r.ln()).sum::<f64>() / one.len() as f64).exp();
        let worst = one.iter().copied().fold(0.0, f64::max);
        println!("| {policy} | {mean:.3} | {worst:.3} |");
    }
}
