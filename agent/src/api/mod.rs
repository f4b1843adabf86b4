//! The gRPC interface: what people, programs and other agents may ask.

pub mod adoption_mark;
pub mod agent_service;
pub mod application;
pub mod found;
pub mod founding_ground;
pub mod give_up;
pub mod join;
pub mod leave;
pub mod peer_service;
pub mod preflight;
pub mod progress;
