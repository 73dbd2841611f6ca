//! A thread's call of the library: remembered at its entry, completed at its return.

use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_get_current_pid_tgid,
    bpf_ktime_get_ns,
};
use aya_ebpf::programs::ProbeContext;
use aya_ebpf::{EbpfContext as _, Global};
use meshtap_common::TlsConfig;

use crate::maps::{self, CALLS, SESSIONS};
use crate::session::{self, Key};
use crate::sock::Ends;

/// A return can be missed (a thread that unwinds past it). A call that is older than this does not
/// keep those further down the stack from being seen.
const STALE_NS: u64 = 60_000_000_000;

/// `int SSL_read(SSL *, void *, int)`
pub(crate) const READ: u32 = 1;
/// `int SSL_write(SSL *, const void *, int)`
pub(crate) const WRITE: u32 = 2;
/// `int SSL_read_ex(SSL *, void *, size_t, size_t *)`
pub(crate) const READ_EX: u32 = 3;
/// `int SSL_write_ex(SSL *, const void *, size_t, size_t *)`
pub(crate) const WRITE_EX: u32 = 4;
/// `int SSL_do_handshake(SSL *)`
pub(crate) const HANDSHAKE: u32 = 5;
/// `int SSL_shutdown(SSL *)`
pub(crate) const SHUTDOWN: u32 = 6;
/// `int ssl_read_internal(SSL *, void *, size_t, size_t *)`: as `SSL_read_ex`, but it returns why
/// nothing was read, as `SSL_read`.
pub(crate) const READ_SHARED: u32 = 7;
/// `int ssl_write_internal(SSL *, const void *, size_t, uint64_t, size_t *)`
pub(crate) const WRITE_FLAGS: u32 = 8;

/// A socket was used inside the call.
pub(crate) const TOUCHED: u32 = 1;
/// `ends` are those of the socket.
pub(crate) const HAS_ENDS: u32 = 1 << 1;
/// The socket has nothing more to read.
pub(crate) const AT_END: u32 = 1 << 2;

/// Only processes below a cgroup are looked at, which asks for a helper of Linux 5.15. Set at load:
/// with zero the verifier does not see it.
#[unsafe(no_mangle)]
static IS_BELOW: Global<u8> = Global::new(0);

/// A call.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// The stack pointer at the entry: a call inside it has another.
    pub(crate) stack: u64,
    pub(crate) time: u64,
    pub(crate) ssl: u64,
    pub(crate) buffer: u64,
    pub(crate) length: u64,
    /// Where the `_ex` functions put how much it was.
    pub(crate) result: u64,
    pub(crate) cgroup: u64,
    /// Bytes read on the session when this was called.
    pub(crate) heard: u64,
    /// Cookie of the socket that the session is known to have, or zero.
    pub(crate) known: u64,
    /// Cookie of the socket that was used inside, or zero.
    pub(crate) cookie: u64,
    /// Its address in the kernel, or zero.
    pub(crate) sock: u64,
    pub(crate) ends: Ends,
    pub(crate) range: Range,
    pub(crate) kind: u32,
    pub(crate) state: u32,
}

/// What a call has moved. It is kept in the map on its way to the emitter: what the verifier knows
/// of it, and would walk the emitter once for each value of, is forgotten there.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    pub(crate) heard: u64,
    pub(crate) direction: u32,
    pub(crate) flags: u32,
}

// No padding: the verifier refuses a map value with bytes that were never written.
const _: () = assert!(size_of::<Call>() == 11 * 8 + 40 + 24 + 2 * 4);

/// A call begins.
#[inline(always)]
pub(crate) fn enter(ctx: &ProbeContext, kind: u32) {
    let Some(config) = maps::config() else {
        return;
    };
    if config.enabled == 0 {
        return;
    }
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the context of a probe is a `pt_regs`; the helper has no arguments.
    let (stack, time) = unsafe { (stack_pointer(ctx.as_ptr().cast()), bpf_ktime_get_ns()) };
    if let Some(outer) = CALLS.get_ptr(thread) {
        // SAFETY: an element of the map, of this thread.
        let outer = unsafe { &*outer };
        // The library called itself (a handshake inside a read, TLS inside TLS): the outer call is
        // the application's.
        if outer.stack > stack && time.wrapping_sub(outer.time) < STALE_NS {
            return;
        }
    }
    let Some(cgroup) = cgroup(config).filter(|cgroup| !maps::is_excluded(*cgroup)) else {
        return;
    };
    let argument = |n| ctx.arg::<u64>(n).unwrap_or_default();
    let ssl = argument(0);
    let (mut known, mut heard) = (0, 0);
    if let Some(session) = SESSIONS.get_ptr(Key::new(ssl, thread)) {
        // SAFETY: an element of the map.
        let session = unsafe { &*session };
        if session.state & session::HAS_ENDS != 0 {
            known = session.cookie;
        }
        heard = session.read;
    }
    let call = Call {
        stack,
        time,
        ssl,
        buffer: argument(1),
        length: match kind {
            // An `int`: the upper half of the register is undefined.
            READ | WRITE => u64::from(argument(2) as u32),
            READ_EX | WRITE_EX | READ_SHARED | WRITE_FLAGS => argument(2),
            _ => 0,
        },
        result: argument(if kind == WRITE_FLAGS { 4 } else { 3 }),
        cgroup,
        heard,
        known,
        cookie: 0,
        sock: 0,
        ends: Ends::UNKNOWN,
        range: Range {
            offset: 0,
            heard: 0,
            direction: 0,
            flags: 0,
        },
        kind,
        state: 0,
    };
    let _full = CALLS.insert(thread, call, 0);
}

/// The cgroup of this process, where it is the captured one or below it.
#[inline(always)]
pub(crate) fn cgroup(config: &TlsConfig) -> Option<u64> {
    if IS_BELOW.load() != 0 {
        // SAFETY: a plain number.
        let above = unsafe { bpf_get_current_ancestor_cgroup_id(config.cgroup_level as i32) };
        if above != config.cgroup_id {
            return None;
        }
    }
    // SAFETY: no arguments.
    Some(unsafe { bpf_get_current_cgroup_id() })
}

/// The stack pointer at the entry of the function that returns here.
///
/// # Safety
/// `regs` is the context of a return probe.
#[inline(always)]
pub(crate) unsafe fn stack_at_entry(regs: *const pt_regs) -> u64 {
    // SAFETY: the caller's.
    let stack = unsafe { stack_pointer(regs) };
    // x86 has taken the return address off the stack; AArch64 has it in a register.
    #[cfg(bpf_target_arch = "x86_64")]
    let stack = stack.wrapping_sub(8);
    stack
}

#[inline(always)]
pub(crate) unsafe fn stack_pointer(regs: *const pt_regs) -> u64 {
    #[cfg(bpf_target_arch = "x86_64")]
    // SAFETY: the caller's.
    unsafe {
        (*regs).rsp
    }
    #[cfg(bpf_target_arch = "aarch64")]
    // SAFETY: the caller's.
    unsafe {
        (*regs).sp
    }
    #[cfg(not(any(bpf_target_arch = "x86_64", bpf_target_arch = "aarch64")))]
    {
        let _ = regs;
        0
    }
}
