//! How a node becomes a member of a cluster, and how it ceases to be one.
//!
//! Each is one piece of work of a person, told line by line, that goes on where it was interrupted.

pub mod admit;
pub mod adoption_mark;
pub mod application;
pub mod found;
pub mod give_up;
pub mod ground;
pub mod join;
pub mod leave;
pub mod listening;
pub mod preflight;
pub mod progress;
pub mod reach;
pub mod unattended;
