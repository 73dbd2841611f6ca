//! What a connection speaks: bytes and gaps of its two directions in, exchanges out.

mod context;
pub(crate) mod detect;
pub(crate) mod h1;
mod proxy_protocol;
mod quiescent;
mod websocket;

pub(crate) use context::{Context, Half, Identity};
pub use context::{Limits, Output, Stats};
