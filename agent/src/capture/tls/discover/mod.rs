//! Which running processes use a TLS library that can be read.
//!
//! ```text
//! /proc/PID/maps ─► executable mappings ─► file, once per inode ─► locate (cached) ─► Change
//! ```
//!
//! A program is a file that is mapped executable: the program itself or a library. What is attached
//! belongs to the file's inode, so there is one target for each, whoever maps it, from the first
//! user to the last. A process that ends while it is looked at is no error.

mod consent;
mod discovery;
mod maps;
mod open;
mod process;
mod target;

pub use consent::{Below, Candidate, Consent, Everyone, Programs, Verdict};
pub use discovery::{Discovery, Totals};
pub use target::{Change, FileKey, Target};

#[cfg(test)]
mod tests;
