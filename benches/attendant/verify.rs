//! Counting afterwards: what was accepted is stored, what was started was started once.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Result, ensure};
use sqlx::{ConnectOptions as _, Row as _, sqlite::SqliteConnectOptions};

/// What a connection of its own sees in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    pub jobs: i64,
    pub completed: i64,
    pub attempts: i64,
}

pub async fn stored(database: &Path) -> Result<Stored> {
    let mut connection =
        SqliteConnectOptions::new().filename(database).read_only(true).connect().await?;
    let sql = "SELECT count(*), coalesce(sum(state = 2 AND result IS NOT NULL), 0),
                 (SELECT count(*) FROM attempts) FROM jobs";
    let row = sqlx::query(sql).fetch_one(&mut connection).await?;
    Ok(Stored { jobs: row.get(0), completed: row.get(1), attempts: row.get(2) })
}

/// `n` jobs stored and none begun.
pub async fn only_stored(database: &Path, n: usize) -> Result<()> {
    let found = stored(database).await?;
    let wanted = Stored { jobs: i64::try_from(n)?, completed: 0, attempts: 0 };
    ensure!(found == wanted, "stored {found:?}, wanted {wanted:?}");
    Ok(())
}

/// `n` jobs stored and done, with a result and one attempt each.
pub async fn all_done(database: &Path, n: usize) -> Result<()> {
    let found = stored(database).await?;
    let n = i64::try_from(n)?;
    let wanted = Stored { jobs: n, completed: n, attempts: n };
    ensure!(found == wanted, "stored {found:?}, wanted {wanted:?}");
    Ok(())
}

/// How often each job was started, by its number.
#[derive(Debug)]
pub struct Started(Vec<AtomicU32>);

impl Started {
    pub fn new(n: usize) -> Self {
        Self((0..n).map(|_| AtomicU32::new(0)).collect())
    }

    /// A number that nobody was given counts nowhere, and so fails the check.
    pub fn note(&self, n: usize) {
        if let Some(count) = self.0.get(n) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn check(&self) -> Result<()> {
        let counts = || self.0.iter().map(|count| count.load(Ordering::Relaxed));
        let lost = counts().filter(|count| *count == 0).count();
        let doubled = counts().filter(|count| *count > 1).count();
        ensure!(
            lost == 0 && doubled == 0,
            "of {} jobs {lost} were not started, {doubled} more than once",
            self.0.len()
        );
        Ok(())
    }
}
