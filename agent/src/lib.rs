//! shell

pub mod identity;
