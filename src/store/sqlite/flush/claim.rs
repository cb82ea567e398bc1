//! Budgets and claims into a script, and claimed jobs out of its rows.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::Script;
use crate::{
    store::{
        BucketRow, Claim, Claimed, StoreResult,
        sqlite::{encode::Rows, read},
    },
    types::Timestamp,
};

const CLAIM_PROMOTE: &str = include_str!("../../sql/claim_promote.sql");
const CLAIM_JOBS: &str = include_str!("../../sql/claim_jobs.sql");
const CLAIM_NEXT: &str = include_str!("../../sql/claim_next.sql");
const BUCKETS: &str = include_str!("../../sql/buckets.sql");

/// Bucket rows of this batch and of its claim; the later word on a bucket counts.
pub(super) fn write_buckets(
    script: &mut Script,
    buckets: &[BucketRow],
    claim: Option<&Claim>,
) -> StoreResult<()> {
    let ahead = claim.map(|claim| claim.buckets.as_slice()).unwrap_or_default();
    if buckets.is_empty() && ahead.is_empty() {
        return Ok(());
    }
    let mut rows = Rows::default();
    for bucket in buckets.iter().chain(ahead) {
        rows.row()
            .text(&bucket.budget)
            .int(bucket.window_ms)
            .text(&bucket.boot)
            .int(bucket.start_ms)
            .int(bucket.wall_ms)
            .int(bucket.spent)
            .int(bucket.version);
    }
    script.bind(rows.finish().0)?;
    script.add(BUCKETS);
    Ok(())
}

pub(super) struct ClaimAt {
    promote: Option<usize>,
    jobs: Option<usize>,
    next: usize,
}

pub(super) fn write_claim(
    script: &mut Script,
    claim: Option<&Claim>,
) -> StoreResult<Option<ClaimAt>> {
    let Some(claim) = claim else { return Ok(None) };
    let mut promote = None;
    if claim.promote > 0 {
        script.bind(claim.now.0)?;
        script.bind(i64::from(claim.promote))?;
        promote = Some(script.add(CLAIM_PROMOTE));
    }
    let mut jobs = None;
    let most = claim.allowances.iter().map(|one| one.count).max().unwrap_or(0);
    if most > 0 {
        let mut rows = Rows::default();
        for one in &claim.allowances {
            rows.row().int(one.queue).int(i64::from(one.count)).int(i64::from(one.max_priority));
        }
        script.bind(claim.lease_until.0)?;
        script.bind(claim.now.0)?;
        script.bind(rows.finish().0)?;
        script.bind(i64::from(most))?;
        jobs = Some(script.add(CLAIM_JOBS));
    }
    Ok(Some(ClaimAt { promote, jobs, next: script.add(CLAIM_NEXT) }))
}

pub(super) fn read_claimed(
    at: Option<ClaimAt>,
    rows: &[Vec<SqliteRow>],
) -> StoreResult<Option<Claimed>> {
    let Some(at) = at else { return Ok(None) };
    let mut promoted: Vec<i64> =
        at.promote.map(|n| rows[n].iter().map(|row| row.get(0)).collect()).unwrap_or_default();
    promoted.sort_unstable();
    promoted.dedup();
    let jobs = match at.jobs {
        Some(n) => rows[n].iter().map(read::claimed_job).collect::<StoreResult<_>>()?,
        None => vec![],
    };
    let next_due =
        rows[at.next].first().and_then(|row| row.get::<Option<i64>, _>(0)).map(Timestamp);
    Ok(Some(Claimed { jobs, promoted, next_due }))
}
