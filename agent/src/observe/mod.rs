//! Looking at this node: reads only, and never decides.
//!
//! [`node`] puts together what systemd ([`crate::systemd`]), the server ([`crate::server`]), the
//! evidence unit ([`evidence`]) and the kernel's list of sockets ([`listening`]) say; [`clients`]
//! reads what the server says of its clients, [`ending`] tells whether a stop hangs, and
//! [`glance`] spares peers a new look at rest. [`addresses`] are those of the machine.

pub mod addresses;
pub mod clients;
pub mod ending;
pub mod evidence;
pub mod glance;
pub mod listening;
pub mod node;
