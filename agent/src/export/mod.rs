//! Delivery of items (spans, HAR entries, log lines) to any number of destinations at a time.
//!
//! ```text
//! item ─► Handles (encode, per thread) ─► Queue (bounded by bytes) ─► OTLP tasks │ writer threads
//! ```
//!
//! Nothing here makes the caller wait. What cannot be delivered is dropped and counted
//! ([`delivery`]).

mod access_log;
mod batch;
mod config;
pub mod delivery;
mod exporters;
mod handle;
mod har;
mod item;
pub mod otlp;
pub mod queue;
mod report;
mod stdout;
mod writer;

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

pub use access_log::{AccessLog, Reopen};
pub use batch::Batch;
pub use config::ExportSection;
pub use exporters::{Exporters, Target};
pub use handle::{Handles, Stopped};
pub use item::ItemKind;
pub use report::{Report, Reports};

use crate::flow::Endpoint;

/// Hears of every socket that the agent opens, before it is connected, so that it is never
/// captured.
pub trait OwnSockets: Send + Sync {
    /// `cookie` is the socket's (SO_COOKIE).
    fn register(&self, cookie: u64);
    /// The socket is connected, from this address: whoever accepts the connection sees it as the
    /// client's.
    fn connected(&self, cookie: u64, local: SocketAddr);
    /// The socket was closed.
    fn forget(&self, cookie: u64);
    /// Every connection that this listener accepts is the agent's own.
    fn listener(&self, listener: BorrowedFd<'_>);
    /// The client's end of a connection is a socket of the agent's own, or was a moment ago.
    fn is_own(&self, client: &Endpoint) -> bool;
}

impl OwnSockets for () {
    fn register(&self, _: u64) {}
    fn connected(&self, _: u64, _: SocketAddr) {}
    fn forget(&self, _: u64) {}
    fn listener(&self, _: BorrowedFd<'_>) {}
    fn is_own(&self, _: &Endpoint) -> bool {
        false
    }
}
