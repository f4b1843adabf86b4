//! The lineage: which formations there were, what a node may do in the name of which, and what may
//! be done to its data for that.

pub mod epoch;
pub mod order;
pub mod permit;
