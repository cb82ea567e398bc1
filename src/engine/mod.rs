//! The engine.
pub mod budgets;
pub mod catalog;
pub mod enqueue;
pub mod gates;
