//! Ends of attempts into a script.

use std::collections::HashSet;

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{Script, enqueue::ENQUEUE_TAGS};
use crate::store::{
    Settlement, StoreResult,
    sqlite::encode::{Rows, state_code},
};

const SETTLE_CHILDREN: &str = include_str!("../../sql/settle_children.sql");
const SETTLE_ATTEMPTS: &str = include_str!("../../sql/settle_attempts.sql");
const SETTLE_OBSERVATIONS: &str = include_str!("../../sql/settle_observations.sql");
const SETTLE_ARTIFACTS: &str = include_str!("../../sql/settle_artifacts.sql");
const SETTLE_JOBS: &str = include_str!("../../sql/settle_jobs.sql");

pub(super) fn write_settlements(
    script: &mut Script,
    list: &[Settlement],
) -> StoreResult<Option<usize>> {
    if list.is_empty() {
        return Ok(None);
    }
    let mut parts: [(&str, Rows); 4] = [
        (SETTLE_CHILDREN, Rows::default()),
        (SETTLE_ATTEMPTS, Rows::default()),
        (SETTLE_OBSERVATIONS, Rows::default()),
        (SETTLE_ARTIFACTS, Rows::default()),
    ];
    let mut jobs = Rows::default();
    for one in list {
        let [children, attempts, observations, artifacts] = &mut parts;
        for child in &one.children {
            let mut row = children.1.row();
            row.job(child);
            row.int(one.generation.0).int(state_code(one.from)).opt(one.args_rev);
        }
        if let Some(history) = &one.history {
            attempts
                .1
                .row()
                .fence(one)
                .int(history.started_at.0)
                .int(one.now.0)
                .text(history.outcome)
                .opt_text(history.code.as_deref())
                .bytes(history.message.as_deref());
        }
        if let Some(seen) = &one.observation {
            observations
                .1
                .row()
                .fence(one)
                .int(seen.n)
                .int(one.now.0)
                .int(seen.polls)
                .bytes(Some(&seen.status));
        }
        if let Some(file) = &one.artifact {
            artifacts
                .1
                .row()
                .fence(one)
                .text(&file.name)
                .text(&file.content_type)
                .int(file.size)
                .text(&file.sha256)
                .bytes(Some(&file.sealed));
        }
        write_end(&mut jobs, one);
    }
    for (sql, rows) in parts {
        if !rows.is_empty() {
            let rows = rows.finish();
            script.add_rows(sql, &rows)?;
            // Children that were fenced off are not there to be tagged.
            if sql == SETTLE_CHILDREN && any_tags(list) {
                script.add_rows(ENQUEUE_TAGS, &rows)?;
            }
        }
    }
    Ok(Some(script.add_rows(SETTLE_JOBS, &jobs.finish())?))
}

pub(super) fn write_end(jobs: &mut Rows, one: &Settlement) {
    let ended = one.state.has_ended().then_some(one.now);
    jobs.row()
        .fence(one)
        .int(state_code(one.state))
        .int(one.run_at.0)
        .int(i64::from(one.ready))
        .int(one.attempt)
        .int(i64::from(one.errors))
        .int(one.polls)
        .time(one.deadline)
        .time(ended)
        .opt_text(one.error.as_ref().map(|error| error.code.as_str()))
        .time(one.error.as_ref().map(|error| error.at))
        .bytes(one.error.as_ref().and_then(|error| error.message.as_deref()))
        .bytes(one.result.as_deref())
        .int(one.now.0);
}

pub(super) fn read_settled(
    at: Option<usize>,
    list: &[Settlement],
    rows: &[Vec<SqliteRow>],
) -> Vec<bool> {
    let Some(at) = at else { return vec![] };
    if rows[at].len() == list.len() {
        return vec![true; list.len()];
    }
    let done: HashSet<i64> = rows[at].iter().map(|row| row.get(0)).collect();
    list.iter().map(|one| done.contains(&one.seq)).collect()
}

fn any_tags(list: &[Settlement]) -> bool {
    list.iter().flat_map(|one| &one.children).any(|child| !child.tags.is_empty())
}
