//! HTTP/2 (RFC 9113), as one who listens reads it: frames, header compression, the life of a
//! stream. Pure, and without buffers of message size: DATA is handed on in the chunks in which it
//! comes.

mod body;
pub mod frame;
mod head;
pub mod hpack;
pub mod stream;
mod violation;

pub use body::BodyReader;
pub use head::HeadBuilder;
pub use violation::Violation;
