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

/// Items that are written one after the other into one buffer.
#[derive(Debug, Default)]
pub(super) struct Buffered {
    /// The items so far.
    pub(super) buffer: Vec<u8>,
    items: u64,
}

impl Buffered {
    /// Has an item added. Where there are `full` bytes already, these are given away first.
    pub(super) fn add(&mut self, full: usize, add: impl FnOnce(&mut Vec<u8>)) -> Option<Batch> {
        let closed = match self.buffer.len() >= full {
            true => self.close(),
            false => None,
        };
        add(&mut self.buffer);
        self.items += 1;
        closed
    }

    /// Gives away what there is.
    pub(super) fn close(&mut self) -> Option<Batch> {
        if self.items == 0 {
            return None;
        }
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        Some(Batch {
            bytes: bytes.len(),
            parts: vec![bytes],
            items: std::mem::take(&mut self.items),
        })
    }
}

impl Measured for Batch {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn items(&self) -> u64 {
        self.items
    }
}
