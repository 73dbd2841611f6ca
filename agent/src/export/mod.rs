//! Delivery of spans, to any number of destinations at a time.
//!
//! ```text
//! Span ─► Sink (encodes, per thread) ─► Queue (bounded by bytes) ─► OTLP tasks │ writer threads
//! ```
//!
//! Nothing here makes the caller wait. What cannot be delivered is dropped and counted ([`delivery`]).

mod batch;
pub mod delivery;
mod exporters;
mod har;
pub mod otlp;
mod outlet;
pub mod queue;
mod stdout;
mod writer;

pub use batch::Batch;
pub use exporters::{Exporters, Report, Reports, Target};
pub use outlet::{Sink, Stopped};

/// Told of every socket that the agent opens, before it is connected, so that it is never captured.
pub trait OwnSockets: Send + Sync {
    /// `cookie` is the socket's (SO_COOKIE).
    fn register(&self, cookie: u64);
    /// The socket was closed.
    fn forget(&self, cookie: u64);
}

impl OwnSockets for () {
    fn register(&self, _: u64) {}
    fn forget(&self, _: u64) {}
}
