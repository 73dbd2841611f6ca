//! Delivery of spans.

mod batch;
pub mod delivery;
pub mod otlp;
pub mod queue;

pub use batch::Batch;

/// Told of every socket that the agent opens, before it is connected, so that it is never captured.
pub trait OwnSockets: Send + Sync {
    /// `cookie` is the socket's (SO_COOKIE).
    fn register(&self, cookie: u64);
}

impl OwnSockets for () {
    fn register(&self, _: u64) {}
}
