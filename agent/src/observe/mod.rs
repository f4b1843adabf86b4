//! Looking at this node: reads only, and never decides.
//!
//! [`node`] puts together what systemd ([`crate::systemd`]), the server ([`server`]) and the
//! evidence unit ([`evidence`]) say.

pub mod evidence;
pub mod node;
pub mod server;
