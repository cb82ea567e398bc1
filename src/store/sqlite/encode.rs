//! Rows on their way into a statement: numbers and names as JSON, bytes in one blob beside it.
//!
//! A statement reads `jsonb_each(list)` and takes bytes with `substr(blob, offset, length)`: one
//! text for any number of rows, nothing encoded twice. Offsets count from 1, as `substr` does.
//! `json_each` would write each row out as text again, to be parsed again for its columns: twice
//! the time for a row (SQLite 3.51).

use std::fmt::Write as _;

use crate::{
    store::{Hash16, JobSeq, NewJob, Settlement},
    types::{Generation, JobState, Timestamp},
};

/// The number that stands for a state in the tables.
pub(super) const fn state_code(state: JobState) -> i64 {
    match state {
        JobState::Queued => 0,
        JobState::Running => 1,
        JobState::Completed => 2,
        JobState::Dead => 3,
        JobState::Cancelled => 4,
    }
}

/// A list of rows, each a JSON array, and their bytes.
#[derive(Debug, Default)]
pub(super) struct Rows {
    json: String,
    bytes: Vec<u8>,
    count: usize,
}

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The two arguments of a statement.
    pub(super) fn finish(mut self) -> (String, Vec<u8>) {
        self.json.insert(0, '[');
        self.json.push(']');
        (self.json, self.bytes)
    }

    pub(super) fn row(&mut self) -> Row<'_> {
        if self.count > 0 {
            self.json.push(',');
        }
        self.count += 1;
        self.json.push('[');
        Row { rows: self, first: true }
    }
}

/// One row being written; its end is the end of its life.
pub(super) struct Row<'a> {
    rows: &'a mut Rows,
    first: bool,
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        self.rows.json.push(']');
    }
}

impl Row<'_> {
    fn comma(&mut self) {
        if self.first {
            self.first = false;
        } else {
            self.rows.json.push(',');
        }
    }

    pub(super) fn int(&mut self, value: i64) -> &mut Self {
        self.comma();
        // Writing to a String does not fail.
        let _ = write!(self.rows.json, "{value}");
        self
    }

    pub(super) fn null(&mut self) -> &mut Self {
        self.comma();
        self.rows.json.push_str("null");
        self
    }

    pub(super) fn opt(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.int(value),
            None => self.null(),
        }
    }

    pub(super) fn time(&mut self, value: Option<Timestamp>) -> &mut Self {
        self.opt(value.map(|at| at.0))
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.comma();
        self.rows.json.push_str(&serde_json::Value::from(value).to_string());
        self
    }

    pub(super) fn opt_text(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    fn store(&mut self, bytes: &[u8]) -> i64 {
        let offset = self.rows.bytes.len() + 1;
        self.rows.bytes.extend_from_slice(bytes);
        i64::try_from(offset).unwrap_or(i64::MAX)
    }

    /// Sixteen bytes: their offset.
    pub(super) fn hash(&mut self, value: Option<&Hash16>) -> &mut Self {
        match value {
            Some(value) => {
                let offset = self.store(value);
                self.int(offset)
            }
            None => self.null(),
        }
    }

    /// Any bytes: offset and length.
    pub(super) fn bytes(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => {
                let offset = self.store(value);
                self.int(offset).int(i64::try_from(value.len()).unwrap_or(i64::MAX))
            }
            None => self.null().null(),
        }
    }

    /// What a statement of a settlement looks at first: is this claim still held?
    pub(super) fn fence(&mut self, of: &Settlement) -> &mut Self {
        self.int(of.seq).int(of.generation.0).int(state_code(of.from)).opt(of.args_rev)
    }

    /// Columns 0 to 18, in the order that `enqueue_jobs.sql` and `settle_children.sql` read.
    pub(super) fn job(&mut self, job: &NewJob) -> &mut Self {
        self.hash(Some(job.id.0.as_bytes()))
            .hash(job.salt.as_ref())
            .hash(job.uniq.as_ref())
            .bytes(Some(&job.args))
            .int(job.queue)
            .int(job.kind)
            .int(i64::from(job.priority))
            .int(job.run_at.0)
            .int(i64::from(job.ready))
            .int(i64::from(job.max_errors))
            .time(job.deadline)
            .int(job.created_at.0)
            .int(job.created_by)
            .opt(job.family.map(|family| family.parent))
            .opt(job.family.map(|family| family.root));
        if job.tags.is_empty() {
            self.null();
        } else {
            self.text(&serde_json::Value::from(job.tags.as_slice()).to_string());
        }
        self.hash(job.key.as_ref().map(|key| &key.hash))
            .hash(job.key.as_ref().map(|key| &key.request))
    }
}

/// `[[seq, generation], …]`
pub(super) fn leases(leases: &[(JobSeq, Generation)]) -> String {
    let mut rows = Rows::default();
    for (seq, generation) in leases {
        rows.row().int(*seq).int(generation.0);
    }
    rows.finish().0
}
