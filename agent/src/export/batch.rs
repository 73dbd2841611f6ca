//! Encoded spans on their way to one destination.

use bytes::Bytes;

use super::queue::Weigh;

/// A number of spans in the destination's format. Cloning shares the bytes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The bytes, in order.
    pub parts: Vec<Bytes>,
    /// Number of bytes.
    pub bytes: usize,
    /// Number of spans.
    pub spans: u64,
}

impl Weigh for Batch {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn spans(&self) -> u64 {
        self.spans
    }
}
