//! Follows that have all come due at once (after downtime, an outage, a suspend) go one after the
//! other: their part of the budget is not burnt in the first minutes, and they come apart again.

use super::SHARE;
use crate::policy::limit::Limit;

/// Above the even rate, so that good hours can have more polls than others.
const ABOVE: f64 = 5.0;
/// So many seconds' worth may go at once,
const BURST_S: f64 = 120.0;
/// and at least so many.
const BURST: f64 = 16.0;

/// A token bucket, on a clock that does not step. Without limits it lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// Per millisecond; `None` without limits.
    rate: Option<f64>,
    most: f64,
    tokens: f64,
    at_ms: i64,
}

impl Pace {
    #[must_use]
    pub fn new(limits: &[Limit], now_ms: i64) -> Self {
        let rate = super::rate(limits).map(|rate| rate * SHARE * ABOVE);
        let most = rate.map_or(0.0, |rate| (rate * BURST_S).max(BURST));
        Self { rate: rate.map(|rate| rate / 1_000.0), most, tokens: most, at_ms: now_ms }
    }

    /// How many follows may be polled now.
    pub fn allowance(&mut self, now_ms: i64) -> u32 {
        let Some(rate) = self.rate else { return u32::MAX };
        let passed = now_ms.saturating_sub(self.at_ms).max(0) as f64;
        self.at_ms = self.at_ms.max(now_ms);
        self.tokens = (self.tokens + passed * rate).min(self.most);
        self.tokens.max(0.0) as u32
    }

    pub fn take(&mut self, n: u32) {
        if self.rate.is_some() {
            self.tokens -= f64::from(n);
        }
    }

    /// When one may go; `None` if now.
    #[must_use]
    pub fn next_free(&self, now_ms: i64) -> Option<i64> {
        let rate = self.rate?;
        let since = now_ms.saturating_sub(self.at_ms).max(0) as f64;
        let missing = 1.0 - self.tokens - since * rate;
        (missing > 0.0).then(|| now_ms.saturating_add((missing / rate).ceil() as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certn() -> Vec<Limit> {
        ["240/1m", "14400/24h"].iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_thousand_overdue_go_one_after_the_other() {
        let mut pace = Pace::new(&certn(), 0);
        let mut gone = vec![];
        for second in 0..1_500 {
            let n = pace.allowance(second * 1_000).min(1_000 - gone.len() as u32);
            pace.take(n);
            gone.extend(std::iter::repeat_n(second, n as usize));
        }
        assert_eq!(gone.len(), 1_000);
        // Two minutes' worth at once, then 40 a minute: four times the 14,400 a day.
        let within = |from: i64| gone.iter().filter(|at| (from..from + 60).contains(*at)).count();
        assert_eq!(within(0), 80 + 39);
        assert!((60..1_200).step_by(60).all(|from| (39..=41).contains(&within(from))));
    }

    #[test]
    fn says_when_the_next_may_go() {
        let mut pace = Pace::new(&certn(), 0);
        assert_eq!(pace.next_free(0), None);
        let all = pace.allowance(0);
        pace.take(all);
        assert_eq!(pace.next_free(0), Some(1_500));
        assert_eq!(pace.allowance(1_499), 0);
        assert_eq!(pace.allowance(1_500), 1);
        // A clock that went back gives nothing and takes nothing.
        assert_eq!(pace.allowance(700), 1);
        assert_eq!(Pace::new(&[], 0).allowance(0), u32::MAX);
        assert_eq!(Pace::new(&[], 0).next_free(0), None);
    }
}
