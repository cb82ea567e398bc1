//! Where chance comes from: the system, or a seed with which a simulation can be run again.

use std::sync::{Arc, Mutex, PoisonError};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// What jitter is drawn from. Keys, salts and ids are not: they come from the system always.
#[derive(Debug, Clone, Default)]
pub enum Chance {
    #[default]
    System,
    /// The same draws in the same order, each time.
    Seeded(Arc<Mutex<StdRng>>),
}

impl Chance {
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Anything from 0 to below 1.
    #[must_use]
    pub fn unit(&self) -> f64 {
        match self {
            Self::System => rand::random(),
            Self::Seeded(draws) => draws.lock().unwrap_or_else(PoisonError::into_inner).random(),
        }
    }

    /// A seed for what draws by itself.
    #[must_use]
    pub fn seed(&self) -> u64 {
        match self {
            Self::System => rand::random(),
            Self::Seeded(draws) => draws.lock().unwrap_or_else(PoisonError::into_inner).random(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_again() {
        let draws = |seed| {
            let chance = Chance::seeded(seed);
            (chance.unit().to_bits(), chance.seed(), chance.unit().to_bits())
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
        assert!((0.0..1.0).contains(&Chance::System.unit()));
    }
}
