//! The record of plaintext that a TLS library read or wrote, and what user space and the BPF
//! programs of the TLS hook share besides.

use crate::MAX_PORTS;

/// `kind`: a range of one direction of a TLS session. A [`PlaintextHeader`] follows the
/// [`crate::EventHeader`], then the bytes. `seq`, `ack` and `expected` are zero.
pub const KIND_PLAINTEXT: u8 = 2;
/// `kind`: nothing more comes of a TLS session. As [`KIND_PLAINTEXT`], without bytes.
pub const KIND_CLOSED: u8 = 3;

/// [`PlaintextHeader::heard`] is known.
pub const FLAG_HEARD: u16 = 1 << 6;

/// The session is one of rustls over aws-lc, read where TLS records are decrypted and encrypted.
pub const FLAG_RUSTLS: u16 = 1 << 10;
/// The range is of the messages of the handshake (RFC 8446 §4) that set up such a session, and
/// [`PlaintextHeader::offset`] counts those of one direction. It is none of the session's data.
pub const FLAG_HANDSHAKE: u16 = 1 << 11;

/// Bytes of a [`PlaintextHeader`].
pub const PLAINTEXT_LEN: usize = core::mem::size_of::<PlaintextHeader>();

/// Most bytes of one record of plaintext: those of a TLS record (RFC 8446 §5.1). A longer write
/// makes several.
pub const MAX_PLAINTEXT: usize = 16 * 1024;

/// Where a range is in its session. Integers in host order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaintextHeader {
    /// Number of the session, never used again while the machine is up.
    pub session: u64,
    /// Offset of the first byte in its direction of the session.
    pub offset: u64,
    /// Bytes read on the session before this was written, or written before this was read, with
    /// [`FLAG_HEARD`].
    pub heard: u64,
}

impl PlaintextHeader {
    /// Parts what follows an event's header into this and the bytes. `None` when it is too short.
    #[must_use]
    pub fn split(rest: &[u8]) -> Option<(Self, &[u8])> {
        let (session, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (heard, rest) = rest.split_first_chunk()?;
        let header = Self {
            session: u64::from_ne_bytes(*session),
            offset: u64::from_ne_bytes(*offset),
            heard: u64::from_ne_bytes(*heard),
        };
        Some((header, rest))
    }
}

/// What the programs of the TLS hook select (one-element array map). The whole of it is zero until
/// the hook is in place.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Zero lets every call pass unseen.
    pub enabled: u32,
    /// Pending ring-buffer bytes at which the reader is woken before its timer.
    pub wakeup_bytes: u32,
    /// The cgroup v2 id that the calling process must be in or below.
    pub cgroup_id: u64,
    /// How deep that cgroup is; zero, the root, means every process.
    pub cgroup_level: u32,
    /// Number of valid entries in `ports`, the others being zero; zero means every port.
    pub port_count: u32,
    /// A session is recorded when the local or the remote port of its socket is one of these.
    pub ports: [u16; MAX_PORTS],
    /// Size of the ring buffer, which cgroups share. Zero: they do not.
    pub ring_bytes: u64,
}

/// What the programs saw of one process, for the guard: do its calls look like those of a TLS
/// library? Value of a table by process id (the kernel's tgid).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsProcess {
    /// Sessions that gave bytes.
    pub sessions: u32,
    /// Of those, sessions whose handshake was seen.
    pub started: u32,
    /// Of those, sessions with a socket that was touched inside a call.
    pub touched: u32,
    /// Calls that gave bytes of a session without such a socket.
    pub untouched_calls: u32,
    /// Directions of sessions that began with what HTTP begins with.
    pub plausible: u32,
    /// Calls whose result contradicts their arguments.
    pub refused: u32,
}

impl TlsProcess {
    /// What two processes did, or one at two times.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(other.sessions),
            started: self.started.saturating_add(other.started),
            touched: self.touched.saturating_add(other.touched),
            untouched_calls: self.untouched_calls.saturating_add(other.untouched_calls),
            plausible: self.plausible.saturating_add(other.plausible),
            refused: self.refused.saturating_add(other.refused),
        }
    }
}

const _: () = {
    // The sums of the fields: there is no padding.
    assert!(PLAINTEXT_LEN == 24);
    assert!(core::mem::size_of::<TlsConfig>() == 8 + 8 + 8 + 2 * MAX_PORTS + 8);
    assert!(core::mem::size_of::<TlsProcess>() == 24);
};

// SAFETY: `repr(C)`, integers only, no padding (asserted above): any bytes are a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for TlsConfig {}
// SAFETY: as above.
#[cfg(feature = "user")]
unsafe impl aya::Pod for TlsProcess {}
