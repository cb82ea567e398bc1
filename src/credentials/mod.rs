//! Credentials and the keys that keep them.

pub mod cell;
pub mod seal;
pub mod vault;
