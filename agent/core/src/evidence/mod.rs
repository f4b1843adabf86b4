//! What agents saw: the raw record of one node, and what follows from it.

pub mod record;
