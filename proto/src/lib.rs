//! The wire types of Relight, generated from `relight/v1/*.proto`.
//!
//! This crate knows nothing of the core: `relight::wire` is the only place that translates.

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
