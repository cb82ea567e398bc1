//! Every rule of the daemon as pure functions of plain values: no tokio, no database, no HTTP,
//! no clock. `now` is an argument.

pub mod limit;
