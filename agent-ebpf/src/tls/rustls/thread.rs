//! The socket that a thread has received from last.
//!
//! rustls decrypts what one read has given it, and makes keys of what it has decrypted, before the
//! thread reads anything else.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;

use super::IS_WANTED;
use crate::sock::{self, Ends};

/// Processes that use aws-lc.
const PROCESSES_MAX: u32 = 4096;
/// Threads of them; the size is set at load, and one where rustls is left alone.
const THREADS_MAX: u32 = 16_384;

/// Processes whose threads are followed, by the kernel's tgid: those in which a key was made, and
/// those that user space knows. The value is not used.
#[map]
pub(super) static RUSTLS_PROCESSES: LruHashMap<u64, u32> =
    LruHashMap::with_max_entries(PROCESSES_MAX, 0);

/// By `pid_tgid`.
#[map]
static RUSTLS_THREADS: LruHashMap<u64, Thread> = LruHashMap::with_max_entries(THREADS_MAX, 0);

/// What a thread did last.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Thread {
    /// Where the socket is that it has received from, or zero.
    pub(super) sock: u64,
    /// That one's cookie, or zero where nobody has asked for it yet: it is older than the agent.
    pub(super) cookie: u64,
    pub(super) ends: Ends,
    /// The key with which it has encrypted since it last sent anything, or zero.
    pub(super) sealed: u64,
    /// Bytes on the wire of what it has encrypted so.
    pub(super) sealed_bytes: u64,
    /// Where the socket is for whose session it has just announced another key (RFC 8446 §4.6.3),
    /// or zero.
    pub(super) rekeyed: u64,
}

const _: () = assert!(size_of::<Thread>() == 2 * 8 + 40 + 3 * 8);

impl Thread {
    const NEW: Self = Self {
        sock: 0,
        cookie: 0,
        ends: Ends::UNKNOWN,
        sealed: 0,
        sealed_bytes: 0,
        rekeyed: 0,
    };
}

/// What is known of a thread.
#[inline(always)]
pub(super) fn of(thread: u64) -> Option<*mut Thread> {
    RUSTLS_THREADS.get_ptr_mut(thread)
}

/// The same, of one of which nothing need be known.
#[inline(always)]
pub(super) fn of_any(thread: u64) -> Option<*mut Thread> {
    if let Some(known) = of(thread) {
        return Some(known);
    }
    let _full = RUSTLS_THREADS.insert(thread, Thread::NEW, 0);
    of(thread)
}

/// This process uses aws-lc.
#[inline(always)]
pub(super) fn follow(thread: u64) {
    if RUSTLS_PROCESSES.get_ptr(thread >> 32).is_none() {
        let _full = RUSTLS_PROCESSES.insert(thread >> 32, 0, 0);
    }
}

/// A socket gave bytes.
#[inline(always)]
pub(crate) fn received(sock: *const u8) {
    if IS_WANTED.load() == 0 {
        return;
    }
    let thread = bpf_get_current_pid_tgid();
    if RUSTLS_PROCESSES.get_ptr(thread >> 32).is_none() {
        return;
    }
    let (address, cookie) = (sock::address(sock), sock::cookie(sock));
    let Some(known) = of_any(thread) else {
        return;
    };
    // SAFETY: an element of the map, of this thread.
    let known = unsafe { &mut *known };
    if (known.sock == address && known.cookie == cookie) || !sock::is_tcp(sock) {
        return;
    }
    // One of which too little is known is as if there were none.
    known.sock = 0;
    if sock::read_ends(sock, &mut known.ends) {
        known.sock = address;
        known.cookie = cookie;
    }
}
