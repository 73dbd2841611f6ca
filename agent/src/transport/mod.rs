//! From what a hook saw to ordered bytes with offsets. The only place that knows numbers of the wire.

pub mod tcp;
