//! What an exchange becomes: metrics of all that are in scope, and spans of those that are sampled
//! and sanitized. Pure: an exporter reads a signal and writes its own format.

pub mod access_log;
pub mod expression;
pub mod metrics;
pub mod route;
pub mod span;
pub mod telemetry_api;
