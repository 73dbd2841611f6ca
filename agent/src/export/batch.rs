//! Encoded items on their way to one destination.

use bytes::Bytes;

use super::queue::Measured;

/// A number of items in the destination's format. Cloning shares the bytes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The bytes, in order.
    pub parts: Vec<Bytes>,
    /// Number of bytes.
    pub bytes: usize,
    /// Number of items.
    pub items: u64,
}

impl Measured for Batch {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn items(&self) -> u64 {
        self.items
    }
}
