//! The one state of a socket that user space writes itself: its own listeners'.

/// Bytes of a socket's state in the BPF programs.
pub const FLOW_LEN: usize = 88;
/// Where the state is in it: one byte.
pub const FLOW_STATE_OFFSET: usize = 8;
/// The state of a socket that is left alone as long as it lives.
pub const FLOW_STATE_IGNORED: u8 = 6;

/// What user space puts into the socket-local storage of a listener of its own. The kernel copies
/// it to every socket that the listener accepts (`BPF_F_CLONE`), before that gets its first packet.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IgnoredFlow([u8; FLOW_LEN]);

impl IgnoredFlow {
    /// The only value.
    pub const VALUE: Self = {
        let mut bytes = [0; FLOW_LEN];
        bytes[FLOW_STATE_OFFSET] = FLOW_STATE_IGNORED;
        Self(bytes)
    };
}

const _: () = assert!(core::mem::size_of::<IgnoredFlow>() == FLOW_LEN);

// SAFETY: bytes, without padding (asserted above): any bytes are a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for IgnoredFlow {}
