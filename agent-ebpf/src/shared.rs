//! The maps that both objects have, each for itself. A part of both.

use aya_ebpf::bindings::{
    BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_PROD_POS,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, PerCpuArray, RingBuf};
use meshtap_common::{
    DEFAULT_RING_BYTES, DROP_REASONS, DropReason, HEADER_LEN, MAX_EXCLUDED_CGROUPS,
};

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

/// The flag of a submit that adds about `bytes` to a ring where `pending` were: wake the reader
/// when more than `wakeup_bytes` are there, once for each quarter of that which is written.
///
/// A wake-up is an interrupt that a processor sends to itself, which leaves a virtual machine.
/// While the reader is behind, one for each record took a third of two processors. One that a race
/// between writers omits comes with the next quarter, or with the reader's timer.
#[inline(always)]
pub(crate) fn wakeup(pending: u64, wakeup_bytes: u32, bytes: u32) -> u32 {
    if pending <= u64::from(wakeup_bytes) {
        return BPF_RB_NO_WAKEUP;
    }
    let quarter = u64::from(wakeup_bytes / 4);
    // Room for a record is rounded up, by less than half.
    let room = u64::from(bytes + bytes / 2) + 2 * HEADER_LEN as u64;
    let position = EVENTS.query(u64::from(BPF_RB_PROD_POS));
    if quarter == 0 || position / quarter != (position + room) / quarter {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    }
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
