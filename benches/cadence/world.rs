//! Applicants whose whole lives are drawn beforehand, from several distributions.

use attendant::types::Timestamp;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

pub const MINUTE: f64 = 60.0;
pub const HOUR: f64 = 3_600.0;
pub const DAY: f64 = 86_400.0;

/// One applicant: times are seconds since the simulation began.
#[derive(Debug, Clone)]
pub struct Applicant {
    pub begins: f64,
    /// Statuses, each from a time on; the first from the beginning.
    pub statuses: Vec<(f64, u8)>,
    pub completes: f64,
}

/// The simulation begins at the epoch.
pub fn stamp(seconds: f64) -> Timestamp {
    Timestamp((seconds * 1_000.0).ceil() as i64)
}

impl Applicant {
    /// From order to completion.
    pub fn takes(&self) -> f64 {
        self.completes - self.begins
    }

    pub fn status(&self, at: Timestamp) -> u8 {
        let begun = self.statuses.iter().take_while(|(from, _)| stamp(*from) <= at);
        begun.last().map_or(0, |one| one.1)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Hours,
    Days,
    Mixture,
    Uniform,
    Exponential,
    Office,
    Statuses,
}

pub const KINDS: [(Kind, &str); 7] = [
    (Kind::Hours, "log-normal, median 6 h"),
    (Kind::Days, "log-normal, median 36 h"),
    (Kind::Mixture, "50 % around 10 min, 30 % 8 h, 20 % 60 h"),
    (Kind::Exponential, "exponential, mean 12 h"),
    (Kind::Uniform, "uniform, 0 to 48 h"),
    (Kind::Office, "8 working hours, Monday to Friday"),
    (Kind::Statuses, "statuses that go back"),
];

/// A standard normal value (Box and Muller).
fn normal(rng: &mut StdRng) -> f64 {
    let (a, b): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

fn log_normal(rng: &mut StdRng, median: f64, sigma: f64) -> f64 {
    median * (sigma * normal(rng)).exp()
}

fn exponential(rng: &mut StdRng, mean: f64) -> f64 {
    -(1.0 - rng.random::<f64>()).ln() * mean
}

/// Working time only passes from 9 to 17 h, on five of seven days.
fn office(begins: f64, work: f64) -> f64 {
    let (mut at, mut left) = (begins, work);
    loop {
        let day = (at / DAY).floor();
        let of_day = at - day * DAY;
        let open = day.rem_euclid(7.0) < 5.0;
        if !open || of_day >= 17.0 * HOUR {
            at = (day + 1.0) * DAY;
            continue;
        }
        let start = of_day.max(9.0 * HOUR);
        let room = 17.0 * HOUR - start;
        if left <= room {
            return day * DAY + start + left;
        }
        left -= room;
        at = (day + 1.0) * DAY;
    }
}

/// PENDING, ANALYZING, and for some RETURNED (to the applicant) and back, perhaps again.
fn statuses(rng: &mut StdRng, begins: f64) -> Applicant {
    let mut seen = vec![(begins, 0)];
    let mut at = begins + log_normal(rng, 8.0 * HOUR, 1.2);
    loop {
        seen.push((at, 1));
        at += log_normal(rng, 2.0 * HOUR, 0.7);
        if rng.random::<f64>() < 0.7 {
            return Applicant { begins, statuses: seen, completes: at };
        }
        seen.push((at, 2));
        at += log_normal(rng, 36.0 * HOUR, 1.0);
    }
}

fn applicant(kind: Kind, rng: &mut StdRng, begins: f64) -> Applicant {
    let takes = match kind {
        Kind::Hours => log_normal(rng, 6.0 * HOUR, 0.8),
        Kind::Days => log_normal(rng, 36.0 * HOUR, 0.8),
        Kind::Mixture => match rng.random::<f64>() {
            p if p < 0.5 => log_normal(rng, 10.0 * MINUTE, 0.5),
            p if p < 0.8 => log_normal(rng, 8.0 * HOUR, 0.5),
            _ => log_normal(rng, 60.0 * HOUR, 0.5),
        },
        Kind::Uniform => rng.random::<f64>() * 48.0 * HOUR,
        Kind::Exponential => exponential(rng, 12.0 * HOUR),
        Kind::Office => office(begins, log_normal(rng, 8.0 * HOUR, 0.6)) - begins,
        Kind::Statuses => return statuses(rng, begins),
    };
    Applicant { begins, statuses: vec![(begins, 0)], completes: begins + takes.max(1.0) }
}

/// Arrivals at random, `per_day` on average, for `days`.
pub fn applicants(kind: Kind, seed: u64, per_day: f64, days: f64) -> Vec<Applicant> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut at = 0.0;
    let mut all = vec![];
    loop {
        at += exponential(&mut rng, DAY / per_day);
        if at >= days * DAY {
            return all;
        }
        all.push(applicant(kind, &mut rng, at));
    }
}
