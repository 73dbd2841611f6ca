//! What one cgroup has of the ring buffer.

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
