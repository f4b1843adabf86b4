//! The wire types of Relight, generated from `relight/v1/*.proto`, and what both ends of the wire
//! have to say in the same way: words, failures, the JSON document of the status.
//!
//! This crate knows nothing of the core: the agent's `wire` is the only place that translates.

pub mod detail;
pub mod document;
pub mod words;

/// Version 1 of the interface.
pub mod v1 {
    #![allow(
        missing_docs,
        clippy::all,
        clippy::allow_attributes_without_reason,
        clippy::too_many_lines,
        clippy::wildcard_enum_match_arm,
        reason = "generated code; the comments of the .proto files are its documentation"
    )]
    tonic::include_proto!("relight.v1");
}
