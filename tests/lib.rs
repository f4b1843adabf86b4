//! Everything that tests Relight from outside: the lab, the simulation, the model check.
//!
//! Nothing else may depend on this package.

pub mod lab;
