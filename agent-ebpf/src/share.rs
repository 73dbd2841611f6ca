//! Who may have how much of the ring buffer while it is short.
//!
//! A cgroup may write while what it has of the ring is less than [`SHARE_FACTOR`] times what is
//! free (dynamic thresholds, Choudhury and Hahne 1998). One that floods alone has eight ninths of
//! the ring and the others find the last ninth free; two have eight seventeenths each. Nothing is
//! reserved for those who are silent, and nobody is counted while a quarter of the ring is enough
//! for all.

use aya_ebpf::bindings::BPF_RB_CONS_POS;
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use meshtap_common::{HEADER_LEN, RingShare, SHARE_FACTOR};

use crate::asm::add;
use crate::maps::EVENTS;

/// Cgroups that write while the ring is short. One that falls out starts at zero.
const CGROUPS: u32 = 1024;

/// By cgroup id.
#[map]
static RING_SHARES: LruHashMap<u64, RingShare> = LruHashMap::with_max_entries(CGROUPS, 0);

/// May this cgroup write so many bytes? `pending` of the `ring` bytes are in use.
///
/// What a cgroup has of the ring is about what it wrote lately: the figure is halved each time that
/// the reader has passed another quarter of the ring.
#[inline(always)]
pub(crate) fn admits(cgroup: u64, bytes: u32, pending: u64, ring: u32) -> bool {
    let ring = u64::from(ring);
    let quarter = ring / 4;
    if quarter == 0 || pending < quarter {
        return true;
    }
    let lap = EVENTS.query(u64::from(BPF_RB_CONS_POS)) / quarter;
    let payload = u64::from(bytes);
    let bytes = payload + HEADER_LEN as u64;
    let Some(share) = RING_SHARES.get_ptr_mut(cgroup) else {
        let share = RingShare {
            lap,
            bytes,
            dropped_bytes: 0,
        };
        // Without an entry it is not limited.
        let _full = RING_SHARES.insert(cgroup, share, 0);
        return true;
    };
    let free = ring.saturating_sub(pending);
    // SAFETY: a map value, 8-byte aligned, which the kernel keeps readable while the program runs.
    // Another CPU may write it at the same time: a share is then a packet too large or too small.
    unsafe {
        let passed = lap.wrapping_sub((*share).lap);
        let has = (*share).bytes >> if passed < 63 { passed } else { 63 };
        if passed != 0 {
            (*share).lap = lap;
            (*share).bytes = has;
        }
        if has + bytes > SHARE_FACTOR as u64 * free {
            add(&raw mut (*share).dropped_bytes, payload);
            return false;
        }
        add(&raw mut (*share).bytes, bytes);
    }
    true
}
