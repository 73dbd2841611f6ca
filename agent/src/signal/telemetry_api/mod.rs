//! Istio's Telemetry API: objects that say which metrics, spans and lines of the access log
//! workloads have. Pure.
//!
//! ```text
//! Object (one each, with what cannot be honoured) ─► rules_of (workload) ─► Rules, by side
//! ```

mod apply;
mod compile;
mod merge;
mod object;
mod rules;

#[cfg(test)]
mod tests;

pub use compile::Object;
pub use merge::{Selectors, Workload, rules_of};
pub use rules::{Group, Rules, SideRules, Tag, TagValue};
