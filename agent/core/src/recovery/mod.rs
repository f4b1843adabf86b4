//! The deciding line: from a survey to a verdict, and from a verdict to each node's next acts.
//!
//! [`judge::judge`] names what happened and what follows; the coordinator obeys it and `status`
//! and `explain` print it. [`plan::node_plan`] says what one node does about a document.

pub mod accountable;
pub mod admission;
pub mod alone;
pub mod deadline;
pub mod form;
pub mod hold;
pub mod judge;
pub mod kill;
pub mod plan;
pub mod successor;
pub mod turn;
