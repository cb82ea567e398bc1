//! The store: what every database must do, and what is SQLite's alone.

mod conformance;
mod model;
mod plans;
mod sqlite;
mod support;
