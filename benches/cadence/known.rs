//! A distribution of completion times as if it were known: a large sample of it.

/// Points of the tabulated distribution, evenly spaced.
const POINTS: usize = 20_000;

/// `F`, and its integral, by age.
pub struct Known {
    step: f64,
    /// `F` and `∫ F` at each point.
    table: Vec<(f64, f64)>,
}

impl Known {
    pub fn new(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let longest = times.last().copied().unwrap_or(1.0);
        let step = longest / POINTS as f64;
        let (mut below, mut integral, mut table) = (0, 0.0, vec![]);
        for point in 0..=POINTS {
            below += times[below..].iter().take_while(|one| **one <= point as f64 * step).count();
            let share = below as f64 / times.len() as f64;
            table.push((share, integral));
            integral += share * step;
        }
        Self { step, table }
    }

    /// The expected waiting at age `now` of one that was not complete at age `last`.
    pub fn waiting(&self, last: f64, now: f64) -> f64 {
        let (before, from) = self.at(last);
        let (_, to) = self.at(now);
        if before >= 1.0 {
            // Older than any that was ever seen: the oldest first.
            return 1e12 + now;
        }
        (to - from - before * (now - last)) / (1.0 - before)
    }

    fn at(&self, age: f64) -> (f64, f64) {
        let place = age / self.step;
        let point = (place as usize).min(POINTS);
        let (share, integral) = self.table[point];
        (share, integral + share * (place - point as f64) * self.step)
    }
}
