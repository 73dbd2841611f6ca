//! What user space sets in the BPF programs, at load and while they run (one-element array map).

/// `side`: record sockets that requests arrive at and sockets that they leave from.
pub const SIDE_BOTH: u32 = 0;
/// `side`: only sockets that requests arrive at.
pub const SIDE_SERVER: u32 = 1;
/// `side`: only sockets that requests leave from.
pub const SIDE_CLIENT: u32 = 2;

/// Ports that can be selected in the kernel; a longer list is filtered in user space.
pub const MAX_PORTS: usize = 16;

/// Smallest `stream_budget`. A stream may be a tunnel, whose bytes are all wanted, and the command
/// that says so takes milliseconds.
pub const MIN_STREAM_BUDGET: u32 = 256 * 1024;

/// The BPF programs' configuration.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureConfig {
    /// Sockets with `sk->mark & mark_mask == ignored_mark` are left alone, whoever set the mark
    /// (CAP_NET_ADMIN, or CAP_NET_RAW since Linux 5.17). A mask of zero, the default, turns
    /// this off.
    pub ignored_mark: u32,
    /// See `ignored_mark`.
    pub mark_mask: u32,
    /// `SIDE_*`.
    pub side: u32,
    /// The capture window: payload bytes copied per direction before the other direction speaks,
    /// or user space asks for more.
    pub budget: u32,
    /// Pending ring-buffer bytes at which the reader is woken before its timer.
    pub wakeup_bytes: u32,
    /// Level of the aya-log diagnostics, 1 (error) to 5 (trace); zero is off. Fixed at load: when
    /// it is zero the kernel's verifier removes the logging code.
    pub log: u32,
    /// Number of valid entries in `ports`, the others being zero; zero means every port.
    pub port_count: u32,
    /// A socket is recorded when its local or its remote port is one of these.
    pub ports: [u16; MAX_PORTS],
    /// Zero lets everything pass unseen. Set once both directions are attached, so that no
    /// connection is seen from one side only.
    pub enabled: u32,
    /// A window that is used up goes on, for 16 MiB, while less than this is pending in the ring
    /// buffer: user space is about to ask for more, and there is room.
    pub overrun_bytes: u32,
    /// Size of the ring buffer, which cgroups share. Zero: they do not.
    pub ring_bytes: u32,
    /// Payload bytes of DATA copied per HTTP/2 stream and direction; what follows is not. No more
    /// than `budget`.
    pub stream_budget: u32,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self {
            ignored_mark: 0,
            mark_mask: 0,
            side: SIDE_BOTH,
            budget: 1024 * 1024,
            wakeup_bytes: crate::DEFAULT_RING_BYTES / 8,
            log: 0,
            port_count: 0,
            ports: [0; MAX_PORTS],
            enabled: 1,
            overrun_bytes: crate::DEFAULT_RING_BYTES / 2,
            ring_bytes: crate::DEFAULT_RING_BYTES,
            stream_budget: MIN_STREAM_BUDGET,
        }
    }
}

const _: () = assert!(core::mem::size_of::<CaptureConfig>() == 76);

// SAFETY: `repr(C)`, integers only, no padding (7 × 4 + 16 × 2 + 4 × 4 = 76, asserted above): any
// bytes are a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for CaptureConfig {}
