//! The maps, and the few ways in which they are used.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap, PerCpuArray};
use meshtap_common::{TlsConfig, TlsProcess};

use crate::call::Call;
use crate::session::{Key, Session};
pub(crate) use crate::shared::{EVENTS, count, excluded, is_excluded, pending, wakeup};

/// Threads that are inside a call at a time: those of blocking servers wait in one.
const CALLS_MAX: u32 = 16_384;
/// Sessions at a time, as many as the engine keeps connections; the least recently used goes first.
const SESSIONS_MAX: u32 = 65_536;
/// Processes that the guard looks at.
const PROCESSES_MAX: u32 = 4096;

/// The call that a thread is in, by `pid_tgid`.
#[map]
pub(crate) static CALLS: LruHashMap<u64, Call> = LruHashMap::with_max_entries(CALLS_MAX, 0);

#[map]
pub(crate) static SESSIONS: LruHashMap<Key, Session> =
    LruHashMap::with_max_entries(SESSIONS_MAX, 0);

/// Which session a socket carries, by its address.
#[map]
pub(crate) static SOCKETS: LruHashMap<u64, Key> = LruHashMap::with_max_entries(SESSIONS_MAX, 0);

/// By the kernel's tgid.
#[map]
pub(crate) static PROCESSES: LruHashMap<u64, TlsProcess> =
    LruHashMap::with_max_entries(PROCESSES_MAX, 0);

/// Where a context goes to come back as a number: before Linux 5.12 the verifier lets no helper
/// read a pointer from the stack. One element.
#[map]
static ADDRESS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The configuration: one element.
#[map]
static CONFIG: Array<TlsConfig> = Array::with_max_entries(1, 0);

#[inline(always)]
pub(crate) fn config() -> Option<&'static TlsConfig> {
    CONFIG.get(0)
}

/// Where a context is in the kernel's memory.
#[inline(always)]
pub(crate) fn address<T>(context: *const T) -> u64 {
    let Some(place) = ADDRESS.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: an element of the map, of this processor; a program of a socket's release is not
    // interrupted by another one.
    unsafe {
        place.cast::<*const T>().write_volatile(context);
        place.read_volatile()
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
