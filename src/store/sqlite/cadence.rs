//! What is learned of follows: rows to arguments and back.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::Arg;
use crate::{
    store::{CadenceRow, PriceRow},
    types::Timestamp,
};

pub(super) fn learned(row: &SqliteRow) -> CadenceRow {
    CadenceRow {
        queue: row.get(0),
        kind: row.get(1),
        status: row.get::<Vec<u8>, _>(2).try_into().ok(),
        learned: row.get(3),
        at: Timestamp(row.get(4)),
    }
}

pub(super) fn learned_args(row: CadenceRow) -> Vec<Arg> {
    vec![
        Arg::Int(Some(row.queue)),
        Arg::Int(Some(row.kind)),
        Arg::Bytes(Some(row.status.map(Vec::from).unwrap_or_default())),
        Arg::Bytes(Some(row.learned)),
        Arg::Int(Some(row.at.0)),
    ]
}

pub(super) fn price(row: &SqliteRow) -> PriceRow {
    PriceRow { budget: row.get(0), price: row.get(1), at: Timestamp(row.get(2)) }
}

pub(super) fn price_args(row: PriceRow) -> Vec<Arg> {
    vec![Arg::Text(Some(row.budget)), Arg::Int(Some(row.price)), Arg::Int(Some(row.at.0))]
}
