//! The gRPC interface: what people, programs and other agents may ask.

pub mod messages;
pub mod peers;
pub mod wire;
