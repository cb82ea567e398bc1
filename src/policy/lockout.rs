//! How often a login may be refused before its secrets are left alone.
//!
//! Providers lock accounts whose logins fail again and again, and each try of a wrong secret is
//! one of those. So tries are counted for good: across restarts, and for all accounts that share
//! the login.

/// Plain refusals (`refused_when`, a 401 to a login, a given value that is refused).
pub const REFUSALS: u32 = 2;
/// Answers that may mask a refusal (`maybe_refused_when`): an outage looks the same.
pub const DOUBTS: u32 = 5;
/// Values in a row that were obtained, and were refused all the same.
pub const DISTRUST: u32 = 5;

/// What is held against a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    pub refusals: u32,
    pub doubts: u32,
    pub distrust: u32,
}

/// One more thing against a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    Refused,
    Doubtful,
    /// A request with a fresh value was refused (401).
    Distrusted,
}

impl Tries {
    #[must_use]
    pub const fn struck(mut self, strike: Strike) -> Self {
        let count = match strike {
            Strike::Refused => &mut self.refusals,
            Strike::Doubtful => &mut self.doubts,
            Strike::Distrusted => &mut self.distrust,
        };
        *count = count.saturating_add(1);
        self
    }

    /// The login worked. Whether what it brought works is another question.
    #[must_use]
    pub const fn logged_in(self) -> Self {
        Self { refusals: 0, doubts: 0, distrust: self.distrust }
    }

    /// No further try before the secrets change, or somebody asks.
    #[must_use]
    pub const fn exhausted(self) -> bool {
        self.refusals >= REFUSALS || self.doubts >= DOUBTS || self.distrust >= DISTRUST
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_of_strike_has_a_budget_of_its_own() {
        for (strike, budget) in [
            (Strike::Refused, REFUSALS),
            (Strike::Doubtful, DOUBTS),
            (Strike::Distrusted, DISTRUST),
        ] {
            let mut tries = Tries::default();
            for _ in 1..budget {
                tries = tries.struck(strike);
                assert!(!tries.exhausted(), "{tries:?}");
            }
            assert!(tries.struck(strike).exhausted(), "{strike:?}");
        }
    }

    #[test]
    fn a_login_that_works_says_nothing_of_the_values_it_brings() {
        let mut tries = Tries::default();
        for _ in 0..DISTRUST {
            tries = tries.logged_in().struck(Strike::Distrusted);
        }
        assert!(tries.logged_in().exhausted());
    }

    proptest! {
        #[test]
        fn strikes_alone_never_unlock(strikes in prop::collection::vec(0..3, 0..40)) {
            let mut tries = Tries::default();
            for strike in strikes {
                let before = tries.exhausted();
                tries = tries.struck(match strike {
                    0 => Strike::Refused,
                    1 => Strike::Doubtful,
                    _ => Strike::Distrusted,
                });
                prop_assert!(tries.exhausted() || !before);
            }
        }
    }
}
