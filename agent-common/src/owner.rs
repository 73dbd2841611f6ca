//! Which process a socket belongs to, as a BPF program saw it connect or close.

/// Value of the owner table; its key is the socket cookie.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Process id (the kernel's tgid), in the initial PID namespace.
    pub pid: u32,
    /// Name of the process's thread (`TASK_COMM_LEN`), zero-padded.
    pub comm: [u8; 16],
}

const _: () = assert!(core::mem::size_of::<Owner>() == 20);

// SAFETY: `repr(C)`, integers only, no padding (asserted above): any bytes are a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Owner {}
