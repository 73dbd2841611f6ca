//! The maps, and the few ways in which they are used.

use core::mem::offset_of;

use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use meshtap_common::{
    CaptureConfig, DEFAULT_FLOWS, DEFAULT_RING_BYTES, DROP_REASONS, DropReason, EventHeader,
    FlowState, HalfState, MAX_EXCLUDED_CGROUPS, ResumeKey,
};

/// Connections whose first segment arrived on the listener and that have no flow yet. They get one within a round trip, so this is
/// room for a burst of accepts.
const ACCEPTED: u32 = 8192;

/// Records, for user space. The size is set at load.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(DEFAULT_RING_BYTES, 0);

/// What is known of a socket, by cookie. User space writes `VERDICT_IGNORE` here.
#[map]
static FLOWS: LruHashMap<u64, FlowState> = LruHashMap::with_max_entries(DEFAULT_FLOWS, 0);

/// Written by user space, read when a body budget is spent.
#[map]
static RESUME: LruHashMap<ResumeKey, u32> = LruHashMap::with_max_entries(DEFAULT_FLOWS, 0);

/// See [`ACCEPTED`]. The value is not used.
#[map]
static LISTENER_FLOWS: LruHashMap<Ends, u32> = LruHashMap::with_max_entries(ACCEPTED, 0);

/// Cgroups whose sockets are left alone, by id; written by user space alone. The value is not used. Not allocated in advance: most nodes
/// have a few.
#[map]
static EXCLUDED_CGROUPS: HashMap<u64, u32> =
    HashMap::with_max_entries(MAX_EXCLUDED_CGROUPS, BPF_F_NO_PREALLOC);

/// The configuration: one element.
#[map]
static CONFIG: Array<CaptureConfig> = Array::with_max_entries(1, 0);

/// Segments and bytes not given to user space, by [`DropReason`].
#[map]
static DROPS: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(DROP_REASONS, 0);

/// Nothing known. Read-only data: on the stack it would be zeroed in a loop, byte by byte.
static NEW_FLOW: FlowState = FlowState {
    verdict: 0,
    role: 0,
    last_direction: 0,
    turns: 0,
    reserved: 0,
    ingress: NEW_HALF,
    egress: NEW_HALF,
};

const NEW_HALF: HalfState = HalfState {
    base: 0,
    next: 0,
    skipped: 0,
    turned: 0,
    started: 0,
    reserved: 0,
};

/// The two ends of a connection, as the socket sees them. Ports in host order, IPv4 mapped into IPv6.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) local_addr: [u32; 4],
    pub(crate) remote_addr: [u32; 4],
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

// No padding: the verifier of kernel 5.10 refuses a map key with bytes that were never written.
const _: () = assert!(size_of::<Ends>() == 36);

impl Ends {
    /// Word by word: byte by byte, as the header's type has them, is what the compiler would make of it.
    #[inline(always)]
    pub(crate) fn write_addresses(&self, header: &mut EventHeader) {
        const ALIGNED: bool = offset_of!(EventHeader, local_addr).is_multiple_of(4)
            && offset_of!(EventHeader, remote_addr).is_multiple_of(4);
        const { assert!(ALIGNED) };
        // SAFETY: 16 bytes each, aligned to 4 (asserted above; the header itself is aligned to 8).
        unsafe {
            header
                .local_addr
                .as_mut_ptr()
                .cast::<[u32; 4]>()
                .write(self.local_addr);
            header
                .remote_addr
                .as_mut_ptr()
                .cast::<[u32; 4]>()
                .write(self.remote_addr);
        }
    }
}

#[inline(always)]
pub(crate) fn config() -> Option<&'static CaptureConfig> {
    CONFIG.get(0)
}

/// The flow of a socket. The kernel may hand the entry to another socket when the table is full (least recently used first); then the
/// two disturb each other's budget for one segment, and no more than that.
#[inline(always)]
pub(crate) fn flow(cookie: u64) -> Option<*mut FlowState> {
    FLOWS.get_ptr_mut(cookie)
}

/// Gives a socket a flow. What user space wrote meanwhile stays.
#[inline(always)]
pub(crate) fn new_flow(cookie: u64) -> Option<*mut FlowState> {
    let new: &FlowState = &NEW_FLOW;
    let _exists = FLOWS.insert(cookie, new, u64::from(BPF_NOEXIST));
    FLOWS.get_ptr_mut(cookie)
}

/// Are the sockets of this cgroup to be left alone? Asked once per connection.
#[inline(always)]
pub(crate) fn is_excluded(cgroup: u64) -> bool {
    EXCLUDED_CGROUPS.get_ptr(cgroup).is_some()
}

/// What user space asked for: the sequence number from which the budget of this direction counts.
#[inline(always)]
pub(crate) fn resume(cookie: u64, direction: u8) -> Option<u32> {
    let key = ResumeKey {
        cookie,
        direction: u32::from(direction),
        reserved: 0,
    };
    // SAFETY: a u32 is read in one load; an entry that was recycled meanwhile gives another socket's number, which only moves a budget.
    unsafe { RESUME.get(key).copied() }
}

/// Remembers that a connection's first segment was told while its socket was the listener.
#[inline(always)]
pub(crate) fn note_listener_flow(ends: &Ends) {
    let _full = LISTENER_FLOWS.insert(ends, 1u32, 0);
}

/// Was the first segment of this connection told while its socket was the listener?
#[inline(always)]
pub(crate) fn take_listener_flow(ends: &Ends) -> bool {
    let noted = LISTENER_FLOWS.get_ptr(ends).is_some();
    if noted {
        let _gone = LISTENER_FLOWS.remove(ends);
    }
    noted
}

/// Counts payload that user space does not get.
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

/// Adds atomically: a program run can be preempted by another one on the same CPU. `core` offers no read-modify-write for this target, so
/// this is BPF_XADD, which every kernel has.
///
/// # Safety
/// `counter` is valid and aligned.
#[inline(always)]
unsafe fn add(counter: *mut u64, value: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!("lock *(u64 *)({counter} + 0) += {value}", counter = in(reg) counter, value = in(reg) value);
    }
    // Never run: the host build is for lints only.
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: the caller's.
    unsafe {
        *counter += value;
    }
}
