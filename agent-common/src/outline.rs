//! The record of a packet whose payload is frames of HTTP/2 that are not copied, but for their
//! headers.

/// `flags` of a record of [`crate::KIND_SEGMENT`]: what follows the header is [`FrameMark`]s, as
/// many as `captured_len` has room for. All other payload of the packet was not copied on purpose.
pub const FLAG_OUTLINE: u16 = 1 << 8;

/// `flags` of a record of [`crate::KIND_SEGMENT`]: [`crate::EventHeader::urgent`] is where a frame
/// of HTTP/2 may begin. User space is asked whether one does; all is copied until it says so.
pub const FLAG_GUESS: u16 = 1 << 9;

/// `flags` of a record that user space made of an outline: what was not copied is a part of one
/// DATA frame of HTTP/2. The payload is the header of that frame, of which no more is copied; or
/// there is none: then [`crate::EventHeader::urgent`] is where what is not copied ends.
pub const FLAG_FRAME: u16 = 1 << 12;

/// Frames that begin in a packet of such a record, at most. 64 KiB have eight of the 8 KiB that
/// nginx sends; what has more is copied.
pub const MAX_MARKS: usize = 16;

/// Bytes of a [`FrameMark`].
pub const MARK_LEN: usize = core::mem::size_of::<FrameMark>();

/// The header of a frame (RFC 9113 §4.1), and where it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameMark {
    /// Payload bytes before it.
    pub at: u32,
    /// As it was sent.
    pub header: [u8; 9],
    /// Zero.
    pub reserved: [u8; 3],
}

impl FrameMark {
    /// The next one of a record's, and what follows it.
    #[must_use]
    pub fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (mark, rest) = bytes.split_first_chunk::<MARK_LEN>()?;
        // SAFETY: `repr(C)`, integers only, no padding (asserted below): any bytes are a value.
        let mark = unsafe { mark.as_ptr().cast::<Self>().read_unaligned() };
        Some((mark, rest))
    }

    /// Its bytes, as in a record.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; MARK_LEN] {
        // SAFETY: as above, no padding: every byte is initialised.
        unsafe { core::mem::transmute(*self) }
    }
}

const _: () = assert!(MARK_LEN == 4 + 9 + 3);
