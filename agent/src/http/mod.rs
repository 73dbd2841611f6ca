//! HTTP messages, whatever protocol version carried them. Each version is a folder beside this file.

pub mod coding;
pub mod h1;
pub mod message;
pub mod percent;
pub mod target;

pub use message::{
    Body, Fields, FieldsBuilder, Framing, RequestHead, ResponseHead, Slice, Version,
};
