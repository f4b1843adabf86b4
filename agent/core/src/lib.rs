//! The deciding part of Relight: what happened, and what follows.
//!
//! Pure: no clock, no socket, no file, no task. Everything that the outside knows enters as a
//! value, everything that should be done leaves as one. Read in this order:
//!
//! 1. [`ids`], [`position`], [`moment`]: the words.
//! 2. [`files`]: text that a crash can leave behind, read into values.
//! 3. [`evidence`]: what one agent saw, and what all of them reported.
//! 4. [`lineage`]: epochs, freezes and permits.
//! 5. [`ledger`]: the replicated register and the document that it holds.
//! 6. [`recovery`]: the deciding line.
//! 7. [`certificate`]: when one is renewed, and when people are warned.
//! 8. [`clients`]: where clients may go; [`diagnosis`]: what people and programs are told.
//! 9. [`round`]: what one agent does about it all, round by round; who coordinates.

pub mod certificate;
pub mod clients;
pub mod diagnosis;
pub mod evidence;
pub mod files;
pub mod ids;
pub mod ledger;
pub mod lineage;
pub mod moment;
pub mod position;
pub mod recovery;
pub mod round;
