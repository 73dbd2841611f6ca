//! What the kernel side keeps of a socket, and what user space tells it.

/// `verdict`: not classified yet.
pub const VERDICT_UNKNOWN: u8 = 0;
/// `verdict`: speaks HTTP as far as its first bytes tell; copied.
pub const VERDICT_HTTP: u8 = 1;
/// `verdict`: never copied again. One map lookup per packet is all it costs.
pub const VERDICT_IGNORE: u8 = 2;

/// `role`: which end of a request the socket is has not been seen.
pub const ROLE_UNKNOWN: u8 = 0;
/// `role`: requests arrive at this socket.
pub const ROLE_SERVER: u8 = 1;
/// `role`: requests leave from this socket.
pub const ROLE_CLIENT: u8 = 2;

/// Value of the flow table; its key is the socket cookie.
///
/// A half is written by its own direction, but for `turned`, which the other direction sets; `verdict` goes from unknown to one
/// of the others once, and user space may set it to ignore. So ingress and egress on two CPUs at most lose a turn to each other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowState {
    /// `VERDICT_*`.
    pub verdict: u8,
    /// `ROLE_*`.
    pub role: u8,
    /// Direction of the last payload, plus one; 0 before any.
    pub last_direction: u8,
    /// Changes of direction seen while not classified.
    pub turns: u8,
    /// Zero.
    pub reserved: u32,
    /// What the socket received.
    pub ingress: HalfState,
    /// What the socket sent.
    pub egress: HalfState,
}

/// One direction of a [`FlowState`]: the body budget.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfState {
    /// Sequence number from which the budget counts. Payload is copied while `seq - base` (modulo 2^32) is below the
    /// budget. A base ahead of the stream skips up to it.
    pub base: u32,
    /// Egress: the sequence number after the last byte that was told. Payload before it is a retransmission.
    pub next: u32,
    /// Bytes not copied since the last record of this direction.
    pub skipped: u32,
    /// Non-zero when the other direction spoke since: the next payload starts a new budget.
    pub turned: u8,
    /// Non-zero once `base` and `next` are set.
    pub started: u8,
    /// Zero.
    pub reserved: u16,
}

/// Key of the resume table, which user space writes and the kernel reads only when a budget is spent. Its value is a
/// sequence number (`u32`): the budget counts from there; payload before it is not needed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResumeKey {
    /// Socket cookie.
    pub cookie: u64,
    /// `DIRECTION_*`.
    pub direction: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = {
    assert!(core::mem::size_of::<FlowState>() == 40);
    assert!(core::mem::size_of::<ResumeKey>() == 16);
};

// SAFETY: `repr(C)`, integers only, no padding (sizes asserted above): any bytes are a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for FlowState {}
// SAFETY: as above.
#[cfg(feature = "user")]
unsafe impl aya::Pod for ResumeKey {}
