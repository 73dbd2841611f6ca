//! What user space asks of the BPF programs for one socket.

/// `flags`: leave the socket alone for as long as it lives.
pub const COMMAND_IGNORE: u32 = 1;
/// `flags`: copy every byte, whatever the capture window says; a resume offset still skips.
pub const COMMAND_UNLIMITED: u32 = 1 << 1;
/// `flags`: the socket speaks HTTP/2. Every byte is copied but DATA past the budget of its stream.
/// A resume offset says where a frame begins; it skips nothing. `COMMAND_UNLIMITED` is stronger.
pub const COMMAND_FRAMES: u32 = 1 << 2;

/// Value of the command table; its key is the socket cookie. All that was asked so far, not only
/// the last request.
///
/// The programs look a socket up there once for each move of the generation counter, which user
/// space raises after it has written.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCommand {
    /// The key once more. The kernel may hand the memory of a replaced entry to another one at any
    /// time: a program that reads a foreign cookie here reads nothing else.
    pub cookie: u64,
    /// `COMMAND_*`.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// By `DIRECTION_*`.
    pub resume_offset: [ResumeOffset; 2],
}

/// Where the capture window of a direction begins anew.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResumeOffset {
    /// Differs from that of the request before: a request counts once. Zero: nothing was asked
    /// yet.
    pub serial: u32,
    /// TCP sequence number. Payload before it is not needed; the window counts from there. With
    /// [`COMMAND_FRAMES`]: where the header of a frame begins.
    pub seq: u32,
    /// With [`COMMAND_FRAMES`]: length of the last DATA that had no flags; zero if there was none.
    pub usual: u32,
}

const _: () = assert!(core::mem::size_of::<SocketCommand>() == 40);

// SAFETY: `repr(C)`, integers only, no padding (8 + 2 × 4 + 2 × 12 = 40, asserted above): any bytes
// are a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for SocketCommand {}
