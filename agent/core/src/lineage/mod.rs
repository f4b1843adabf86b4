//! The lineage: which formations there were, and what a node may do in the name of which.

pub mod epoch;
pub mod permit;
