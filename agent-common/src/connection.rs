//! What a BPF program says of a TCP connection's beginning and end.

/// `kind`: the connection is established.
pub const CONNECTION_OPENED: u8 = 0;
/// `kind`: it is closed.
pub const CONNECTION_CLOSED: u8 = 1;

/// Size of the ring buffer of these: a hundred milliseconds of 60 000 connections a second.
pub const CONNECTION_RING_BYTES: u32 = 1024 * 1024;

/// A record of the ring buffer of connections. Addresses as in [`crate::EventHeader`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// CLOCK_MONOTONIC.
    pub time_ns: u64,
    /// The socket.
    pub cookie: u64,
    /// Payload bytes that the socket sent and that were acknowledged; when closed.
    pub sent: u64,
    /// Payload bytes that it received in order; when closed.
    pub received: u64,
    /// Address of the socket's own end.
    pub local_addr: [u8; 16],
    /// Address of the other end.
    pub remote_addr: [u8; 16],
    /// Port, in host order.
    pub local_port: u16,
    /// Port of the other end, in host order.
    pub remote_port: u16,
    /// `CONNECTION_*`
    pub kind: u8,
    /// Non-zero when the socket accepted the connection, zero when it made it.
    pub accepted: u8,
    /// Zero.
    pub reserved: u16,
}

const _: () = assert!(core::mem::size_of::<ConnectionRecord>() == 72);

impl ConnectionRecord {
    /// From a record's bytes.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 72] = bytes.first_chunk()?;
        // SAFETY: `repr(C)`, integers only, no padding (the sizes of the fields add up to 72): any
        // bytes are a value. The source need not be aligned.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}
