//! What one cgroup may have, and has, of a buffer that is short.

/// Of the ring buffer, and of the agent's queue behind it, a cgroup may have so many times what is
/// free: one that is alone has eight ninths of it, and the others always find some room.
pub const SHARE_FACTOR: usize = 8;

/// The value of a map of the BPF programs: what a cgroup wrote while the ring buffer was short, and
/// what it was refused.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingShare {
    /// Quarters of the ring that the reader had passed when `bytes` was right.
    pub lap: u64,
    /// Bytes of records written lately, without the rounding to a bucket.
    pub bytes: u64,
    /// Payload bytes refused.
    pub dropped_bytes: u64,
}

// SAFETY: `repr(C)`, three integers of one size, no padding: any bytes are a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for RingShare {}
