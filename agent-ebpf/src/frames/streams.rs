//! How much of each stream was copied.

use meshtap_common::CaptureConfig;

use crate::asm;

/// Streams whose bytes are counted at a time, per direction.
const STREAMS: usize = 8;

const _: () = assert!(STREAMS.is_power_of_two());

#[repr(C)]
pub(super) struct Streams([Stream; STREAMS]);

/// The DATA of a stream.
#[repr(C)]
struct Stream {
    id: u32,
    /// Bytes copied, at most the budget.
    bytes: u32,
}

impl Streams {
    /// Has the stream had its budget? Counts `length` bytes more if not, those bits of it that are
    /// set in `counted`.
    ///
    /// A stream that is counted loses what others in its place have, so that one of many small ones
    /// does not push out a large one, and one that is over goes (Misra and Gries).
    #[inline(always)]
    pub(super) fn is_spent(&mut self, id: u32, (length, counted): (u32, u32), budget: u32) -> bool {
        let index = asm::opaque(id >> 1) as usize & (STREAMS - 1);
        // SAFETY: `index` is less than the number of streams.
        let stream = unsafe { &mut *self.0.as_mut_ptr().add(index) };
        if stream.id == id {
            if stream.bytes >= budget {
                return true;
            }
            let bytes = stream.bytes.wrapping_add(length & counted);
            stream.bytes = if bytes < budget { bytes } else { budget };
        } else if stream.bytes > length {
            stream.bytes -= length;
        } else {
            stream.id = id;
            let bytes = length & counted;
            stream.bytes = if bytes < budget { bytes } else { budget };
        }
        false
    }
}

/// Bytes of DATA copied per stream.
#[inline(always)]
pub(crate) fn budget(config: &CaptureConfig) -> u32 {
    if config.stream_budget < config.budget {
        config.stream_budget
    } else {
        config.budget
    }
}
