//! HTTP messages, whatever protocol version carried them. Each version is a folder beside this
//! file.

mod anomalies;
pub mod coding;
mod field;
mod fingerprint;
pub mod h1;
pub mod h2;
pub mod message;
pub mod pattern;
pub mod percent;
mod reason;
pub mod rpc;
pub mod status;
pub mod target;
pub(crate) mod tunnel;

pub use anomalies::Anomalies;
pub(crate) use message::allocated;
pub use message::{
    Body, Bounds, Fields, FieldsBuilder, Framing, Method, RequestHead, ResponseHead, Slice,
    Unknown, Version,
};
pub use reason::Reason;
