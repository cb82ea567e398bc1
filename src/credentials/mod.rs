//! Credentials and the keys that keep them.

pub mod all;
pub mod cell;
pub mod changes;
pub mod guard;
mod keyring;
pub mod seal;
pub mod sink;
pub mod vault;
pub mod view;
