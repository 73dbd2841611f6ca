//! The maps that both objects have, each for itself. A part of both.

use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, PerCpuArray, RingBuf};
use meshtap_common::{DEFAULT_RING_BYTES, DROP_REASONS, DropReason, MAX_EXCLUDED_CGROUPS};

use crate::asm::add;

/// Records, for user space. The size is set at load.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(DEFAULT_RING_BYTES, 0);

/// Cgroups that are left alone, by id, and what of them; written by user space alone. Not allocated
/// in advance: most nodes have a few.
#[map]
static EXCLUDED_CGROUPS: HashMap<u64, u32> =
    HashMap::with_max_entries(MAX_EXCLUDED_CGROUPS, BPF_F_NO_PREALLOC);

/// Records and bytes not given to user space, by [`DropReason`].
#[map]
static DROPS: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(DROP_REASONS, 0);

/// Is this cgroup to be left alone?
#[inline(always)]
pub(crate) fn is_excluded(cgroup: u64) -> bool {
    excluded(cgroup).is_some()
}

/// What of this cgroup is to be left alone: `EXCLUDED_*`.
#[inline(always)]
pub(crate) fn excluded(cgroup: u64) -> Option<u32> {
    // SAFETY: an element of the map.
    EXCLUDED_CGROUPS
        .get_ptr(cgroup)
        .map(|excluded| unsafe { *excluded })
}

/// Bytes in the ring buffer that user space has not taken.
#[inline(always)]
pub(crate) fn pending() -> u64 {
    EVENTS.query(u64::from(BPF_RB_AVAIL_DATA))
}

/// Counts bytes that user space does not get.
#[inline(always)]
pub(crate) fn count(reason: DropReason, bytes: u32) {
    if let Some(counter) = DROPS.get_ptr_mut(reason as u32) {
        // SAFETY: an element of the map: two counters, 8-byte aligned.
        unsafe {
            add(counter.cast(), 1);
            add(counter.cast::<u64>().add(1), u64::from(bytes));
        }
    }
}
