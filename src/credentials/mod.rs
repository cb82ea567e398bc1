//! Credentials and the keys that keep them.

pub mod seal;
pub mod vault;
