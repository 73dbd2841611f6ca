//! Bytes that were captured once, through the engine and what follows it, compared with what
//! somebody else made of them.

mod conformance;
mod forged;
mod oracle;
