//! Going through what is sealed, a page at a time, and putting what was sealed anew in its place.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{encode::Rows, read};
use crate::store::{Resealed, SealedAt, SealedColumn, SealedValue, StoreResult};

/// The statements of one column: its table and name, and what tells its rows apart. `$n` and
/// `$name` are the second and third part of a place, or constants. A page asks for its first row
/// twice, so that an index serves.
macro_rules! column {
    ($table:literal, $column:literal, $row:literal, $n:literal, $name:literal, $id_and_salt:literal,
     $same:literal) => {
        Statements {
            page: concat!(
                "SELECT t.",
                $row,
                ", ",
                $n,
                ", ",
                $name,
                ", ",
                $id_and_salt,
                ", t.",
                $column,
                " FROM ",
                $table,
                " AS t WHERE substr(t.",
                $column,
                ", 1, ?) = ? AND t.",
                $row,
                " >= ? AND (t.",
                $row,
                ", ",
                $n,
                ", ",
                $name,
                ") > (?, ?, ?)",
                " ORDER BY 1, 2, 3 LIMIT ?"
            ),
            reseal: concat!(
                "UPDATE ",
                $table,
                " AS t SET ",
                $column,
                " = substr(b, v->>5, v->>6)",
                " FROM (SELECT e.value AS v, p.b AS b FROM (SELECT ? AS j, ? AS b) AS p,",
                " jsonb_each(p.j) AS e) AS s WHERE t.",
                $row,
                " = s.v->>0 AND ",
                $same,
                " AND t.",
                $column,
                " = substr(s.b, s.v->>3, s.v->>4) RETURNING ",
                $row,
                ";"
            ),
        }
    };
}

macro_rules! job_column {
    ($column:literal) => {
        column!(
            "jobs",
            $column,
            "seq",
            "0",
            "''",
            "t.id, CASE WHEN t.root IS NULL THEN t.salt \
             ELSE (SELECT r.salt FROM jobs AS r WHERE r.seq = t.root) END",
            "true"
        )
    };
}

macro_rules! of_job {
    ($table:literal, $column:literal, $n:literal, $name:literal, $same:literal) => {
        column!(
            $table,
            $column,
            "job",
            $n,
            $name,
            "(SELECT j.id FROM jobs AS j WHERE j.seq = t.job), \
             (SELECT CASE WHEN j.root IS NULL THEN j.salt \
              ELSE (SELECT r.salt FROM jobs AS r WHERE r.seq = j.root) END \
              FROM jobs AS j WHERE j.seq = t.job)",
            $same
        )
    };
}

macro_rules! credential_column {
    ($column:literal) => {
        column!("credentials", $column, "queue", "0", "t.name", "NULL, t.salt", "t.name = s.v->>2")
    };
}

pub(super) struct Statements {
    pub page: &'static str,
    pub reseal: &'static str,
}

pub(super) const fn statements(column: SealedColumn) -> Statements {
    match column {
        SealedColumn::Args => job_column!("args"),
        SealedColumn::Result => job_column!("result"),
        SealedColumn::Error => job_column!("error_message"),
        SealedColumn::Attempt => {
            of_job!("attempts", "message", "t.generation", "''", "t.generation = s.v->>1")
        }
        SealedColumn::Status => of_job!("observations", "status", "t.n", "''", "t.n = s.v->>1"),
        SealedColumn::Artifact => {
            of_job!("artifacts", "sealed", "0", "t.name", "t.name = s.v->>2")
        }
        SealedColumn::CredentialValue => credential_column!("value"),
        SealedColumn::CredentialError => credential_column!("error_message"),
        SealedColumn::SecretChange => column!(
            "secret_changes",
            "value",
            "queue",
            "t.pending",
            "t.name",
            "NULL, t.salt",
            "t.pending = s.v->>1 AND t.name = s.v->>2"
        ),
    }
}

pub(super) fn value(row: &SqliteRow) -> StoreResult<SealedValue> {
    let job: Option<&[u8]> = row.get(3);
    Ok(SealedValue {
        at: SealedAt { row: row.get(0), n: row.get(1), name: row.get(2) },
        job: job.map(|_| read::job_id(row, 3)).transpose()?,
        salt: read::hash(row, 4)?,
        sealed: row.get(5),
    })
}

/// `[[row, n, name, offset and length of what was, of what is to be], …]`
pub(super) fn encode(values: &[Resealed]) -> (String, Vec<u8>) {
    let mut rows = Rows::default();
    for one in values {
        rows.row()
            .int(one.at.row)
            .int(one.at.n)
            .text(&one.at.name)
            .bytes(Some(&one.was))
            .bytes(Some(&one.sealed));
    }
    rows.finish()
}
