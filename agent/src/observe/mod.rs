//! Looking at this node: reads only, and never decides.
//!
//! [`node`] puts together what systemd ([`crate::systemd`]), the server ([`server`]), the evidence
//! unit ([`evidence`]), the kernel's list of sockets ([`listening`]) and its account of the
//! processor ([`processor_time`]) say; [`glance`] spares peers a new look at rest. What a look means
//! beside the ones before it is judged in `relight_core::evidence::memory`.

pub mod evidence;
pub mod glance;
pub mod listening;
pub mod node;
pub mod processor_time;
pub mod server;
