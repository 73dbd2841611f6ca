//! The maps, and the few ways in which they are used.

use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use meshtap_common::{
    DEFAULT_RING_BYTES, DROP_REASONS, DropReason, MAX_EXCLUDED_CGROUPS, TlsConfig, TlsProcess,
};

use crate::asm::add;
use crate::call::Call;
use crate::session::{Key, Session};

/// Threads that are inside a call at a time: those of blocking servers wait in one.
const CALLS_MAX: u32 = 16_384;
/// Sessions at a time, as many as the engine keeps connections; the least recently used goes first.
const SESSIONS_MAX: u32 = 65_536;
/// Processes that the guard looks at.
const PROCESSES_MAX: u32 = 4096;

/// Records, for user space. The size is set at load.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(DEFAULT_RING_BYTES, 0);

/// The call that a thread is in, by `pid_tgid`.
#[map]
pub(crate) static CALLS: LruHashMap<u64, Call> = LruHashMap::with_max_entries(CALLS_MAX, 0);

#[map]
pub(crate) static SESSIONS: LruHashMap<Key, Session> =
    LruHashMap::with_max_entries(SESSIONS_MAX, 0);

/// Which session a socket carries, by its cookie.
#[map]
pub(crate) static SOCKETS: LruHashMap<u64, Key> = LruHashMap::with_max_entries(SESSIONS_MAX, 0);

/// By the kernel's tgid.
#[map]
pub(crate) static PROCESSES: LruHashMap<u64, TlsProcess> =
    LruHashMap::with_max_entries(PROCESSES_MAX, 0);

/// Cgroups whose processes are left alone, by id; written by user space alone. The value is not
/// used.
#[map]
static EXCLUDED_CGROUPS: HashMap<u64, u32> =
    HashMap::with_max_entries(MAX_EXCLUDED_CGROUPS, BPF_F_NO_PREALLOC);

/// The configuration: one element.
#[map]
static CONFIG: Array<TlsConfig> = Array::with_max_entries(1, 0);

/// Ranges and bytes not given to user space, by [`DropReason`].
#[map]
static DROPS: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(DROP_REASONS, 0);

#[inline(always)]
pub(crate) fn config() -> Option<&'static TlsConfig> {
    CONFIG.get(0)
}

/// Are the processes of this cgroup to be left alone?
#[inline(always)]
pub(crate) fn is_excluded(cgroup: u64) -> bool {
    EXCLUDED_CGROUPS.get_ptr(cgroup).is_some()
}

/// Bytes in the ring buffer that user space has not taken.
#[inline(always)]
pub(crate) fn pending() -> u64 {
    EVENTS.query(u64::from(BPF_RB_AVAIL_DATA))
}

/// Counts plaintext that user space does not get.
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

/// Changes what is known of a process. Two threads that do so at once may lose a count, which a
/// guard that looks for zero does not mind.
#[inline(always)]
pub(crate) fn note(tgid: u64, change: impl FnOnce(&mut TlsProcess)) {
    let process = match PROCESSES.get_ptr_mut(tgid) {
        Some(process) => process,
        None => {
            let _full = PROCESSES.insert(tgid, TlsProcess::default(), 0);
            let Some(process) = PROCESSES.get_ptr_mut(tgid) else {
                return;
            };
            process
        }
    };
    // SAFETY: an element of the map.
    change(unsafe { &mut *process });
}
