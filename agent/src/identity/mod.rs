//! Who is who: the cluster's own certificate authority, the certificates of its nodes, TLS in both
//! directions, and the tokens with which new nodes join.
//!
//! Nothing here stores a file and nothing here decides what a caller may do: the API layer does,
//! by the [`Caller`](acceptor::Caller) of a connection and the roster of the ledger.

pub mod acceptor;
pub mod ca;
pub mod certificate;
pub mod chain;
pub mod connector;
pub mod credentials;
pub mod token;
pub mod trust;
pub mod verify;

#[cfg(test)]
mod tests;
