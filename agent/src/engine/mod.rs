//! The engine: events of many connections in, exchanges out. Pure: time comes in as an argument.
//!
//! ```text
//! Event ─► connection ─► transport (order, gaps) ─► session (messages, pairs) ─► Output
//! ```

#[cfg(feature = "agent")]
mod config;
mod connection;
#[expect(clippy::module_inception, reason = "the engine of the engine")]
mod engine;
mod fairness;
mod folding;
mod joins;
mod streams;
mod table;

pub use crate::session::{Limits, Output, Stats};
#[cfg(feature = "agent")]
pub use config::{LimitsSection, is_body_size};
pub use engine::Engine;

#[cfg(test)]
pub(crate) mod tests;
