//! How late a completion is noticed, by policy: thousands of applicants whose completion times
//! follow several distributions, one budget, the daemon's own policy code. Nothing in it is timed,
//! and its seeds are fixed, so that every run prints the same.

// Estimates and counts of thousands.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

mod known;
mod report;
mod sim;
mod world;

fn main() {
    report::print();
}
