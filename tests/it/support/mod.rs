//! What several tests use.

pub mod acme;
pub mod daemon;
pub mod journal;
pub mod oauth;
pub mod oidc;
pub mod shop;
pub mod tokens;

use std::time::Duration;

/// Looks until something that happens elsewhere has happened.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let looking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !so() {
            ticks.tick().await;
        }
    };
    let looked = tokio::time::timeout(daemon::PATIENCE, looking).await;
    assert!(looked.is_ok(), "waited in vain for {what}");
}
