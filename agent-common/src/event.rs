//! The record that the BPF programs write into the ring buffer.

/// `kind`: a range of a TCP stream.
pub const KIND_SEGMENT: u8 = 1;

/// `kind`: the application has closed the socket, and reads nothing more of it. What it has written
/// is still sent. Nothing but the time and the cookie is set. (The kinds between are plaintext's.)
pub const KIND_RELEASED: u8 = 4;

/// `direction`: the socket received these bytes.
pub const DIRECTION_INGRESS: u8 = 0;
/// `direction`: the socket sent these bytes.
pub const DIRECTION_EGRESS: u8 = 1;

/// The segment carries FIN: `seq + wire_len` ends this direction.
pub const FLAG_FIN: u16 = 1;
/// The segment carries RST: the connection is gone.
pub const FLAG_RST: u16 = 1 << 1;
/// The socket is still the listener (TCP_DEFER_ACCEPT, TCP Fast Open, a lost last ACK): `cookie`
/// and `cgroup_id` are the listener's, and the segment belongs to the connection with the same
/// addresses and ports.
pub const FLAG_LISTENER: u16 = 1 << 3;
/// `expected` is the first byte of this direction of the connection: nothing came before it.
pub const FLAG_START: u16 = 1 << 4;
/// Payload of this record, or bytes before it, were not copied on purpose: past the capture window.
pub const FLAG_SKIPPED: u16 = 1 << 5;

/// [`EventHeader::urgent`] is set. (The bit after it is one of plaintext's.)
pub const FLAG_URGENT: u16 = 1 << 7;

const _: () = assert!(KIND_RELEASED > crate::KIND_CLOSED);

// Each flag has a bit of its own, those of other records included.
const _: () = {
    let flags = [
        FLAG_FIN,
        FLAG_RST,
        FLAG_LISTENER,
        FLAG_START,
        FLAG_SKIPPED,
        FLAG_URGENT,
        crate::FLAG_HEARD,
        crate::FLAG_RUSTLS,
        crate::FLAG_HANDSHAKE,
        crate::FLAG_OUTLINE,
        crate::FLAG_GUESS,
        crate::FLAG_FRAME,
    ];
    let (mut seen, mut at) = (0, 0);
    while at < flags.len() {
        assert!(seen & flags[at] == 0);
        seen |= flags[at];
        at += 1;
    }
};

/// Bytes of an [`EventHeader`].
pub const HEADER_LEN: usize = core::mem::size_of::<EventHeader>();

/// Head of every record. Integers are in host order; addresses are IPv6, or IPv4 mapped into it
/// (`::ffff:a.b.c.d`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventHeader {
    /// `bpf_ktime_get_ns()`: nanoseconds of CLOCK_MONOTONIC.
    pub time_ns: u64,
    /// `bpf_get_socket_cookie()` of the socket; never reused while the machine is up.
    pub cookie: u64,
    /// `bpf_skb_cgroup_id()`: cgroup v2 id of the socket.
    pub cgroup_id: u64,
    /// TCP sequence number of the first payload byte this record stands for; a SYN before it has
    /// been counted.
    pub seq: u32,
    /// TCP acknowledgement number of the segment: what its sender had received of the other
    /// direction.
    pub ack: u32,
    /// The socket's own position in this direction before the segment: `rcv_nxt` on ingress (a
    /// lower bound of what has been received in order), `snd_nxt` on egress. Payload before it
    /// is a retransmission.
    pub expected: u32,
    /// Payload bytes this record stands for on the wire.
    pub wire_len: u32,
    /// Payload bytes that follow this header; less than `wire_len` when the rest was not copied.
    pub captured_len: u32,
    /// `KIND_*`.
    pub kind: u8,
    /// `DIRECTION_*`, as seen by the socket.
    pub direction: u8,
    /// `FLAG_*`.
    pub flags: u16,
    /// The socket's own port.
    pub local_port: u16,
    /// The other end's port.
    pub remote_port: u16,
    /// Sequence number of the urgent byte that the segment's pointer names (RFC 6093), with
    /// `FLAG_URGENT`; with `FLAG_GUESS`, where a frame may begin; else zero.
    pub urgent: u32,
    /// The socket's own address.
    pub local_addr: [u8; 16],
    /// The other end's address.
    pub remote_addr: [u8; 16],
}

impl EventHeader {
    /// Parts a record into its header and what follows it. `None` when it is too short.
    #[must_use]
    pub fn split(record: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = record.split_first_chunk::<HEADER_LEN>()?;
        // SAFETY: `repr(C)`, integers only, no padding (asserted below): any bytes are a value.
        let header = unsafe { head.as_ptr().cast::<Self>().read_unaligned() };
        Some((header, rest))
    }

    /// The header's bytes, as in the ring buffer.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; HEADER_LEN] {
        // SAFETY: as above, no padding: every byte is initialised.
        unsafe { core::mem::transmute(*self) }
    }
}

const _: () = {
    // The sum of the fields: there is no padding.
    assert!(HEADER_LEN == 3 * 8 + 5 * 4 + 2 + 3 * 2 + 4 + 2 * 16);
    assert!(HEADER_LEN == 88);
    assert!(core::mem::align_of::<EventHeader>() == 8);
    assert!(core::mem::offset_of!(EventHeader, seq) == 24);
    assert!(core::mem::offset_of!(EventHeader, kind) == 44);
    assert!(core::mem::offset_of!(EventHeader, local_addr) == 56);
};
