//! The diagnosis: what people and programs are told of the cluster, typed.
//!
//! [`state::diagnose`] turns the judgement that the coordinator obeys into a state, a reason, what
//! was found, who is waited for and what a person can do next. Whoever shows it only words it.
//!
//! | file | knows |
//! | --- | --- |
//! | [`view`] | what a member sees |
//! | [`reason`] | the closed list of reasons |
//! | [`absence`] | why one data node does not serve while others do |
//! | [`finding`] | what there is to say, and the next step |
//! | [`rules`] | which questions of a formation were asked |
//! | [`state`] | the five states, and which one follows |

pub mod absence;
pub mod finding;
pub mod reason;
pub mod rules;
pub mod state;
pub mod view;
