//! The gRPC interface: what people, programs and other agents may ask.

pub mod agent_service;
pub mod peer_service;
