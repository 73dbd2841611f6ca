//! The maps that are not of one hook alone, and the few ways in which they are used.

use core::mem::offset_of;

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray};
use meshtap_common::{
    CLASSIFICATIONS, CaptureConfig, ConnectionRecord, EventHeader, FrameMark, MAX_COMMANDS,
    MAX_MARKS, SocketCommand,
};

use crate::asm::add;
pub(crate) use crate::shared::{EVENTS, count, is_excluded, pending, wakeup};

/// Connections whose first segment arrived on the listener and that have no flow yet. They get one
/// within a round trip, so this is room for a burst of accepts.
const ACCEPTED: u32 = 8192;

/// What user space asks for, by socket cookie. User space alone writes and removes.
#[map]
static COMMANDS: HashMap<u64, SocketCommand> =
    HashMap::with_max_entries(MAX_COMMANDS, BPF_F_NO_PREALLOC);

/// Moves whenever user space has written commands or excluded cgroups. One element.
#[map]
static GENERATION: Array<u32> = Array::with_max_entries(1, 0);

/// See [`ACCEPTED`]. The value is not used.
#[map]
static LISTENER_FLOWS: LruHashMap<Ends, u32> = LruHashMap::with_max_entries(ACCEPTED, 0);

/// The configuration: one element.
#[map]
static CONFIG: Array<CaptureConfig> = Array::with_max_entries(1, 0);

/// Sockets, by [`meshtap_common::Classification`].
#[map]
static CLASSIFIED: PerCpuArray<u64> = PerCpuArray::with_max_entries(CLASSIFICATIONS, 0);

/// The two ends of a connection, as the socket sees them. Ports in host order, IPv4 mapped into
/// IPv6.
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
    /// Word by word: byte by byte, as the header's type has them, is what the compiler would make
    /// of it.
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

impl Ends {
    /// Word by word, as [`Self::write_addresses`].
    #[inline(always)]
    pub(crate) fn write_connection(&self, record: &mut ConnectionRecord) {
        const ALIGNED: bool = offset_of!(ConnectionRecord, local_addr).is_multiple_of(4)
            && offset_of!(ConnectionRecord, remote_addr).is_multiple_of(4);
        const { assert!(ALIGNED) };
        // SAFETY: 16 bytes each, aligned to 4 (asserted above; the record itself is aligned to 8).
        unsafe {
            record
                .local_addr
                .as_mut_ptr()
                .cast::<[u32; 4]>()
                .write(self.local_addr);
            record
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

#[inline(always)]
pub(crate) fn generation() -> Option<u32> {
    let generation = GENERATION.get_ptr(0)?;
    // SAFETY: an element of the map, one aligned word. User space writes it at any time.
    Some(unsafe { generation.read_volatile() })
}

/// What user space asked for, if anything.
#[inline(always)]
pub(crate) fn command(cookie: u64) -> Option<*const SocketCommand> {
    COMMANDS.get_ptr(cookie)
}

/// Remembers that a connection's first segment was emitted while its socket was the listener.
#[inline(always)]
pub(crate) fn note_listener_flow(ends: &Ends) {
    let _full = LISTENER_FLOWS.insert(ends, 1u32, 0);
}

/// Was the first segment of this connection emitted while its socket was the listener?
#[inline(always)]
pub(crate) fn take_listener_flow(ends: &Ends) -> bool {
    let noted = LISTENER_FLOWS.get_ptr(ends).is_some();
    if noted {
        let _gone = LISTENER_FLOWS.remove(ends);
    }
    noted
}

/// Counts a socket; `classification` is the number of a [`meshtap_common::Classification`].
#[inline(always)]
pub(crate) fn count_classification(classification: u32) {
    if let Some(counter) = CLASSIFIED.get_ptr_mut(classification) {
        // SAFETY: an element of the map, 8-byte aligned.
        unsafe { add(counter, 1) };
    }
}

/// Adds one to the only element of a counter.
#[inline(always)]
pub(crate) fn count_one(counter: &Array<u64>) {
    if let Some(counter) = counter.get_ptr_mut(0) {
        // SAFETY: an element of the map, 8-byte aligned.
        unsafe { add(counter, 1) };
    }
}

/// The headers of HTTP/2 frames in a packet: so many that [`MAX_MARKS`] can be read from any of as
/// many.
pub(crate) type Marks = [FrameMark; 2 * MAX_MARKS];

/// Programs that one CPU runs within another: one is received, and one sent for it, while one is
/// sent.
const LEVELS: u32 = 4;

/// Of the packet at hand, by level. Not with the socket: another CPU may receive its next packet
/// before these are written.
#[map]
static MARKS: PerCpuArray<Marks> = PerCpuArray::with_max_entries(LEVELS, 0);

/// The level of this CPU.
#[map]
static LEVEL: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

/// Room for the headers of a packet, until [`give_marks`].
#[inline(always)]
pub(crate) fn take_marks() -> Option<&'static mut Marks> {
    let level = LEVEL.get_ptr_mut(0)?;
    // SAFETY: of this CPU alone, and a program within this one leaves it as it was.
    let at = unsafe {
        let at = level.read_volatile();
        level.write_volatile(at.wrapping_add(1));
        at
    };
    let marks = MARKS.get_ptr_mut(at % LEVELS)?;
    // SAFETY: of this CPU and level alone.
    Some(unsafe { &mut *marks })
}

/// Gives back what [`take_marks`] gave.
#[inline(always)]
pub(crate) fn give_marks() {
    if let Some(level) = LEVEL.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { level.write_volatile(level.read_volatile().wrapping_sub(1)) };
    }
}
