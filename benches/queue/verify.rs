//! Counting afterwards: what was accepted is stored, what was started was started once.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Result, ensure};
use sqlx::{ConnectOptions as _, Row as _, sqlite::SqliteConnectOptions};

/// What a connection of its own sees in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stored {
    jobs: i64,
    completed: i64,
    attempts: i64,
}

async fn stored(database: &Path) -> Result<Stored> {
    let mut connection =
        SqliteConnectOptions::new().filename(database).read_only(true).connect().await?;
    let sql = "SELECT count(*), coalesce(sum(state = 2 AND result IS NOT NULL), 0),
                 (SELECT count(*) FROM attempts) FROM jobs";
    let row = sqlx::query(sql).fetch_one(&mut connection).await?;
    Ok(Stored { jobs: row.get(0), completed: row.get(1), attempts: row.get(2) })
}

/// So many jobs stored; so many of them done, with a result and one attempt each.
pub async fn done(database: &Path, jobs: usize, done: usize) -> Result<()> {
    let found = stored(database).await?;
    let (jobs, done) = (i64::try_from(jobs)?, i64::try_from(done)?);
    let wanted = Stored { jobs, completed: done, attempts: done };
    ensure!(found == wanted, "found {found:?}, wanted {wanted:?}");
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
